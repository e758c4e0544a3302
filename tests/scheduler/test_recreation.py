"""What clients are told of how tasks are computed."""

from __future__ import annotations

from nbcluster.protocol import messages as m
from nbcluster.protocol.payload import Payload
from nbcluster.protocol.recreation import DescribeTask, TaskDescribed
from nbcluster.scheduler.core import SchedulerCore
from nbcluster.scheduler.events import ClientJoined, FromClient
from nbcluster.scheduler.outbox import ToClient
from nbcluster.types import Key

DEFINITION = Payload(b"function")


def described(core: SchedulerCore, key: Key, blamed: bool = False) -> object:
    commands = core.handle(FromClient("c", [DescribeTask(7, key, blamed)]), 1.0)
    messages = [message for command in commands if isinstance(command, ToClient) for message in command.messages]
    return messages[-1]


def core_with_tasks() -> SchedulerCore:
    core = SchedulerCore()
    core.handle(ClientJoined("c"), 0.0)
    submit = m.SubmitTasks(b"f", DEFINITION, ["a", "b"], [b"1", b"2"], dependencies={1: ["a"]})
    core.handle(FromClient("c", [submit]), 0.0)
    return core


def test_a_task_is_described_as_a_worker_would_be_told() -> None:
    assert described(core_with_tasks(), "b") == TaskDescribed(7, "b", DEFINITION, b"2", [], ["a"])


def test_an_error_leads_to_the_task_that_failed_first() -> None:
    core = core_with_tasks()
    task = core.state.tasks["a"]
    core._machine.fail(task, m.Raised(Payload(b"error")), "a")
    answer = described(core, "b", blamed=True)
    assert isinstance(answer, TaskDescribed)
    assert answer.key == "a"


def test_what_no_task_computes_is_refused() -> None:
    answer = described(core_with_tasks(), "unknown")
    assert isinstance(answer, m.CallFailed)
    assert (answer.id, answer.kind) == (7, "ValueError")
