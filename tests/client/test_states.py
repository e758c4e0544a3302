from __future__ import annotations

import contextvars
import gc
import threading
import weakref

import pytest

from nbcluster.client.states import CANCELLED, ERROR, FINISHED, PENDING, Countdown, FutureState, Origin, finish_all
from nbcluster.errors import FutureCancelledError, KilledWorker, WorkerLostData
from nbcluster.protocol.exceptions import dump_exception
from nbcluster.protocol.messages import KeyDone, Killed, Lost, Raised
from nbcluster.protocol.payload import Payload
from tests.support.eventually import eventually

RESULT = Payload(b"x")
LOST = Lost("fake://0")


def pending(count: int = 1) -> list[FutureState]:
    return [FutureState(f"f-{number}") for number in range(count)]


# --- one state ---


def test_it_begins_as_pending() -> None:
    [state] = pending()
    assert state.status == PENDING
    assert state.exception() is None
    assert repr(state) == "<FutureState f-0 pending>"


def test_a_result_makes_it_finished() -> None:
    [state] = pending()
    state.finish("int", 8, RESULT)
    assert (state.status, state.type_name, state.nbytes, state.payload) == (FINISHED, "int", 8, RESULT)
    assert state.exception() is None


def test_what_was_raised_is_a_new_exception_each_time() -> None:
    [state] = pending()
    state.fail(Raised(dump_exception(LookupError("not there"))), "f-0")
    first, second = state.exception(), state.exception()
    assert state.status == ERROR
    assert isinstance(first, LookupError)
    assert str(first) == "not there"
    assert first is not second


def test_the_death_of_workers_is_an_exception_that_names_them() -> None:
    [state] = pending()
    state.fail(Killed(4, "fake://3", "was killed by SIGKILL", "last words"), "culprit-1")
    error = state.exception()
    assert isinstance(error, KilledWorker)
    assert (error.task, error.attempts, error.last_worker) == ("culprit-1", 4, "fake://3")
    assert "last words" in str(error)


@pytest.mark.parametrize(("worker", "said"), [("fake://0", "with the worker fake://0"), ("", "before it was used")])
def test_lost_data_is_an_exception_that_names_it(worker: str, said: str) -> None:
    [state] = pending()
    state.fail(Lost(worker), "data-1")
    error = state.exception()
    assert isinstance(error, WorkerLostData)
    assert error.key == "data-1"
    assert said in str(error)


def test_a_cancellation_says_who_and_why() -> None:
    [state] = pending()
    state.finish("int", 8, RESULT)
    state.cancel("enough", "Cancelled by ada.")
    error = state.exception()
    assert state.status == CANCELLED
    assert state.payload is None
    assert isinstance(error, FutureCancelledError)
    assert (error.key, error.reason, error.msg) == ("f-0", "enough", "Cancelled by ada.")


def test_what_is_computed_again_is_pending_again() -> None:
    [state] = pending()
    state.fail(LOST, "f-0")
    state.pend()
    assert state.status == PENDING
    assert state.exception() is None
    state.finish("int", 8, RESULT)
    state.pend()
    assert state.payload is None


# --- waiters ---


def test_waiters_are_called_once_in_their_order() -> None:
    [state] = pending()
    called: list[str] = []
    state.when_done(lambda _: called.append("first"))
    state.when_done(lambda _: called.append("second"))
    state.finish("int", 8, RESULT)
    state.pend()
    state.finish("int", 8, RESULT)
    assert called == ["first", "second"]


@pytest.mark.parametrize("end", ["finish", "fail", "cancel"])
def test_every_end_calls_them(end: str) -> None:
    [state] = pending()
    called: list[str] = []
    state.when_done(lambda it: called.append(it.status))
    {
        "finish": lambda: state.finish("int", 8, None),
        "fail": lambda: state.fail(LOST, "f-0"),
        "cancel": lambda: state.cancel("enough", ""),
    }[end]()
    assert called == [state.status]


def test_one_that_comes_late_is_called_at_once() -> None:
    [state] = pending()
    state.finish("int", 8, None)
    called: list[FutureState] = []
    state.when_done(called.append)
    assert called == [state]


def test_one_that_is_forgotten_is_not_called() -> None:
    [state] = pending()
    called: list[FutureState] = []
    state.forget_waiter(called.append)
    state.when_done(called.append)
    state.forget_waiter(called.append)
    state.finish("int", 8, None)
    assert called == []


# --- threads that wait ---


def test_a_thread_waits_until_it_is_done() -> None:
    [state] = pending()
    results: list[bool] = []
    threads = [threading.Thread(target=lambda: results.append(state.wait_in_thread(20))) for _ in range(3)]
    for thread in threads:
        thread.start()
    eventually(lambda: len(state.latches or ()) == 3)
    state.finish("int", 8, None)
    for thread in threads:
        thread.join(20)
    assert results == [True] * 3


def test_what_is_done_already_is_not_waited_for() -> None:
    [state] = pending()
    state.cancel("enough", "")
    assert state.wait_in_thread(None)


def test_a_thread_gives_up_and_leaves_nothing_that_disturbs_the_next() -> None:
    [state] = pending()
    assert not state.wait_in_thread(0.001)
    state.finish("int", 8, None)
    state.pend()
    assert not state.wait_in_thread(0.001)
    state.finish("int", 8, None)
    assert state.wait_in_thread(0.001)


# --- countdowns ---


def counted(
    states: list[FutureState], enough: int | None = None, stop_early: bool = False
) -> tuple[list[int], Countdown]:
    fired: list[int] = []
    return fired, Countdown(states, lambda: fired.append(1), enough=enough, stop_early=stop_early)


def test_a_countdown_fires_when_all_are_done() -> None:
    states = pending(3)
    fired, _ = counted(states)
    states[0].finish("int", 8, None)
    states[2].fail(LOST, "f-2")
    assert not fired
    states[1].cancel("enough", "")
    assert fired == [1]


def test_or_when_enough_are() -> None:
    states = pending(3)
    fired, _ = counted(states, enough=1)
    states[1].finish("int", 8, None)
    states[2].finish("int", 8, None)
    assert fired == [1]


@pytest.mark.parametrize("number", [0, 5])
def test_of_nothing_pending_all_is_done(number: int) -> None:
    states = pending(number)
    for state in states:
        state.finish("int", 8, None)
    assert counted(states)[0] == [1]
    assert counted(states, enough=2)[0] == [1]


def test_none_of_many_is_enough_at_once() -> None:
    assert counted(pending(3), enough=0)[0] == [1]


def test_stopping_early_one_failure_is_enough() -> None:
    states = pending(3)
    fired, countdown = counted(states, stop_early=True)
    states[0].finish("int", 8, None)
    assert (fired, countdown.failed) == ([], False)
    states[1].fail(LOST, "f-1")
    states[2].finish("int", 8, None)
    assert (fired, countdown.failed) == ([1], True)


def test_stopping_early_a_former_failure_is_enough() -> None:
    states = pending(2)
    states[0].fail(LOST, "f-0")
    fired, countdown = counted(states, stop_early=True)
    assert (fired, countdown.failed) == ([1], True)
    fired, countdown = counted(states)
    assert (fired, countdown.failed) == ([], False)


def test_a_countdown_that_is_cancelled_fires_no_more_and_watches_no_more() -> None:
    states = pending(2)
    fired, countdown = counted(states)
    countdown.cancel()
    for state in states:
        assert not state.is_watched
        state.finish("int", 8, None)
    assert fired == []


def test_waiting_for_many_states_makes_nothing_for_each() -> None:
    states = [FutureState(f"x-{number}") for number in range(100)]
    fired: list[bool] = []
    countdown = Countdown(states, lambda: fired.append(True))
    assert len({id(state.waiters) for state in states}) == 1
    for state in states[:99]:
        state.finish("int", 28, None)
    assert not fired
    states[99].finish("int", 28, None)
    assert fired
    countdown.cancel()
    assert not any(state.is_watched for state in states)


def test_a_countdown_nudges_whenever_a_portion_more_is_done() -> None:
    states, nudged, fired = pending(8), list[int](), list[bool]()
    done = 0
    countdown = Countdown(states, lambda: fired.append(True), nudge=lambda: nudged.append(done), portion=3)
    for state in states:
        done += 1
        state.finish("int", 28, None)
    assert nudged == [3, 6]
    assert fired == [True]
    countdown.cancel()


def test_it_nudges_at_once_if_some_are_done_and_others_are_not() -> None:
    states, nudged = pending(3), list[int]()
    Countdown(states, lambda: None, nudge=lambda: nudged.append(0), portion=3)
    assert nudged == []
    states[1].finish("int", 28, None)
    Countdown(states, lambda: None, nudge=lambda: nudged.append(1), portion=3)
    assert nudged == [1]
    for state in states:
        state.finish("int", 28, None)
    Countdown(states, lambda: None, nudge=lambda: nudged.append(2), portion=3)
    assert nudged == [1]


def test_it_nudges_no_more_when_it_has_fired_or_was_cancelled() -> None:
    nudged = list[int]()
    failing, cancelled = pending(3), pending(3)
    Countdown(failing, lambda: None, stop_early=True, nudge=lambda: nudged.append(1), portion=1)
    failing[0].fail(LOST, "f-0")
    failing[1].finish("int", 28, None)
    Countdown(cancelled, lambda: None, nudge=lambda: nudged.append(2), portion=1).cancel()
    cancelled[0].finish("int", 28, None)
    assert nudged == []


def test_one_that_stops_waiting_leaves_the_others_waiting() -> None:
    state, calls = FutureState("x"), list[str]()
    first = Countdown([state], lambda: calls.append("first"))
    Countdown([state], lambda: calls.append("second"))
    state.when_done(lambda _: calls.append("third"))
    first.cancel()
    state.finish("int", 28, None)
    assert calls == ["second", "third"]


def test_who_counts_many_states_is_told_once_of_all_that_come_together() -> None:
    states, calls = pending(6), list[str]()
    done = [(state, KeyDone(state.key, "int", 28, Payload(b"1"))) for state in states]
    everything = Countdown(states, lambda: calls.append("all"), nudge=lambda: calls.append("nudge"), portion=1)
    states[1].when_done(lambda state: calls.append(f"{state.key} alone"))
    latch = threading.Lock()
    latch.acquire()
    states[2].latches = [latch]
    finish_all(done[:5])
    assert calls == ["nudge", "f-1 alone", "nudge", "nudge"], "for f-1, for f-2, and for all the others at once"
    assert not latch.locked()
    assert not any(state.is_watched for state in states[:5])
    finish_all(done[5:])
    assert calls[4:] == ["all"]
    assert {(state.status, state.type_name, state.nbytes, state.payload) for state in states} == {
        (FINISHED, "int", 28, Payload(b"1"))
    }
    everything.cancel()


# --- garbage ---


def test_the_garbage_collector_looks_at_no_state_whatever_becomes_of_it() -> None:
    context = contextvars.copy_context()
    states = [FutureState(f"x-{number}", Origin(weakref.ref(context), "cell 1")) for number in range(6)]
    countdown = Countdown(states, lambda: None)
    states[0].finish("int", 28, Payload(b"1"))
    states[1].fail(Raised(Payload(b"")), "x-1")
    states[2].cancel("cancelled", "by somebody")
    states[3].pend()
    states[4].when_done(lambda state: None)
    assert not any(map(gc.is_tracked, states))
    countdown.cancel()


def test_a_state_knows_the_context_as_long_as_somebody_holds_it() -> None:
    context = contextvars.copy_context()
    state = FutureState("x", Origin(weakref.ref(context), "cell 1"))
    known = [state.context is context]
    del context
    known += [state.context is None, FutureState("y").context is None]
    assert known == [True, True, True]
    assert state.cell == "cell 1"
