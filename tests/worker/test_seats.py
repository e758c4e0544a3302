"""Who of a worker's threads may run tasks."""

from __future__ import annotations

from typing import Any

from nbcluster.worker import seats
from nbcluster.worker.seats import Seat, Seats


def seat(number: int, taken: bool = True) -> Seat:
    nobody: Any = None
    made = Seat(nobody, number)
    made.taken = taken
    return made


def test_a_new_thread_gets_the_smallest_number_that_is_free() -> None:
    made = Seats(2)
    assert [made.number() for _ in range(3)] == [2, 3, 4]
    for number in (4, 0, 3):
        made.give_back(number)
    assert [made.number() for _ in range(4)] == [0, 3, 4, 5]


def test_there_are_never_too_many_threads() -> None:
    made = Seats(seats.MOST_THREADS - 1)
    assert made.number() == seats.MOST_THREADS - 1
    assert made.number() is None
    made.give_back(7)
    assert made.number() == 7


def test_a_seat_goes_to_whoever_wants_one_first() -> None:
    made = Seats(1)
    given, first, second = seat(0), seat(1, taken=False), seat(2, taken=False)
    latches = [made.want(first), made.want(second)]
    made.hand_over(given)
    assert (given.taken, first.taken, second.taken) == (False, True, False)
    assert [latch.locked() for latch in latches] == [False, True]


def test_a_thread_may_be_the_first_to_want_its_own_seat() -> None:
    made = Seats(1)
    own = seat(0)
    latch = made.want(own)
    made.hand_over(own)
    assert own.taken
    assert not latch.locked()


def test_when_the_worker_closes_nobody_waits_any_longer() -> None:
    made = Seats(1)
    wanting = [seat(number, taken=False) for number in range(3)]
    latches = [made.want(one) for one in wanting]
    made.close()
    assert not any(latch.locked() for latch in latches)
    assert not any(one.taken for one in wanting)
