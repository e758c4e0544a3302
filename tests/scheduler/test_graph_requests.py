"""Graphs that clients submit, one situation at a time."""

from __future__ import annotations

from typing import Any

from nbcluster.protocol import messages as m
from nbcluster.protocol.payload import Payload
from nbcluster.protocol.records import Message
from nbcluster.scheduler.core import SchedulerCore
from nbcluster.scheduler.events import ClientJoined, FromClient, FromWorker, WorkerJoined
from nbcluster.scheduler.invariants import check
from nbcluster.scheduler.outbox import Command, ToClient, ToWorker


def core_with_a_worker() -> SchedulerCore:
    core = SchedulerCore()
    core.handle(ClientJoined("c"), 0.0)
    core.handle(WorkerJoined(m.RegisterWorker("w", "fake://w", 1, 1)), 0.0)
    return core


def ask(core: SchedulerCore, *messages: Message) -> list[Command]:
    commands = core.handle(FromClient("c", list(messages)), 0.0)
    check(core)
    return commands


def node(key: str, *needed: str, wanted: bool = False, function: bytes = b"f", **options: Any) -> m.GraphTask:
    return m.GraphTask(key, function, b"arguments", list(needed), wanted, m.TaskOptions(**options) if options else None)


def graph(*tasks: m.GraphTask, **options: Any) -> m.SubmitGraph:
    functions = {task.function: Payload(task.function) for task in tasks}
    return m.SubmitGraph(functions, list(tasks), m.TaskOptions(**options))


def said(commands: list[Command], kind: type[Any]) -> list[Any]:
    to_all = [c for c in commands if isinstance(c, (ToWorker, ToClient))]
    return [message for command in to_all for message in command.messages if isinstance(message, kind)]


def runs(commands: list[Command]) -> list[m.ComputeTask]:
    return [task for message in said(commands, m.Compute) for task in message.tasks]


def work(core: SchedulerCore, commands: list[Command]) -> tuple[list[str], list[Any]]:
    """Have the worker do all that it is given; what it ran, in order, and what the client was told."""
    ran, told = [], said(commands, m.KeysDone) + said(commands, m.KeyErred)
    while given := runs(commands):
        ran += [task.key for task in given]
        done = [m.TaskDone(task.key, task.run_id, 9, "int", 0, 0.0, 1.0, Payload(b"x")) for task in given]
        commands = core.handle(FromWorker("w", [m.TasksDone(done)]), 0.0)
        check(core)
        told += said(commands, m.KeysDone)
    return ran, told


def test_a_graph_is_run_in_the_order_given_and_only_what_is_wanted_is_kept_and_told() -> None:
    core = core_with_a_worker()
    ran, told = work(core, ask(core, graph(node("a"), node("b"), node("c", "a", "b"), node("d", "c", wanted=True))))
    assert ran == ["a", "b", "c", "d"]
    assert [item.key for message in told for item in message.items] == ["d"]
    assert {key for key, task in core.state.tasks.items() if task.who_has} == {"d"}


def test_once_the_result_is_let_go_of_nothing_is_left() -> None:
    core = core_with_a_worker()
    work(core, ask(core, graph(node("a"), node("b", "a", wanted=True), node("c", "a", wanted=True, function=b"g"))))
    ask(core, m.ReleaseKeys(["b", "c"]))
    assert core.state.tasks == {}
    assert core.state.functions == {}


def test_what_no_wanted_task_needs_is_not_run() -> None:
    core = core_with_a_worker()
    ran, _ = work(core, ask(core, graph(node("a"), node("useless", "a"), node("b", wanted=True))))
    assert ran == ["b"]
    assert list(core.state.tasks) == ["b"]


def test_a_result_that_is_there_is_told_at_once_and_nothing_is_run_for_it() -> None:
    core = core_with_a_worker()
    work(core, ask(core, graph(node("a"), node("b", "a", wanted=True))))
    commands = ask(core, graph(node("a"), node("b", "a", wanted=True)))
    assert runs(commands) == []
    assert [item.key for message in said(commands, m.KeysDone) for item in message.items] == ["b"]


def test_a_graph_goes_on_from_the_results_of_another() -> None:
    core = core_with_a_worker()
    work(core, ask(core, graph(node("a"), node("b", "a", wanted=True))))
    ran, _ = work(core, ask(core, graph(node("c", "b", wanted=True))))
    assert ran == ["c"]


def test_a_graph_may_come_in_pieces() -> None:
    core = core_with_a_worker()
    first = ask(core, graph(node("a", wanted=True), node("b", "a", wanted=True)))
    ran, _ = work(core, first)
    more, _ = work(core, ask(core, graph(node("c", "a", "b", wanted=True)), m.ReleaseKeys(["a", "b"])))
    assert ran + more == ["a", "b", "c"]
    assert {key for key, task in core.state.tasks.items() if task.who_has} == {"c"}


def test_a_key_that_is_let_go_of_and_submitted_anew_gets_its_new_meaning() -> None:
    core = core_with_a_worker()
    work(core, ask(core, graph(node("a", wanted=True))))
    commands = ask(core, m.ReleaseKeys(["a"]), graph(node("a", wanted=True, function=b"g")))
    [task] = runs(commands)
    assert task.function == b"g"


def test_a_dependency_that_nobody_knows_makes_its_dependents_err_by_its_name() -> None:
    core = core_with_a_worker()
    commands = ask(core, graph(node("b", "a", wanted=True)))
    [erred] = said(commands, m.KeyErred)
    assert (erred.key, erred.blamed) == ("b", "a")


def test_tasks_have_the_options_of_the_graph_or_their_own() -> None:
    core = core_with_a_worker()
    ask(core, graph(node("a", wanted=True), node("b", wanted=True, priority=5, retries=2), priority=1))
    options = {key: task.options.priority for key, task in core.state.tasks.items()}
    assert options == {"a": 1, "b": 5}
    assert core.state.tasks["b"].retries == 2


def test_a_function_that_was_not_sent_makes_the_task_err_not_the_scheduler() -> None:
    core = core_with_a_worker()
    commands = ask(core, m.SubmitGraph({}, [node("a", wanted=True)]))
    [definitions] = said(commands, m.DefineFunctions)
    assert definitions.functions == {b"f": Payload(b"")}


def test_what_others_know_by_name_only_is_run_once_a_graph_says_how_though_the_graph_does_not_need_it() -> None:
    core = core_with_a_worker()
    core.handle(ClientJoined("other"), 0.0)
    core.handle(FromClient("other", [m.WantKeys(["a"])]), 0.0)  # errs: nobody knows how to compute it
    ran, told = work(core, ask(core, graph(node("a"), node("b", wanted=True))))
    assert sorted(ran) == ["a", "b"]
    assert sorted(done.key for message in told for done in message.items) == ["a", "b"]


def in_line(core: SchedulerCore) -> str:
    """All tasks in the order in which they would run if they needed nothing."""
    return "".join(task.key for task in sorted(core.state.tasks.values(), key=lambda task: (task.place, task.order)))


def test_a_graph_that_needs_tasks_of_another_of_its_generation_takes_their_places() -> None:
    core = core_with_a_worker()
    ask(core, graph(*map(node, "abc"), node("A", "a", wanted=True), node("B", "b", "c", wanted=True)))
    ask(core, graph(*map(node, "abc"), node("x", "a"), node("y", "x", "b", wanted=True), node("z", wanted=True)))
    assert in_line(core) == "axbycABz"


def test_within_a_graph_tasks_come_in_its_own_order_also_if_it_comes_in_pieces() -> None:
    core = core_with_a_worker()
    ask(core, m.SubmitGraph({b"f": Payload(b"f")}, [node("a", wanted=True), node("b", wanted=True)]))
    piece = m.SubmitGraph({b"f": Payload(b"f")}, [node("c", wanted=True), node("d", "a", wanted=True)], before=2)
    ask(core, piece)
    assert in_line(core) == "abcd"


def test_a_graph_of_another_generation_comes_last() -> None:
    core = core_with_a_worker()
    ask(core, graph(node("a", wanted=True), node("b", wanted=True)))
    functions = {b"f": Payload(b"f")}
    ask(core, m.SubmitGraph(functions, [node("x", "a", wanted=True)], line=m.Line(new_generation=True)))
    assert in_line(core) == "abx"


def test_the_graph_that_a_task_submits_comes_right_before_it() -> None:
    core = core_with_a_worker()
    ask(core, graph(node("a", wanted=True), node("b", wanted=True), node("c", wanted=True)))
    functions = {b"f": Payload(b"f")}
    ask(core, m.SubmitGraph(functions, [node("x"), node("y", "x", wanted=True)], line=m.Line(parent="c")))
    assert in_line(core) == "abxyc"
