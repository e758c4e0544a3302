"""Workers that want no more tasks for want of memory."""

from __future__ import annotations

from nbcluster.protocol.messages import Compute, RecallTasks, SubmitTasks, TasksRecalled
from nbcluster.protocol.operating import PauseChanged
from nbcluster.protocol.payload import Payload
from nbcluster.scheduler.events import FromClient, FromWorker, RetireWorkers
from nbcluster.types import Status
from tests.scheduler.test_running import F, Scene


def submit(scene: Scene, *keys: str) -> None:
    scene.handle(FromClient("c", [SubmitTasks(F, Payload(b"code"), list(keys), [b""] * len(keys))]))


def computed(scene: Scene, name: str) -> list[str]:
    return [t.key for m in scene.to_worker.get(name, []) if isinstance(m, Compute) for t in m.tasks]


def test_what_a_paused_worker_has_not_started_runs_elsewhere() -> None:
    scene = Scene("a")
    submit(scene, "f-1", "f-2")
    assert computed(scene, "a") == ["f-1", "f-2"]
    scene.handle(FromWorker("a", [PauseChanged(True)]))
    assert scene.status("a") == Status.PAUSED
    [recall] = [message for message in scene.to_worker["a"] if isinstance(message, RecallTasks)]
    scene.join("b")
    scene.handle(FromWorker("a", [TasksRecalled(recall.run_ids[1:], recall.request)]))
    assert computed(scene, "b") == ["f-2"]


def test_a_worker_that_resumes_gets_tasks_again() -> None:
    scene = Scene("a")
    scene.handle(FromWorker("a", [PauseChanged(True)]))
    submit(scene, "f-1")
    assert computed(scene, "a") == []
    scene.handle(FromWorker("a", [PauseChanged(False)]))
    assert scene.status("a") == Status.RUNNING
    assert computed(scene, "a") == ["f-1"]


def test_a_worker_that_is_about_to_go_does_not_come_back_by_resuming() -> None:
    scene = Scene("a", "b")
    submit(scene, "f-1", "f-2", "f-3", "f-4")
    scene.handle(RetireWorkers(["a"]))
    scene.handle(FromWorker("a", [PauseChanged(True)]))
    scene.handle(FromWorker("a", [PauseChanged(False)]))
    assert scene.status("a") == Status.RETIRING
