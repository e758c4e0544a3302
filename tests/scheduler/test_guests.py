"""Workers from outside: who has which name, and what is said to whoever has it."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from nbcluster.protocol.joining import Dismissed, GiveUpName, Joined, LetGo, StartAfresh, TakeName, WorkerEnded
from nbcluster.protocol.messages import RegisterWorker
from nbcluster.protocol.records import Message
from nbcluster.scheduler import guests as module
from nbcluster.scheduler.guests import Guests


class FakeHost:
    """A link over which names are taken."""

    def __init__(self) -> None:
        self.is_lost = False
        self.heard: list[Message] = []

    def send(self, messages: list[Message]) -> None:
        self.heard += messages


class FakeServer:
    """A scheduler that notes what it is to do with its workers."""

    def __init__(self) -> None:
        self.own = {"own"}
        self.here: set[Any] = set()
        self.log: list[tuple[Any, ...]] = []
        self.changed = asyncio.Event()

    def knows(self, name: Any) -> bool:
        return name in self.own

    def is_here(self, name: Any) -> bool:
        return name in self.here

    async def wait_changed(self) -> None:
        await self.changed.wait()

    def retire(self, names: list[Any]) -> None:
        self.log.append(("retire", *names))

    def stop_worker(self, name: Any, reason: str) -> None:
        self.log.append(("stop", name))

    def forsake(self, name: Any) -> None:
        self.log.append(("forsake", name))

    def worker_exited(self, name: Any, pid: int, cause: str, running: frozenset[int], log: str) -> None:
        self.log.append(("exited", name, pid, cause, running))


class Bench:
    """Guests of a scheduler, and one host."""

    def __init__(self) -> None:
        self.server = FakeServer()
        self.guests = Guests(cast("Any", self.server))
        self.host = FakeHost()

    async def take(self, name: str, host: FakeHost | None = None, supervised: bool = False) -> None:
        await self.guests.serve(host or self.host, TakeName(1, name, supervised))


def test_of_two_that_want_a_name_the_first_gets_it() -> None:
    async def main() -> None:
        bench = Bench()
        await bench.take("ada", supervised=True)
        assert "ada" in bench.guests
        assert bench.guests.supervised("ada")
        for name in ("ada", "own"):
            with pytest.raises(ValueError, match=f"name taken, '{name}'"):
                await bench.take(name, FakeHost())
        assert bench.guests.names == ["ada"]

    asyncio.run(main())


def test_who_is_gone_already_takes_none() -> None:
    async def main() -> None:
        bench = Bench()
        bench.host.is_lost = True
        await bench.take("ada")
        assert bench.guests.names == []

    asyncio.run(main())


def test_only_who_has_a_name_decides_over_it() -> None:
    async def main() -> None:
        bench, other = Bench(), FakeHost()
        await bench.take("ada")
        for request in (GiveUpName(2, "ada"), LetGo(3, "ada")):
            with pytest.raises(ValueError, match="not a name of a worker that came over this link"):
                await bench.guests.serve(other, request)
        bench.guests.ended(other, WorkerEnded("ada", 5, "killed"))
        assert bench.server.log == []
        bench.guests.ended(bench.host, WorkerEnded("ada", 5, "killed", [7]))
        assert bench.server.log == [("exited", "ada", 5, "killed", frozenset({7}))]

    asyncio.run(main())


def test_a_name_that_is_given_up_is_free_once_its_worker_is_gone() -> None:
    async def main() -> None:
        bench = Bench()
        await bench.take("ada")
        bench.server.here.add("ada")
        giving = asyncio.ensure_future(bench.guests.serve(bench.host, GiveUpName(2, "ada")))
        await asyncio.sleep(0)
        assert bench.server.log == [("forsake", "ada")]
        assert not giving.done()
        bench.server.here.clear()
        bench.server.changed.set()
        await giving
        assert bench.guests.names == []

    asyncio.run(main())


def test_a_worker_that_does_not_go_keeps_its_name_only_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GOING", 0.001)

    async def main() -> None:
        bench = Bench()
        await bench.take("ada")
        bench.server.here.add("ada")
        await bench.guests.serve(bench.host, GiveUpName(2, "ada"))
        assert bench.guests.names == []

    asyncio.run(main())


def test_a_link_that_ends_takes_its_names_along_and_no_others() -> None:
    async def main() -> None:
        bench, other = Bench(), FakeHost()
        await bench.take("ada")
        await bench.take("bob", other)
        bench.guests.left(bench.host)
        assert bench.guests.names == ["bob"]
        assert bench.server.log == [("forsake", "ada")]

    asyncio.run(main())


def test_who_asked_for_it_himself_is_stopped_when_nothing_would_be_lost() -> None:
    async def main() -> None:
        bench = Bench()
        await bench.take("ada")
        await bench.guests.serve(bench.host, LetGo(2, "ada"))
        bench.guests.retired("ada")
        bench.guests.retired("ada")
        assert bench.server.log == [("retire", "ada"), ("stop", "ada")]
        assert bench.host.heard == []

    asyncio.run(main())


def test_who_is_dismissed_is_told_so_when_nothing_would_be_lost() -> None:
    async def main() -> None:
        bench = Bench()
        await bench.take("ada")
        bench.guests.dismiss(["ada"])
        assert bench.host.heard == []
        bench.guests.retired("ada")
        assert bench.host.heard == [Dismissed("ada", "it was retired")]
        assert bench.server.log == [("retire", "ada")]

    asyncio.run(main())


def test_hosts_hear_of_their_workers_and_nobody_of_the_clusters_own() -> None:
    async def main() -> None:
        bench = Bench()
        await bench.take("ada")
        bench.guests.joined(RegisterWorker("own", "tcp://own", 1, pid=1))
        bench.guests.joined(RegisterWorker("ada", "tcp://ada", 1, pid=2, local_directory="/scratch"))
        bench.guests.restart(["ada"])
        assert bench.host.heard == [Joined("ada", 2, "tcp://ada", "/scratch"), StartAfresh("ada")]

    asyncio.run(main())
