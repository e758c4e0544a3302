"""Workers whose time is over."""

from __future__ import annotations

import asyncio

from nbcluster.cluster.keywords import Lifetime
from nbcluster.cluster.lifetimes import Lifetimes
from nbcluster.types import WorkerName
from tests.support.eventually import soon


def test_each_is_told_of_once_its_time_is_over_unless_it_is_gone_before() -> None:
    async def main() -> None:
        over: list[WorkerName] = []
        lifetimes = Lifetimes(Lifetime(0.0), over.append)
        for name in ("ada", "eve", "mary"):
            lifetimes.born(name)
        lifetimes.ended("eve")
        lifetimes.ended("eve")
        await soon(lambda: "mary" in over)
        assert over == ["ada", "mary"]

    asyncio.run(main())


def test_who_comes_again_has_all_its_time_before_it() -> None:
    async def main() -> None:
        over: list[WorkerName] = []
        lifetimes = Lifetimes(Lifetime(0.0), over.append)
        lifetimes.born("ada")
        lifetimes.born("eve")
        lifetimes.born("ada")
        await soon(lambda: len(over) == 2)
        assert over == ["eve", "ada"]

    asyncio.run(main())


def test_without_a_lifetime_or_closed_nobodys_time_is_over() -> None:
    async def main() -> None:
        over: list[WorkerName] = []
        forever, closed = Lifetimes(None, over.append), Lifetimes(Lifetime(0.0), over.append)
        forever.born("ada")
        closed.born("eve")
        closed.close()
        other = Lifetimes(Lifetime(0.0), over.append)
        other.born("mary")
        await soon(lambda: over)
        assert over == ["mary"]

    asyncio.run(main())
