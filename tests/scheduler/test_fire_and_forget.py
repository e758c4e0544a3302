from __future__ import annotations

from nbcluster.protocol import messages as m
from nbcluster.scheduler.events import ClientLeft, Forget
from tests.support.scheduler_bench import Bench


def test_what_is_to_finish_is_computed_though_its_client_is_gone_and_then_forgotten() -> None:
    bench = Bench()
    bench.submit("f-0", "f-1")
    bench.ask(m.FinishKeys(["f-0", "unknown"]))
    bench.handle(ClientLeft("ada"))
    assert (bench.state("f-0"), bench.state("f-1")) == ("queued", "forgotten")
    bench.join(0)
    bench.finish(0, "f-0")
    assert bench.state("f-0") == "forgotten"
    assert not bench.core.state.keeper.wants


def test_so_is_what_errs() -> None:
    bench = Bench()
    bench.join(0)
    bench.submit("f-0")
    bench.ask(m.FinishKeys(["f-0"]))
    bench.fail(0, "f-0")
    assert bench.state("f-0") == "erred"
    bench.release("f-0")
    assert bench.state("f-0") == "forgotten"


def test_a_restart_ends_that_too() -> None:
    bench = Bench()
    bench.submit("f-0")
    bench.ask(m.FinishKeys(["f-0"]))
    bench.handle(Forget("restarted", "by a test"))
    assert bench.state("f-0") == "forgotten"
