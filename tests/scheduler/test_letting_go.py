"""What is forgotten when nobody wants it any more, and what is cancelled for whom."""

from __future__ import annotations

import itertools

from nbcluster.protocol import messages as m
from nbcluster.protocol.payload import Payload
from nbcluster.scheduler.events import ClientJoined, ClientLeft, Forget
from tests.support.scheduler_bench import Bench
from tests.support.task_states import in_memory, processing, waiting

# --- letting go ---


def test_a_client_that_leaves_releases_all_it_wanted() -> None:
    bench = waiting()
    bench.handle(ClientLeft("ada"))
    assert bench.core.state.tasks == {}
    assert m.FreeKeys(["f-0"]) in bench.heard(0, m.FreeKeys)


def test_a_release_that_comes_before_a_new_wish_in_one_batch_changes_nothing() -> None:
    bench = in_memory()
    submit = m.SubmitTasks(b"f", Payload(b"f"), ["f-0"], [b"arguments"])
    bench.ask(m.ReleaseKeys(["f-0"]), submit)
    assert bench.state("f-0") == "memory"
    assert bench.done() == ["f-0", "f-0"]
    assert bench.heard(0, m.FreeKeys) == []


def test_a_chain_of_any_length_is_forgotten_without_recursion() -> None:
    bench = Bench()
    keys = [f"f-{number}" for number in range(5000)]
    bench.submit(*keys, needs={key: [before] for before, key in itertools.pairwise(keys)})
    bench.join(0)
    bench.fail(0, "f-0")
    assert len(bench.heard("ada", m.KeyErred)) == 5000
    bench.release(*keys)
    assert bench.core.state.tasks == {}


# --- cancelling ---


def test_cancelling_takes_what_depends_on_it_along_and_tells_the_client_of_that_only() -> None:
    bench = waiting()
    bench.ask(m.CancelKeys(["f-0"], "cancelled", "by ada"))
    assert bench.heard("ada", m.KeysCancelled) == [m.KeysCancelled(["g-0"], "cancelled", "by ada", let_go=1)]
    assert bench.core.state.tasks == {}
    assert m.FreeKeys(["f-0"]) in bench.heard(0, m.FreeKeys)


def test_a_client_cancels_for_itself_only() -> None:
    bench = processing()
    bench.handle(ClientJoined("bob"))
    bench.submit("f-0", client="bob")
    bench.ask(m.CancelKeys(["f-0"], "cancelled", "by ada"))
    assert bench.state("f-0") == "processing"
    bench.finish(0, "f-0")
    assert (bench.done("ada"), bench.done("bob")) == ([], ["f-0"])


def test_by_force_it_cancels_for_all() -> None:
    bench = processing()
    bench.handle(ClientJoined("bob"))
    bench.submit("f-0", client="bob")
    bench.ask(m.CancelKeys(["f-0"], "enough", "by ada", True))
    assert bench.heard("bob", m.KeysCancelled) == [m.KeysCancelled(["f-0"], "enough", "by ada")]
    assert bench.core.state.tasks == {}


def test_a_restart_cancels_everything_for_everybody() -> None:
    bench = waiting()
    bench.handle(ClientJoined("bob"))
    bench.submit("f-0", client="bob")
    bench.handle(Forget("cluster-restarted", "The cluster was restarted."))
    assert [sorted(message.keys) for message in bench.heard("ada", m.KeysCancelled)] == [["f-0", "g-0"]]
    assert [message.keys for message in bench.heard("bob", m.KeysCancelled)] == [["f-0"]]
    assert bench.core.state.tasks == {}
