"""What is forgotten when nobody wants it any more, and what is cancelled for whom."""

from __future__ import annotations

import itertools

from nbcluster.protocol import messages as m
from nbcluster.protocol.payload import Payload
from nbcluster.scheduler.events import ClientJoined, ClientLeft, Forget, RetireWorkers, Tidy
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


# --- putting off ---


def with_results(count: int, put_off: int, inline: bool = True) -> tuple[Bench, list[str]]:
    """So many results, all of one worker, which is idle."""
    bench = Bench(put_off=put_off)
    keys = [f"f-{number}" for number in range(count)]
    bench.submit(*keys)
    bench.join(0)
    bench.run_all(inline=inline)
    return bench, keys


def freed(bench: Bench) -> list[str]:
    return [key for message in bench.heard(0, m.FreeKeys) for key in message.keys]


def test_many_small_results_are_forgotten_when_there_is_time() -> None:
    bench, keys = with_results(8, put_off=8)
    bench.release(*keys)
    assert freed(bench) == []
    bench.handle(Tidy(3))
    assert sorted(freed(bench)) == keys[:3]
    bench.handle(Tidy(8))
    assert sorted(freed(bench)) == keys
    assert bench.core.state.tasks == {}


def test_results_that_are_let_go_of_one_by_one_are_forgotten_together_when_there_is_time() -> None:
    bench, keys = with_results(8, put_off=8)
    for key in keys:
        bench.release(key)
    assert freed(bench) == []
    bench.handle(Tidy(8))
    assert [sorted(message.keys) for message in bench.heard(0, m.FreeKeys)] == [keys]


def test_what_is_more_than_may_be_put_off_is_forgotten_at_once() -> None:
    bench, keys = with_results(12, put_off=8)
    bench.release(*keys[:6])
    bench.release(*keys[6:])
    assert sorted(freed(bench)) == sorted(keys[6:])


def test_large_results_are_forgotten_at_once() -> None:
    bench, keys = with_results(8, put_off=8, inline=False)
    bench.release(*keys)
    assert sorted(freed(bench)) == keys


def test_tasks_that_have_not_ended_are_forgotten_at_once() -> None:
    bench = Bench(put_off=8)
    keys = [f"f-{number}" for number in range(8)]
    bench.submit(*keys)
    bench.join(0)
    bench.release(*keys)
    assert bench.core.state.tasks == {}


def test_what_is_wanted_again_in_the_meantime_is_computed_anew_as_ever() -> None:
    bench, keys = with_results(8, put_off=8)
    bench.release(*keys)
    bench.submit(keys[0])
    assert bench.state(keys[0]) == "processing"
    assert sorted(freed(bench)) == keys


def test_data_that_is_scattered_by_a_name_that_was_let_go_of_is_the_new_data() -> None:
    bench, keys = with_results(8, put_off=8)
    bench.release(*keys)
    bench.scatter(keys[0])
    assert len(bench.heard(0, m.PutData)) == 1
    assert sorted(freed(bench)) == keys


def test_other_new_tasks_do_not_wait_for_what_was_put_off() -> None:
    bench, keys = with_results(8, put_off=8)
    bench.release(*keys)
    bench.submit("g-0")
    assert freed(bench) == []
    assert bench.state("g-0") == "processing"


def test_what_was_put_off_is_not_copied_from_a_worker_that_goes() -> None:
    bench, keys = with_results(8, put_off=8)
    bench.join(1)
    bench.release(*keys)
    bench.handle(RetireWorkers([0]))
    assert bench.heard(1, m.AcquireReplicas) == []
    assert sorted(freed(bench)) == keys


def test_a_restart_forgets_what_was_put_off() -> None:
    bench, keys = with_results(8, put_off=8)
    bench.release(*keys)
    bench.handle(Forget("cluster-restarted", "The cluster was restarted."))
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
