from __future__ import annotations

import asyncio
import concurrent.futures
import copy
import pickle

import pytest

from nbcluster import errors
from nbcluster.errors import (
    BlockedHandlerError,
    CancelledError,
    ClosedClientError,
    ClusterClosedError,
    ClusterError,
    CommClosedError,
    CommError,
    FutureCancelledError,
    FuturesCancelledError,
    HandshakeError,
    KilledWorker,
    NbclusterError,
    NotOurServerError,
    ProtocolError,
    RemoteError,
    SerializationError,
    WorkerLostData,
    WorkerStartTimeoutError,
)

CANCELLED = FutureCancelledError("inc-1", "cancelled", "Cancelled by ada.")
SPECIAL: list[NbclusterError] = [
    NbclusterError("text", anything=5),
    CommError("tcp://127.0.0.1:1 does not answer", address="tcp://127.0.0.1:1"),
    CommClosedError("closed"),
    HandshakeError("wrong token"),
    NotOurServerError("no such kernel"),
    ProtocolError("garbage"),
    SerializationError("cannot pickle", path="args[0].lock"),
    RemoteError("library.Conflict", "two at once"),
    ClusterError("no"),
    ClusterClosedError("the cluster 'a' is closed"),
    WorkerStartTimeoutError(1, 3, 0.5),
    BlockedHandlerError("feed is blocked", handler="feed"),
    ClosedClientError("closed"),
    KilledWorker("inc-1", 4, "unix:///w0.sock", cause="was killed by SIGKILL", log="line"),
    WorkerLostData("lost", key="data-1"),
    CANCELLED,
    FuturesCancelledError([CANCELLED, FutureCancelledError("inc-2", "lost")]),
]
TREE = {kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, NbclusterError)}
PLAIN = sorted(TREE - {type(error) for error in SPECIAL}, key=lambda kind: kind.__name__)
ALL = [*SPECIAL, *(kind("text", fact=5) for kind in PLAIN)]


@pytest.mark.parametrize("error", ALL, ids=lambda error: type(error).__name__)
def test_errors_survive_pickling_with_their_facts(error: NbclusterError) -> None:
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(twin) is type(error)
        assert str(twin) == str(error)
        assert twin.args == error.args
        assert set(vars(twin)) == set(vars(error))
        if not isinstance(error, FuturesCancelledError):
            assert vars(twin) == vars(error)


def test_errors_without_facts_of_their_own_need_no_constructor() -> None:
    assert [kind for kind in PLAIN if "__init__" in vars(kind)] == []


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (CommError, OSError),
        (SerializationError, TypeError),
        (ClusterError, RuntimeError),
        (BlockedHandlerError, ValueError),
        (WorkerStartTimeoutError, asyncio.TimeoutError),
        (ClosedClientError, RuntimeError),
        (CancelledError, concurrent.futures.CancelledError),
    ],
)
def test_errors_are_also_what_others_would_expect(error: type[Exception], kind: type[Exception]) -> None:
    assert issubclass(error, kind)
    assert issubclass(error, NbclusterError)


def test_the_one_timeout_is_that_of_asyncio() -> None:
    assert errors.TimeoutError is asyncio.TimeoutError


def test_a_killed_worker_says_what_how_often_where_and_why() -> None:
    error = KilledWorker("inc-1", 4, "unix:///w0.sock", cause="was killed by SIGSEGV", log="Fatal Python error")
    assert str(error) == (
        "'inc-1' was run on 4 different workers and each died while running it. "
        "The last one, unix:///w0.sock, was killed by SIGSEGV.\nIts last words:\nFatal Python error"
    )
    assert "closed its connection" in str(KilledWorker("inc-1", 1, "unix:///w0.sock"))


def test_cancellations_are_told_by_reason() -> None:
    error = FuturesCancelledError([CANCELLED, FutureCancelledError("a", "lost"), FutureCancelledError("b", "lost")])
    assert str(error) == (
        "1 future (inc-1) cancelled for reason: cancelled. Cancelled by ada.\n"
        "2 futures (a, b) cancelled for reason: lost."
    )
    assert {reason: [one.key for one in group] for reason, group in error.error_groups.items()} == {
        "cancelled": ["inc-1"],
        "lost": ["a", "b"],
    }


def test_a_cancellation_names_key_reason_and_culprit() -> None:
    assert str(CANCELLED) == "inc-1 cancelled for reason: cancelled.\nCancelled by ada."
    assert (CANCELLED.key, CANCELLED.reason, CANCELLED.msg) == ("inc-1", "cancelled", "Cancelled by ada.")


def test_workers_that_did_not_come_are_counted() -> None:
    error = WorkerStartTimeoutError(1, 3, 0.5)
    assert str(error).startswith("Only 1/3 workers arrived after 0.5 s")
    assert (error.available, error.expected) == (1, 3)
