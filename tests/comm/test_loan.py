"""A link is lent for as long as threads read it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any

from nbcluster.comm.loan import Loan
from tests.support.eventually import soon
from tests.support.fake_connection import FakeConnection
from tests.support.links import run


class Lendable(FakeConnection):
    """A link that is lent when it may be, and taken back when nobody reads it just now."""

    def __init__(self) -> None:
        super().__init__()
        self.may_be_lent = True
        self.being_read = False
        self.taken_back = 0
        self.lending: Any = SimpleNamespace(uses=0)

    def lend_reading(self) -> Any:
        return self.lending if self.may_be_lent else None

    def take_back_reading(self) -> bool:
        self.taken_back += not self.being_read
        return not self.being_read


def on_loop(test: Callable[[Lendable], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        await test(Lendable())

    run("asyncio", main())


def test_it_is_given_back_when_nobody_has_read_for_a_while() -> None:
    async def test(link: Lendable) -> None:
        loan = Loan(link)
        loan.begin(0.0)
        assert loan.lending is link.lending
        await soon(lambda: loan.lending is None)
        assert link.taken_back == 1

    on_loop(test)


def test_it_stays_lent_as_long_as_somebody_reads() -> None:
    async def test(link: Lendable) -> None:
        looks = 0

        def look() -> None:
            nonlocal looks
            looks += 1
            link.lending.uses += looks < 10

        loan = Loan(link, look)
        link.lending.uses = 1
        loan.begin(0.0)
        await soon(lambda: loan.lending is None)
        assert looks >= 10, "it is looked at all the while"

    on_loop(test)


def test_a_thread_that_is_reading_is_not_disturbed() -> None:
    async def test(link: Lendable) -> None:
        looks: list[None] = []
        loan = Loan(link, lambda: looks.append(None))
        link.being_read = True
        loan.begin(0.0)
        assert not loan.end()
        await soon(lambda: len(looks) > 2)
        assert loan.lending is not None
        link.being_read = False
        await soon(lambda: loan.lending is None)

    on_loop(test)


def test_what_cannot_be_lent_is_not_and_ending_that_is_no_error() -> None:
    async def test(link: Lendable) -> None:
        link.may_be_lent = False
        loan = Loan(link)
        loan.begin(0.0)
        assert loan.lending is None
        assert loan.end()
        assert link.taken_back == 0

    on_loop(test)


def test_a_loan_that_is_ended_leaves_no_clock_behind() -> None:
    async def test(link: Lendable) -> None:
        loan = Loan(link)
        loan.begin(1000.0)
        assert loan.end()
        loan.begin(0.0)  # the next one is as long as it says itself
        await soon(lambda: link.taken_back == 2)

    on_loop(test)
