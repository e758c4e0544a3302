"""What clients ask, one situation at a time."""

from __future__ import annotations

from typing import Any

import pytest

from nbcluster.protocol import messages as m
from nbcluster.protocol.delivery import FindReceivers, Receivers
from nbcluster.protocol.payload import Payload
from nbcluster.protocol.records import Message
from nbcluster.scheduler import figures
from nbcluster.scheduler.core import SchedulerCore
from nbcluster.scheduler.events import (
    ClientJoined,
    Forget,
    FromClient,
    FromWorker,
    RetireWorkers,
    WorkerJoined,
    WorkerLeft,
)
from nbcluster.scheduler.outbox import Command, Retired, ToClient, ToWorker
from nbcluster.scheduler.state import Settings
from tests.support.scheduler_bench import Bench


def core_with(*names: str) -> SchedulerCore:
    core = SchedulerCore()
    core.handle(ClientJoined("c"), 0.0)
    for name in names:
        core.handle(WorkerJoined(m.RegisterWorker(name, f"fake://{name}", 1, 1)), 0.0)
    return core


def ask(core: SchedulerCore, *messages: Message) -> list[Command]:
    return core.handle(FromClient("c", list(messages)), 0.0)


def report(core: SchedulerCore, name: str, *messages: Message) -> list[Command]:
    return core.handle(FromWorker(name, list(messages)), 0.0)


def submit(key: str, function: bytes = b"f", *needed: str) -> m.SubmitTasks:
    return m.SubmitTasks(function, Payload(function), [key], [b"arguments"], m.TaskOptions(), {0: list(needed)})


def done(key: str, run_id: int, payload: Payload | None = None) -> m.TasksDone:
    return m.TasksDone([m.TaskDone(key, run_id, 9, "int", 0, 0.0, 1.0, payload)])


def datum(key: str) -> m.DataItem:
    return m.DataItem(key, Payload(b"x"), 9, "int")


def said(commands: list[Command], kind: type[Any]) -> list[Any]:
    to_all = [c for c in commands if isinstance(c, (ToWorker, ToClient))]
    return [message for command in to_all for message in command.messages if isinstance(message, kind)]


def test_a_key_that_comes_twice_in_one_submission_is_one_task() -> None:
    """Of a function that was unknown before, and at once where the large data is that it needs."""
    bench = Bench()
    bench.join("w")
    bench.submit("large")
    bench.finish("w", "large", nbytes=10**6, inline=False)
    bench.submit("twice", "twice", needs={"twice": ["large"]}, function=b"g")
    assert [run.key for run in bench.computes("w")] == ["large", "twice"]
    bench.finish("w", "twice")
    assert bench.done() == ["large", "twice"]


@pytest.mark.parametrize("known", [[], ["f-1"]], ids=["all new", "one known"])
@pytest.mark.parametrize("twice", [[], ["g-2"]], ids=["each once", "one twice"])
def test_keys_of_several_names_come_at_once(known: list[str], twice: list[str]) -> None:
    """In the order of the submission, and each counted with its name: the bench looks at the counts."""
    bench = Bench()
    bench.join("w")
    bench.submit(*known)
    bench.submit("f-0", "f-1", "g-2", "name", *twice)
    bench.run_all()
    first, *rest = known + [key for key in ("f-0", "f-1", "g-2", "name") if key not in known]
    assert [run.key for run in bench.computes("w")] == [first, *rest]
    assert bench.done() == [first, *rest]
    assert {name: prefix.done for name, prefix in bench.core.state.prefixes.items()} == {"f": 2, "g": 1, "name": 1}


def test_a_key_that_is_released_and_submitted_anew_at_once_gets_its_new_meaning() -> None:
    core = core_with("w")
    ask(core, submit("a"))
    report(core, "w", done("a", 1, Payload(b"old")))
    commands = ask(core, m.ReleaseKeys(["a"]), submit("a", b"g"))
    [compute] = said(commands, m.Compute)
    assert [task.function for task in compute.tasks] == [b"g"]
    assert not said(commands, m.KeysDone)


def test_a_key_that_is_cancelled_and_submitted_anew_at_once_gets_its_new_meaning() -> None:
    core = core_with("w")
    ask(core, submit("a"))
    [compute] = said(ask(core, m.CancelKeys(["a"], "cancelled", "test"), submit("a", b"g")), m.Compute)
    assert [(task.run_id, task.function) for task in compute.tasks] == [(2, b"g")]


def test_a_task_waits_for_data_that_is_on_its_way() -> None:
    core = core_with()
    assert not said(ask(core, m.Scatter([datum("d")]), submit("a", b"f", "d")), m.KeyErred)
    core.handle(WorkerJoined(m.RegisterWorker("w", "fake://w", 1, 1)), 0.0)
    [compute] = said(report(core, "w", m.DataAdded([m.StoredData("d", 9)])), m.Compute)
    assert [task.key for task in compute.tasks] == ["a"]


def retired(commands: list[Command]) -> list[object]:
    return [command.name for command in commands if isinstance(command, Retired)]


def holding(core: SchedulerCore) -> None:
    """Worker v computes a, and is to go; w is to copy it."""
    ask(core, submit("a"))
    report(core, "v", done("a", 1))
    [order] = said(core.handle(RetireWorkers(["v"]), 0.0), m.AcquireReplicas)
    assert [item.key for item in order.items] == ["a"]


def test_a_worker_retires_once_its_data_is_elsewhere() -> None:
    core = core_with("v", "w")
    holding(core)
    assert retired(report(core, "w", m.DataAdded([m.StoredData("a", 9)]))) == ["v"]


def test_a_worker_retires_when_nobody_wants_its_data_any_more_though_it_is_lineage() -> None:
    core = core_with("v", "w")
    holding(core)
    ask(core, submit("b", b"f", "a"))
    report(core, "w", m.DataAdded([]))
    report(core, "w", done("b", 2, Payload(b"x")))
    assert retired(ask(core, m.ReleaseKeys(["a"]))) == ["v"]


def test_the_data_of_a_retiring_worker_goes_elsewhere_when_its_target_dies() -> None:
    core = core_with("v", "w", "x")
    holding(core)
    commands = core.handle(WorkerLeft("w"), 0.0)
    assert said(commands, m.AcquireReplicas)
    assert not retired(commands)
    assert retired(report(core, "x", m.DataAdded([m.StoredData("a", 9)]))) == ["v"]


def test_a_worker_does_not_retire_while_data_is_on_its_way_to_it() -> None:
    core = core_with("v")
    ask(core, m.Scatter([datum("d")]))
    core.handle(WorkerJoined(m.RegisterWorker("w", "fake://w", 1, 1)), 0.0)
    assert not retired(core.handle(RetireWorkers(["v"]), 0.0))
    commands = report(core, "v", m.DataAdded([m.StoredData("d", 9)]))
    assert said(commands, m.AcquireReplicas)
    assert retired(report(core, "w", m.DataAdded([m.StoredData("d", 9)]))) == ["v"]


def test_keys_of_one_message_are_counted_under_the_names_that_they_begin_with() -> None:
    core = core_with()
    keys = ["inc-1", "increment-1", "inc-by-1"]
    ask(core, m.SubmitTasks(b"f", Payload(b"f"), keys, [b"arguments"] * 3))
    assert {key: core.state.tasks[key].prefix.name for key in keys} == {
        "inc-1": "inc",
        "increment-1": "increment",
        "inc-by-1": "inc-by",
    }


def test_what_is_said_of_a_key_tells_whether_the_client_had_let_go_of_it() -> None:
    core = core_with("w")
    ask(core, submit("a"))
    [first] = said(report(core, "w", done("a", 1, Payload(b"old"))), m.KeysDone)
    ask(core, m.ReleaseKeys(["a"]), submit("a", b"g"))
    [second] = said(report(core, "w", done("a", 2, Payload(b"new"))), m.KeysDone)
    ask(core, m.CancelKeys(["a", "b"], "cancelled", "test"), submit("a"))
    [third] = said(report(core, "w", m.TaskErred("a", 3, Payload(b"e"), "text", 0, 0.0, 1.0)), m.KeyErred)
    [fourth] = said(core.handle(Forget("restarted", "test"), 0.0), m.KeysCancelled)
    assert [first.let_go, second.let_go, third.let_go, fourth.let_go] == [0, 1, 3, 3]


def test_what_was_said_before_a_release_does_not_mix_with_what_is_said_after_it() -> None:
    core = core_with("w")
    ask(core, submit("a"))
    report(core, "w", done("a", 1, Payload(b"old")))
    told = said(ask(core, submit("a"), m.ReleaseKeys(["b"]), submit("a")), m.KeysDone)
    assert [([item.key for item in message.items], message.let_go) for message in told] == [(["a"], 0), (["a"], 1)]


def test_names_that_no_task_bears_any_more_are_forgotten_and_those_in_use_are_not() -> None:
    core = SchedulerCore(Settings(idle_prefixes=10))
    core.handle(ClientJoined("c"), 0.0)
    core.handle(WorkerJoined(m.RegisterWorker("w", "fake://w", 1, 1)), 0.0)
    state, runs = core.state, 0
    for number in range(1000):
        for key in (f"once{number}-1", "often-1", *(["kept-1"] if number == 0 else [])):
            ask(core, submit(key))
            runs += 1
            report(core, "w", done(key, runs))
            if key != "kept-1":
                ask(core, m.ReleaseKeys([key]))
        assert len(state.prefixes) <= 10 + 2 * sum(prefix.in_use for prefix in state.prefixes.values())
    assert {"kept", "often", "once999"} <= state.prefixes.keys()
    assert figures.task_counts(state, core.placement).done == runs == 2001


def test_any_number_of_names_may_be_in_use() -> None:
    core = SchedulerCore(Settings(idle_prefixes=10))
    core.handle(ClientJoined("c"), 0.0)
    for number in range(100):
        ask(core, submit(f"name{number}-1"))
    assert len(core.state.prefixes) == 100
    assert figures.task_counts(core.state, core.placement).no_worker == 100


def test_those_workers_take_large_data_that_share_memory_the_least_busy_one_first() -> None:
    core = core_with("shares-none")
    for name in ("busy", "idle", "retiring"):
        core.handle(WorkerJoined(m.RegisterWorker(name, f"fake://{name}", 1, 1, shares=True)), 0.0)
    report(core, "busy", m.WorkerMetrics(0, 0, 0.0, 1))
    core.handle(RetireWorkers(["retiring"]), 0.0)
    [command] = ask(core, FindReceivers(7))
    assert command == ToClient("c", [Receivers(7, ["fake://idle", "fake://busy"])])


# --- where in line tasks come ---


NEW = m.Line(new_generation=True)


def submitted(line: m.Line, **needed: str) -> m.SubmitTasks:
    """Tasks by key, with the keys that each needs."""
    dependencies = {index: names.split() for index, names in enumerate(needed.values()) if names}
    arguments = [b"arguments"] * len(needed)
    return m.SubmitTasks(b"f", Payload(b"f"), list(needed), arguments, dependencies=dependencies, line=line)


def order_of_running(core: SchedulerCore, *messages: Message) -> str:
    """The worker runs one task after the other: in which order."""
    ran, commands = "", ask(core, *messages)
    todo: list[m.ComputeTask] = []
    while todo := sorted(
        [*todo, *(task for message in said(commands, m.Compute) for task in message.tasks)],
        key=lambda task: (task.priority, task.run_id),
    ):
        task = todo.pop(0)
        ran += task.key
        commands = report(core, "w", done(task.key, task.run_id, Payload(b"x")))
    return ran


def test_a_task_that_needs_others_of_its_generation_comes_where_the_last_of_them_came() -> None:
    first = submitted(NEW, a="", b="", c="", d="")
    then = submitted(m.SAME_LINE, A="a", B="b", C="c", D="d")
    last = submitted(m.SAME_LINE, S="A B", T="C D")
    assert order_of_running(core_with("w"), first, then, last) == "aAbBScCdDT"


def test_a_task_that_needs_others_of_an_earlier_generation_comes_last() -> None:
    first, then = submitted(NEW, a="", b="", c=""), submitted(NEW, A="a", B="b", C="c")
    assert order_of_running(core_with("w"), first, then) == "abcABC"


def test_tasks_that_need_nothing_come_as_they_are_submitted() -> None:
    first, then = submitted(NEW, a="", b="", c=""), submitted(m.SAME_LINE, A="", B="")
    assert order_of_running(core_with("w"), first, then) == "abcAB"


def test_scattered_data_is_in_no_line() -> None:
    core = core_with("w")
    ask(core, submitted(NEW, a=""), m.Scatter([datum("data")]), submitted(m.SAME_LINE, b="", A="data"))
    assert core.state.tasks["A"].place == core.state.tasks["A"].order


def test_what_a_task_submits_comes_right_before_it_and_what_that_submits_comes_first_of_all() -> None:
    core = core_with("w")
    ask(core, submitted(NEW, a="", b="", c=""))
    ask(core, submitted(m.Line(parent="b"), x="", y=""))
    ask(core, submitted(m.Line(parent="x"), X="", Y="X"))
    in_line = sorted(core.state.tasks.values(), key=lambda task: (task.place, task.order))
    assert "".join(task.key for task in in_line) == "XYaxybc"


def test_what_a_task_submits_that_is_known_no_more_comes_last() -> None:
    core = core_with("w")
    ask(core, submitted(NEW, a="", b=""), submitted(m.Line(parent="gone"), c=""))
    assert core.state.tasks["c"].place == core.state.tasks["c"].order


def test_each_client_has_its_own_generations() -> None:
    core = core_with("w")
    core.handle(ClientJoined("d"), 0.0)
    ask(core, submitted(NEW, a="", b=""))
    core.handle(FromClient("d", [submitted(NEW, x="")]), 0.0)
    ask(core, submitted(m.SAME_LINE, A="a"))
    assert core.state.tasks["A"].place == core.state.tasks["a"].place
