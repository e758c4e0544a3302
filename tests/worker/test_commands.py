"""Commands and messages of one event: what is alike and follows one another becomes one."""

from __future__ import annotations

from nbcluster.protocol.messages import (
    DataAdded,
    MissingData,
    ReplicasFailed,
    StoredData,
    TaskDone,
    TaskReturned,
    TasksDone,
)
from nbcluster.worker import commands as c
from nbcluster.worker.commands import Batches


def done(key: str) -> TaskDone:
    return TaskDone(key, 1, 28, "int", 0, 0.0, 1.0, None)


def test_what_is_alike_and_follows_one_another_is_one_command() -> None:
    batches = Batches()
    for run_id in (1, 2):
        batches.add(c.Unqueue, run_id)
    batches.command(c.Fetch("peer", ["x"]))
    batches.add(c.Unqueue, 3)
    assert batches.take() == [c.Unqueue([1, 2]), c.Fetch("peer", ["x"]), c.Unqueue([3])]


def test_messages_come_last_and_reports_of_one_kind_are_one() -> None:
    batches = Batches()
    batches.done([done("x")])
    batches.drop(["gone"])
    batches.done([done("y")])
    batches.holds(StoredData("z", 1))
    batches.replica_failed(MissingData("w", "peer"))
    assert batches.take() == [
        c.Drop(["gone"]),
        c.Send(
            [
                TasksDone([done("x"), done("y")]),
                DataAdded([StoredData("z", 1)]),
                ReplicasFailed([MissingData("w", "peer")]),
            ]
        ),
    ]


def test_their_order_stays_what_it_was() -> None:
    batches = Batches()
    returned = [TaskReturned(key, 1, []) for key in "ab"]
    batches.send(returned[0])
    batches.done([done("x")])
    batches.send(returned[1])
    batches.done([done("y")])
    assert batches.take() == [c.Send([returned[0], TasksDone([done("x")]), returned[1], TasksDone([done("y")])])]


def test_what_was_taken_is_not_taken_again() -> None:
    batches = Batches()
    batches.done([done("x")])
    assert len(batches.take()) == 1
    assert batches.take() == []
