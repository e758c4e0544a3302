"""Copies of results: how they are ordered, moved and dropped."""

from __future__ import annotations

from typing import Any

from nbcluster.protocol.messages import (
    AcquireReplicas,
    DataAdded,
    DataItem,
    FreeKeys,
    MissingData,
    ReplicasFailed,
    Scatter,
    StoredData,
)
from nbcluster.protocol.operating import ManageMemory, OperationDone, Rebalance, Replicate
from nbcluster.protocol.payload import Payload
from nbcluster.scheduler.events import DropSpares, FromClient, FromWorker, WorkerLeft
from tests.scheduler.test_running import Scene

BIG = Payload(b"x" * 10_000)


class DataScene(Scene):
    """Workers that hold scattered data."""

    def put(self, key: str, worker: str) -> None:
        self.handle(FromClient("c", [Scatter([DataItem(key, BIG, 10_000)], [worker])]))
        self.got(worker, key, self.core.state.tasks[key].order)
        self.to_client.clear()

    def got(self, worker: str, key: str, stamp: int = 0) -> None:
        self.handle(FromWorker(worker, [DataAdded([StoredData(key, 10_000, stamp)])]))

    def ordered(self) -> list[tuple[str, str]]:
        """The copies that were ordered: of whom, and of what. Forgets them."""
        found = []
        for worker, messages in self.to_worker.items():
            for message in messages:
                if isinstance(message, AcquireReplicas):
                    found += [(worker, location.key) for location in message.items]
        self.to_worker.clear()
        return found

    def request(self, message: Any) -> None:
        self.to_worker.clear()
        self.handle(FromClient("c", [message]))

    def holders(self, key: str) -> set[Any]:
        return {worker.name for worker in self.core.state.tasks[key].who_has}


def test_copies_spread_as_a_tree() -> None:
    scene = DataScene(*"abcdefgh")
    scene.put("x", "a")
    scene.request(Replicate(1, ["x"], branching_factor=2))
    waves = []
    while orders := scene.ordered():
        waves.append(len(orders))
        for worker, key in orders[:-1]:
            scene.got(worker, key)
        assert scene.to_client == []
        first = scene.ordered()
        scene.got(*orders[-1])
        scene.to_worker.setdefault("", []).clear()
        for worker, _ in first:
            scene.got(worker, "x")
        waves.append(len(first))
    assert waves[0] == 2
    assert scene.holders("x") == set("abcdefgh")
    assert scene.to_client == [OperationDone(1)]


def test_a_copy_that_fails_is_tried_again_and_given_up_in_the_end() -> None:
    scene = DataScene("a", "b")
    scene.put("x", "a")
    scene.request(Replicate(1, ["x"]))
    for _ in range(3):
        assert scene.ordered() == [("b", "x")]
        scene.handle(FromWorker("b", [ReplicasFailed([MissingData("x", "fake://nobody")])]))
    assert scene.ordered() == []
    assert scene.to_client == [OperationDone(1)]


def test_a_worker_that_dies_keeps_nobody_waiting() -> None:
    scene = DataScene("a", "b")
    scene.put("x", "a")
    scene.request(Replicate(1, ["x"]))
    scene.handle(WorkerLeft("b"))
    assert scene.to_client == [OperationDone(1)]


def test_data_moves_when_the_copy_is_there() -> None:
    scene = DataScene("a", "b")
    for key in ("x", "y"):
        scene.put(key, "a")
    scene.request(Rebalance(1))
    [(worker, key)] = scene.ordered()
    assert worker == "b"
    assert scene.holders(key) == {"a"}
    scene.got("b", key)
    assert scene.holders(key) == {"b"}
    assert FreeKeys([key]) in scene.to_worker["a"]
    assert scene.to_client == [OperationDone(1)]


def test_spare_copies_are_dropped_unless_somebody_asked_for_them() -> None:
    scene = DataScene("a", "b")
    for key in ("x", "y"):
        scene.put(key, "a")
    scene.got("b", "x")
    scene.request(Replicate(1, ["y"]))
    scene.got("b", "y")
    scene.handle(DropSpares())
    assert len(scene.holders("x")) == 1
    assert scene.holders("y") == {"a", "b"}


def test_managing_memory_can_be_stopped_and_started() -> None:
    scene = DataScene()
    for action, running in (("running", "yes"), ("stop", "no"), ("running", "no"), ("start", "yes")):
        scene.request(ManageMemory(1, action))  # type: ignore[arg-type]
        assert scene.to_client.pop() == OperationDone(1, {"running": running})
