from __future__ import annotations

import pytest

from nbcluster.protocol.messages import (
    AcquireReplicas,
    Compute,
    DataAdded,
    FreeKeys,
    Location,
    MissingData,
    PutData,
    RecallTasks,
    ReplicasFailed,
    StoredData,
    TaskDone,
    TaskErred,
    TaskRescheduled,
    TaskReturned,
    TasksDone,
    TasksRecalled,
)
from nbcluster.protocol.payload import Payload
from nbcluster.worker.commands import KeepResults
from nbcluster.worker.core import _TRANSITIONS
from nbcluster.worker.events import Finished, InputsLost, Outcome, RunsEnded, TakenUp
from nbcluster.worker.state import FINISHED, FREED, NEW, READY, RETURNED, STATE_NAMES, STORY_LENGTH, WAITING, WorkerTask
from tests.support.fake_worker_shell import ME, FakeShell, compute_task, datum, needs

A, B = "unix:///a", "unix:///b"


def test_a_task_without_dependencies_runs_and_is_reported() -> None:
    shell = FakeShell()
    assert shell.tell(Compute([compute_task("x", 1)])) == []
    assert list(shell.queued) == [1]
    (message,) = shell.finish(1, "value")
    assert isinstance(message, TasksDone)
    assert [(done.key, done.run_id) for done in message.items] == [("x", 1)]
    assert shell.store == {"x": "value"}
    assert shell.core.state.runs == {}


def test_a_run_that_a_thread_has_taken_up_itself_is_not_executed_again() -> None:
    shell = FakeShell()
    assert shell.take_up(compute_task("x", 1)) == []
    assert (list(shell.queued), list(shell.core.state.runs)) == ([], [1])
    assert len(shell.finish(1, "value")) == 1
    assert (shell.store, shell.core.state.runs) == ({"x": "value"}, {})


def test_a_run_that_a_thread_has_taken_up_cannot_be_recalled() -> None:
    shell = FakeShell()
    shell.take_up(compute_task("x", 1))
    shell.tell(RecallTasks([1], 7))
    assert shell.answer_recall() == [TasksRecalled([], 7)]


def test_a_run_that_a_thread_has_taken_up_takes_the_place_of_a_former_one_of_its_key() -> None:
    shell = FakeShell()
    shell.tell(Compute([compute_task("x", 1)]))
    shell.take_up(compute_task("x", 2))
    assert (list(shell.queued), list(shell.core.state.runs)) == ([], [2])


def finished(key: str, run_id: int, value: str) -> Finished:
    return Finished(TaskDone(key, run_id, 10, "str", 0, 1.0, 2.0, None), value)


def test_runs_that_a_thread_has_taken_up_and_finished_one_after_the_other_are_stored_at_once() -> None:
    shell = FakeShell()
    done = [finished("x", 1, "one"), finished("y", 2, "two"), finished("z", 3, "three")]
    x, y, z = compute_task("x", 1), compute_task("y", 2), compute_task("z", 3)
    row: list[Outcome] = [TakenUp(x), done[0], TakenUp(y), done[1], TakenUp(z), done[2]]
    commands = shell.core.handle(RunsEnded(row), 0.0)
    assert [command.results for command in commands if isinstance(command, KeepResults)] == [done]
    assert shell.core.state.runs == {}


@pytest.mark.parametrize("begun", [True, False], ids=["begun before", "begun in the row"])
@pytest.mark.parametrize("freed", [True, False], ids=["freed", "kept"])
def test_in_a_row_of_a_threads_own_runs_each_means_what_it_does_when_it_comes(freed: bool, begun: bool) -> None:
    shell = FakeShell()
    between = [FreeKeys(["x"])] if freed else []
    first, second = TakenUp(compute_task("x", 1)), TakenUp(compute_task("x", 2))
    row: list[Outcome] = [finished("x", 1, "former"), *between, second, finished("x", 2, "latter")]
    if begun:
        shell.handle(RunsEnded([first]))
    else:
        row.insert(0, first)
    (message,) = shell.handle(RunsEnded(row))
    assert isinstance(message, TasksDone)
    assert [done.run_id for done in message.items] == [1, 2]
    assert (shell.store, shell.core.state.runs) == ({"x": "latter"}, {})
    assert len(shell.queued) == 0


def test_successes_that_end_together_are_one_message() -> None:
    shell = FakeShell()
    shell.tell(Compute([compute_task("x", 1), compute_task("y", 2)]))
    done = [TaskDone(key, i, 1, "int", 0, 0.0, 1.0) for key, i in (("x", 1), ("y", 2))]
    (message,) = shell.handle(RunsEnded([Finished(one, one.key) for one in done]))
    assert message == TasksDone(done)


def test_a_task_that_raises_and_one_that_reschedules_are_reported_as_they_are() -> None:
    shell = FakeShell()
    shell.tell(Compute([compute_task("x", 1), compute_task("y", 2)]))
    erred = TaskErred("x", 1, Payload(b"error"), "ValueError", 0, 1.0, 2.0)
    rescheduled = TaskRescheduled("y", 2)
    assert shell.handle(RunsEnded([erred, rescheduled])) == [erred, rescheduled]
    assert shell.core.state.runs == {}
    assert shell.store == {}


def test_a_task_whose_inputs_were_lost_here_is_given_back_and_names_this_worker_as_the_one_without_them() -> None:
    shell = FakeShell()
    shell.tell(PutData([datum("x"), datum("y")]))
    shell.tell(Compute([compute_task("z", 1, [needs("x", ME), needs("y", ME)])]))
    shell.start(1)
    (answer,) = shell.handle(RunsEnded([InputsLost("z", 1, ["y"])]))
    assert answer == TaskReturned("z", 1, [MissingData("y", ME)])
    assert shell.core.state.runs == {}
    assert list(shell.store) == ["x"], "what could not be read is not here any more"
    assert shell.handle(RunsEnded([InputsLost("z", 1, ["y"])])) == [], "nobody waits for it any more"


def test_a_small_dependency_rides_with_the_task_and_is_not_kept() -> None:
    shell = FakeShell()
    shell.tell(Compute([compute_task("y", 1, [needs("x", payload=Payload(b"x"))])]))
    assert shell.queued[1].inputs == {"x": Payload(b"x")}
    assert shell.store == {}


def test_a_dependency_that_is_here_is_taken_from_the_store() -> None:
    shell = FakeShell()
    shell.tell(PutData([datum("x")]))
    shell.tell(Compute([compute_task("y", 1, [needs("x", ME, payload=Payload(b"copy"))])]))
    assert shell.queued[1].inputs == {"x": Payload(b"content")}
    assert shell.requests == {}


def test_a_dependency_elsewhere_is_fetched_kept_and_announced() -> None:
    shell = FakeShell()
    assert shell.tell(Compute([compute_task("y", 1, [needs("x", A)])])) == []
    assert shell.requests == {A: ["x"]}
    assert shell.queued == {}
    assert shell.answer(A, datum("x")) == [DataAdded([StoredData("x", 7)])]
    assert shell.queued[1].inputs == {"x": Payload(b"content")}
    assert shell.store == {"x": Payload(b"content")}


def test_two_tasks_that_need_the_same_key_cause_one_request() -> None:
    shell = FakeShell()
    shell.tell(Compute([compute_task("y", 1, [needs("x", A)]), compute_task("z", 2, [needs("x", B)])]))
    assert shell.requests == {A: ["x"]}
    shell.answer(A, datum("x"))
    assert list(shell.queued) == [1, 2]


def test_requests_to_one_peer_are_batched() -> None:
    shell = FakeShell()
    tasks = [compute_task(f"y{i}", i, [needs(f"x{i}", A)]) for i in range(5)]
    shell.tell(Compute(tasks[:3]))
    assert shell.requests == {A: ["x0", "x1", "x2"]}
    shell.tell(Compute(tasks[3:]))
    assert shell.requests == {A: ["x0", "x1", "x2"]}
    shell.answer(A, *(datum(f"x{i}") for i in range(3)))
    assert shell.requests == {A: ["x3", "x4"]}


def test_a_request_asks_for_a_bounded_number_of_bytes() -> None:
    shell = FakeShell()
    big = 40 * 2**20
    shell.tell(Compute([compute_task(f"y{i}", i, [needs(f"x{i}", A, nbytes=big)]) for i in range(3)]))
    assert shell.requests == {A: ["x0"]}


def test_fetches_are_spread_over_the_holders() -> None:
    shell = FakeShell()
    shell.tell(Compute([compute_task(f"y{i}", i, [needs(f"x{i}", A, B)]) for i in range(4)]))
    assert shell.requests == {A: ["x0", "x2"], B: ["x1", "x3"]}


@pytest.mark.parametrize("how", ["missing", "gone"])
def test_the_next_holder_is_asked_when_one_fails(how: str) -> None:
    shell = FakeShell()
    shell.tell(Compute([compute_task("y", 1, [needs("x", A, B)])]))
    assert (shell.answer(A) if how == "missing" else shell.fail(A)) == []
    assert shell.requests == {B: ["x"]}
    shell.answer(B, datum("x"))
    assert list(shell.queued) == [1]


def test_a_task_is_given_back_when_one_of_its_inputs_cannot_be_had() -> None:
    shell = FakeShell()
    shell.tell(Compute([compute_task("y", 1, [needs("x", A, B), needs("w", B), needs("v", A)])]))
    assert shell.requests == {A: ["x", "v"], B: ["w"]}
    assert shell.fail(A) == [TaskReturned("y", 1, [MissingData("v", A)])]
    assert shell.core.state.runs == {}
    assert shell.core.state.fetches.keys() == {"w"}
    assert shell.answer(B, datum("w")) == []
    assert shell.store == {}
    assert shell.core.state.peers == {}


def test_a_task_that_is_given_back_names_every_holder_that_was_tried() -> None:
    shell = FakeShell()
    shell.tell(Compute([compute_task("y", 1, [needs("x", A, B)])]))
    shell.fail(A)
    assert shell.answer(B) == [TaskReturned("y", 1, [MissingData("x", A), MissingData("x", B)])]


def test_several_missing_inputs_are_named_together() -> None:
    shell = FakeShell()
    shell.tell(Compute([compute_task("y", 1, [needs("x", A), needs("w", A)])]))
    assert shell.fail(A) == [TaskReturned("y", 1, [MissingData("x", A), MissingData("w", A)])]


def test_a_task_whose_input_should_be_here_and_is_not_is_given_back_at_once() -> None:
    shell = FakeShell()
    task = compute_task("y", 1, [needs("w", A), needs("x", ME)])
    assert shell.tell(Compute([task])) == [TaskReturned("y", 1, [MissingData("x", ME)])]
    assert shell.core.state.fetches == {}
    assert shell.core.state.runs == {}


def test_freeing_drops_data() -> None:
    shell = FakeShell()
    shell.tell(PutData([datum("x")]))
    shell.tell(FreeKeys(["x", "unknown"]))
    assert shell.store == {}


def test_freeing_takes_a_queued_run_away() -> None:
    shell = FakeShell()
    shell.tell(Compute([compute_task("x", 1)]))
    shell.tell(FreeKeys(["x"]))
    assert shell.queued == {}
    assert shell.core.state.runs == {}


def test_the_result_of_a_freed_run_is_dropped_without_a_word() -> None:
    shell = FakeShell()
    shell.tell(Compute([compute_task("x", 1)]))
    shell.start(1)
    shell.tell(FreeKeys(["x"]))
    assert shell.finish(1) == []
    assert shell.store == {}


def test_a_late_result_of_a_freed_run_does_not_replace_that_of_the_next() -> None:
    shell = FakeShell()
    shell.tell(Compute([compute_task("x", 1)]))
    shell.start(1)
    shell.tell(FreeKeys(["x"]), Compute([compute_task("x", 2)]))
    shell.finish(2, "new")
    assert shell.finish(1, "old") == []
    assert shell.store == {"x": "new"}


def test_a_second_run_of_a_key_replaces_the_first() -> None:
    shell = FakeShell()
    shell.tell(Compute([compute_task("x", 1)]))
    shell.tell(Compute([compute_task("x", 2)]))
    assert list(shell.queued) == [2]


def test_a_key_that_comes_twice_in_one_message_runs_once() -> None:
    shell = FakeShell()
    shell.tell(Compute([compute_task("x", 1), compute_task("y", 2), compute_task("x", 3)]))
    assert list(shell.queued) == [2, 3]
    assert list(shell.core.state.runs) == [2, 3]


def test_tasks_with_and_without_inputs_begin_in_their_order() -> None:
    shell = FakeShell()
    shell.tell(PutData([datum("here")]))
    shell.tell(Compute([compute_task("x", 1), compute_task("y", 2, [needs("here", ME)]), compute_task("z", 3)]))
    assert list(shell.queued) == [1, 2, 3]


def test_freeing_a_waiting_run_cancels_what_only_it_wanted() -> None:
    shell = FakeShell()
    shell.tell(Compute([compute_task("z", 1, [needs("w", A)])]))
    shell.tell(Compute([compute_task("y", 2, [needs("x", A)])]))
    shell.tell(FreeKeys(["y"]))
    assert shell.core.state.fetches.keys() == {"w"}
    shell.answer(A, datum("w"))
    assert shell.requests == {}


def test_what_was_asked_for_and_freed_serves_who_waits_but_is_not_kept() -> None:
    shell = FakeShell()
    shell.tell(Compute([compute_task("y", 1, [needs("x", A)])]))
    shell.tell(FreeKeys(["x"]))
    assert shell.answer(A, datum("x")) == []
    assert shell.queued[1].inputs == {"x": Payload(b"content")}
    assert shell.store == {}


def test_who_asks_after_a_key_was_freed_gets_what_it_means_now() -> None:
    shell = FakeShell()
    shell.tell(Compute([compute_task("y", 1, [needs("x", A)])]))
    shell.tell(FreeKeys(["x"]), Compute([compute_task("z", 2, [needs("x", A)])]))
    shell.answer(A, datum("x", b"old"))
    assert list(shell.queued) == [1]
    assert shell.requests == {A: ["x"]}
    shell.answer(A, datum("x", b"new"))
    assert shell.queued[2].inputs == {"x": Payload(b"new")}
    assert shell.store == {"x": Payload(b"new")}


def test_inputs_that_are_here_outlive_their_freeing_while_others_are_fetched() -> None:
    shell = FakeShell()
    shell.tell(PutData([datum("w")]))
    shell.tell(Compute([compute_task("y", 1, [needs("w", ME), needs("x", A)])]))
    shell.tell(FreeKeys(["w"]))
    shell.answer(A, datum("x"))
    assert shell.queued[1].inputs == {"w": Payload(b"content"), "x": Payload(b"content")}


def test_a_recall_gives_back_what_has_not_started() -> None:
    shell = FakeShell()
    tasks = [compute_task("x", 1), compute_task("y", 2), compute_task("z", 3, [needs("w", A)])]
    shell.tell(Compute(tasks))
    shell.start(1)
    assert shell.tell(RecallTasks([1, 2, 3, 99], 7)) == []
    assert shell.answer_recall() == [TasksRecalled([3, 2], 7)]
    assert list(shell.core.state.runs) == [1]
    assert shell.finish(1) != []


def test_a_recall_of_nothing_is_answered() -> None:
    shell = FakeShell()
    assert shell.tell(RecallTasks([99], 7)) == [TasksRecalled([], 7)]


def test_a_run_that_was_freed_during_its_recall_is_not_given_back() -> None:
    shell = FakeShell()
    shell.tell(Compute([compute_task("x", 1)]))
    shell.tell(RecallTasks([1], 7), FreeKeys(["x"]))
    assert shell.answer_recall() == [TasksRecalled([], 7)]


def test_scattered_data_is_kept_and_announced() -> None:
    shell = FakeShell()
    answers = shell.tell(PutData([datum("x"), datum("y")]))
    assert answers == [DataAdded([StoredData("x", 7), StoredData("y", 7)])]


def test_scattered_data_ends_the_wait_for_it() -> None:
    shell = FakeShell()
    shell.tell(Compute([compute_task("y", 1, [needs("x", A)])]))
    shell.tell(PutData([datum("x", b"put")]))
    assert shell.queued[1].inputs == {"x": Payload(b"put")}
    assert shell.answer(A, datum("x", b"fetched")) == []
    assert shell.store == {"x": Payload(b"put")}


def test_copies_are_made_from_what_comes_along_what_is_here_and_what_peers_hold() -> None:
    shell = FakeShell()
    shell.tell(PutData([datum("here")]))
    wanted = [
        Location("along", Payload(b"1234"), [], 4),
        Location("here", None, [A], 7),
        Location("there", None, [A], 7),
    ]
    answers = shell.tell(AcquireReplicas(wanted))
    assert answers == [DataAdded([StoredData("along", 4), StoredData("here", 7)])]
    assert shell.requests == {A: ["there"]}
    assert shell.answer(A, datum("there")) == [DataAdded([StoredData("there", 7)])]
    assert shell.store.keys() == {"along", "here", "there"}


def test_copies_that_cannot_be_made_are_named() -> None:
    shell = FakeShell()
    wanted = [Location("x", None, [A, B], 7), Location("lost", None, [], 7)]
    assert shell.tell(AcquireReplicas(wanted)) == [ReplicasFailed([MissingData("lost", ME)])]
    shell.fail(A)
    assert shell.fail(B) == [ReplicasFailed([MissingData("x", A), MissingData("x", B)])]


def test_a_copy_nobody_wants_any_more_is_not_kept() -> None:
    shell = FakeShell()
    shell.tell(AcquireReplicas([Location("x", None, [A], 7)]))
    shell.tell(FreeKeys(["x"]))
    assert shell.answer(A, datum("x")) == []
    assert shell.store == {}


def test_only_the_transitions_in_the_table_exist() -> None:
    ends = set(range(len(STATE_NAMES))) - {NEW, WAITING, READY}
    assert not any(before in ends for before, _ in _TRANSITIONS)
    assert not any(after == NEW for _, after in _TRANSITIONS)
    run = WorkerTask(compute_task("x", 1))
    with pytest.raises(KeyError):
        FakeShell().core._move(run, FREED)


def test_the_story_tells_what_happened_to_a_key() -> None:
    shell = FakeShell()
    shell.tell(Compute([compute_task("y", 1, [needs("x", A)])]))
    shell.fail(A)
    story = [(line.run_id, line.before, line.after) for line in shell.core.state.story.of("y")]
    assert story == [(1, NEW, WAITING), (1, WAITING, RETURNED)]
    assert "run 1 returned" not in repr(shell.core.state.story.of("x"))


def test_the_story_of_many_runs_is_as_that_of_one_and_keeps_to_its_length() -> None:
    shell = FakeShell()
    keys = [f"x-{number}" for number in range(STORY_LENGTH - 1)]
    shell.tell(Compute([compute_task("first", 1)]))
    shell.tell(Compute([compute_task(key, number) for number, key in enumerate(keys, 2)]))
    story = shell.core.state.story
    (line,) = story.of("x-7")
    assert line[1:] == ("x-7", 9, NEW, READY)
    assert [len(lines) for lines in (list(story), story, story.of("first"))] == [STORY_LENGTH, STORY_LENGTH, 1]
    shell.finish(9)
    assert [(line.run_id, line.before, line.after) for line in story.of("first", "x-7")] == [
        (9, NEW, READY),
        (9, READY, FINISHED),
    ]
