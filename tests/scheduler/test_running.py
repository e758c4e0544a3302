"""Calls beside tasks: everybody who asked gets one answer, and later workers make first what is kept."""

from __future__ import annotations

from typing import Any

from nbcluster.protocol.messages import CallFailed, Compute, RegisterWorker, SubmitTasks
from nbcluster.protocol.payload import Payload
from nbcluster.protocol.running import CallEnded, FunctionRan, KeptName, Returned, RunCall, RunFunction, WorkerGone
from nbcluster.scheduler.core import SchedulerCore
from nbcluster.scheduler.events import ClientJoined, Event, FromClient, FromWorker, WorkerJoined, WorkerLeft
from nbcluster.scheduler.invariants import check
from nbcluster.scheduler.outbox import ToClient, ToWorker
from nbcluster.types import Status

CALL = Payload(b"opaque")
VALUE = Returned(Payload(b"value"))
F = b"f" * 16


class Scene:
    """A core with one client; what it says is kept by recipient."""

    def __init__(self, *workers: str) -> None:
        self.core = SchedulerCore()
        self.to_client: list[Any] = []
        self.to_worker: dict[Any, list[Any]] = {}
        self.handle(ClientJoined("c"))
        for name in workers:
            self.join(name)

    def handle(self, event: Event) -> None:
        for command in self.core.handle(event, 1.0):
            if isinstance(command, ToClient):
                self.to_client += command.messages
            elif isinstance(command, ToWorker):
                self.to_worker.setdefault(command.name, []).extend(command.messages)
        check(self.core)

    def join(self, name: str) -> None:
        self.handle(WorkerJoined(RegisterWorker(name, f"fake://{name}", 1, 1)))

    def status(self, name: str) -> Status:
        return self.core.state.workers[name].status

    def ask(self, **options: Any) -> None:
        self.handle(FromClient("c", [RunFunction(7, CALL, **options)]))

    def calls(self, name: str) -> list[RunCall]:
        return [message for message in self.to_worker.get(name, []) if isinstance(message, RunCall)]

    def answer(self, name: str, index: int = -1) -> None:
        self.handle(FromWorker(name, [CallEnded(self.calls(name)[index].number, VALUE)]))


def test_the_answer_is_sent_when_the_last_worker_has_answered() -> None:
    scene = Scene("a", "b")
    scene.ask()
    scene.answer("a")
    assert scene.to_client == []
    scene.answer("b")
    assert scene.to_client == [FunctionRan(7, {"fake://a": VALUE, "fake://b": VALUE})]


def test_a_worker_that_goes_has_answered() -> None:
    scene = Scene("a", "b")
    scene.ask()
    scene.answer("a")
    scene.handle(WorkerLeft("b", cause="was killed"))
    assert scene.to_client == [FunctionRan(7, {"fake://a": VALUE, "fake://b": WorkerGone("was killed")})]


def test_a_second_answer_is_no_news() -> None:
    scene = Scene("a", "b")
    scene.ask()
    scene.answer("a")
    scene.answer("a")
    assert scene.to_client == []


def test_without_workers_or_without_waiting_the_answer_comes_at_once() -> None:
    empty = Scene()
    empty.ask()
    assert empty.to_client == [FunctionRan(7, {})]
    scene = Scene("a")
    scene.ask(wait=False)
    assert scene.to_client == [FunctionRan(7, {})]
    assert len(scene.calls("a")) == 1


def test_workers_are_named_by_name_or_address() -> None:
    scene = Scene("a", "b", "c")
    scene.ask(workers=["a", "fake://c"])
    assert [len(scene.calls(name)) for name in "abc"] == [1, 0, 1]
    scene.ask(workers=["nobody"])
    [refusal] = scene.to_client
    assert isinstance(refusal, CallFailed)
    assert "'nobody'" in refusal.message


def test_a_new_worker_makes_the_calls_that_are_kept_before_it_gets_tasks() -> None:
    scene = Scene()
    scene.ask(keep=KeptName("worker", "second"))
    scene.ask(keep=KeptName("nanny", "first"))
    scene.join("a")
    assert scene.status("a") == Status.STARTING
    scene.handle(FromClient("c", [SubmitTasks(F, Payload(b"code"), ["f-1"], [b""])]))
    assert scene.core.running.kept == [("nanny", "first"), ("worker", "second")]
    assert [call.turn for call in scene.calls("a")] == [True, True]
    scene.answer("a", 0)
    assert not any(isinstance(message, Compute) for message in scene.to_worker["a"])
    scene.answer("a", 1)
    assert scene.status("a") == Status.RUNNING
    assert any(isinstance(message, Compute) for message in scene.to_worker["a"])


def test_what_is_kept_once_is_not_made_again_and_what_is_dropped_not_any_more() -> None:
    scene = Scene("a")
    scene.ask(keep=KeptName("worker", "p", once=True))
    scene.ask(keep=KeptName("worker", "p", once=True))
    assert len(scene.calls("a")) == 1
    scene.ask(drop=KeptName("worker", "p"))
    assert scene.core.running.kept == []
    scene.ask(drop=KeptName("worker", "p"))
    assert isinstance(scene.to_client[-1], CallFailed)


def test_a_worker_that_dies_while_it_prepares_is_forgotten() -> None:
    scene = Scene()
    scene.ask(keep=KeptName("worker", "p"))
    scene.join("a")
    scene.handle(WorkerLeft("a"))
    scene.join("a")
    scene.answer("a")
    assert scene.status("a") == Status.RUNNING
