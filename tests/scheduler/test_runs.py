"""The latest runs that have ended."""

from __future__ import annotations

from nbcluster.protocol.messages import TaskDone
from nbcluster.scheduler.runs import RunLog, RunRecord


def done(key: str) -> TaskDone:
    number = int(key.split("-")[1])
    return TaskDone(key, 100 + number, number, "int", 0, float(number), number + 0.5)


def finish(log: RunLog, *keys: str, worker: str = "w0") -> None:
    log.note_finished(worker, list(keys), ["f"] * len(keys), [done(key) for key in keys])


def record(number: int, key: str, worker: str = "w0") -> RunRecord:
    run = done(key)
    return RunRecord(number, key, "f", worker, 0, run.start, run.stop, "finished", run.nbytes)


def test_runs_that_come_together_read_like_runs_that_come_one_by_one() -> None:
    together, alone = RunLog(10), RunLog(10)
    finish(together, "f-1", "f-2", "f-3")
    for key in ("f-1", "f-2", "f-3"):
        finish(alone, key)
    assert list(together) == list(alone) == [record(1, "f-1"), record(2, "f-2"), record(3, "f-3")]
    assert together.ended == alone.ended == 3


def test_nothing_is_noted_of_no_runs() -> None:
    log = RunLog(10)
    finish(log)
    assert (len(log), log.ended) == (0, 0)


def test_it_tells_what_has_ended_since_and_of_too_many_the_latest() -> None:
    log = RunLog(10)
    finish(log, "f-1", "f-2", "f-3")
    finish(log, "f-4", worker="w1")
    assert log.since(1) == [record(2, "f-2"), record(3, "f-3"), record(4, "f-4", "w1")]
    assert log.since(0, 2) == [record(3, "f-3"), record(4, "f-4", "w1")]
    assert log.since(4) == log.since(0, 0) == []


def test_the_oldest_are_dropped() -> None:
    log = RunLog(4)
    finish(log, "f-1", "f-2")
    finish(log, "f-3", "f-4")
    finish(log, "f-5")
    assert [run.key for run in log] == ["f-3", "f-4", "f-5"]
    assert log.since(0) == log.since(2) == list(log)
    assert log.ended == 5


def test_it_knows_where_a_task_failed_the_last_time() -> None:
    log = RunLog(10)
    log.note_failed("w0", "f-1", "f", 0, 1.0, 1.5)
    log.note_failed("w1", "f-1", "f", 0, 2.0, 2.5)
    finish(log, "f-2", "f-3")
    assert log.last_failure("f-1") == RunRecord(2, "f-1", "f", "w1", 0, 2.0, 2.5, "error", 0)
    assert log.last_failure("f-2") is None
