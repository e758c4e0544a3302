"""The depot, driven by any interleaving of processes that publish, look, let go and end, beside a simple model."""

from __future__ import annotations

import errno
import gc
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from nbcluster.protocol.sharing import (
    UNUSED_MOST,
    Gone,
    Open,
    Opened,
    Publish,
    Published,
    Refused,
    Release,
    Tidy,
    Unused,
)
from nbcluster.store.depot import Depot, Holder
from nbcluster.store.segments import PAGE, sealed
from tests.support.open_files import open_files


def some_fd() -> int:
    return os.open("/dev/null", os.O_RDONLY)


@dataclass
class ModelBlob:
    segment: int
    offset: int
    nbytes: int
    sender: int | None
    """The process that published it, until the scheduler has read of it."""
    holds: Counter[int] = field(default_factory=Counter)

    @property
    def alive(self) -> bool:
        return self.sender is not None or any(self.holds.values())


class Processes(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.files = open_files()
        self.depot = Depot()
        self.holders: dict[int, Holder] = {}
        self.names = 0
        self.blobs: dict[int, ModelBlob] = {}
        """All that there ever were."""
        self.arenas: dict[int, int] = {}
        """The open ones, and who made them."""
        self.offsets: Counter[int] = Counter()
        self.owed: dict[int, set[tuple[int, int]]] = {}
        """Ranges that each process has a right to hear of."""
        self.joins()
        self.scheduler = 0

    def model_settles(self, blob: int) -> None:
        record = self.blobs[blob]
        if not record.alive and record.segment in self.arenas:
            self.owed[self.arenas[record.segment]].add((record.segment, record.offset))

    def some(self, data: st.DataObject) -> int:
        return data.draw(st.sampled_from(sorted(self.holders)), "process")

    def any_blob(self, data: st.DataObject) -> int:
        return data.draw(st.sampled_from(sorted(self.blobs)), "blob")

    @precondition(lambda self: len(self.holders) < 4)
    @rule()
    def joins(self) -> None:
        self.holders[self.names] = self.depot.join()
        self.owed[self.names] = set()
        self.names += 1

    @rule(data=st.data(), nbytes=st.integers(1, 10**9), arena=st.booleans())
    def publishes_a_segment(self, data: st.DataObject, nbytes: int, arena: bool) -> None:
        name = self.some(data)
        reply, _ = self.depot.answer(self.holders[name], Publish(nbytes, arena=arena), some_fd())
        assert isinstance(reply, Published)
        assert reply.blob not in self.blobs
        if arena:
            self.arenas[reply.segment] = name
        self.blobs[reply.blob] = ModelBlob(reply.segment, 0, nbytes, name, Counter({name: 1}))

    @precondition(lambda self: self.arenas)
    @rule(data=st.data(), nbytes=st.integers(1, 10**9))
    def publishes_in_an_arena(self, data: st.DataObject, nbytes: int) -> None:
        segment = data.draw(st.sampled_from(sorted(self.arenas)))
        name = self.arenas[segment]
        self.offsets[segment] += PAGE
        offset = self.offsets[segment]
        reply, _ = self.depot.answer(self.holders[name], Publish(nbytes, offset, segment, True), None)
        assert isinstance(reply, Published)
        assert reply.segment == segment
        self.blobs[reply.blob] = ModelBlob(segment, offset, nbytes, name, Counter({name: 1}))

    @precondition(lambda self: self.blobs)
    @rule(data=st.data())
    def opens(self, data: st.DataObject) -> None:
        name, blob = self.some(data), self.any_blob(data)
        reply, fd = self.depot.answer(self.holders[name], Open(blob), None)
        record = self.blobs[blob]
        if not record.alive:
            assert (reply, fd) == (Gone(), None)
            return
        assert reply == Opened(record.offset, record.nbytes)
        assert fd is not None
        os.close(fd)
        record.holds[name] += 1

    @precondition(lambda self: self.blobs)
    @rule(data=st.data())
    def the_scheduler_reads_of_it(self, data: st.DataObject) -> None:
        blob = self.any_blob(data)
        record = self.blobs[blob]
        assert self.depot.adopt(self.holders[self.scheduler], blob) == record.alive
        if record.alive:
            record.holds[self.scheduler] += 1
            record.sender = None

    @precondition(lambda self: self.blobs)
    @rule(data=st.data(), untold=st.booleans())
    def releases(self, data: st.DataObject, untold: bool) -> None:
        """Also what it does not hold: to no effect."""
        name, blob = self.some(data), self.any_blob(data)
        record = self.blobs[blob]
        was_alive = record.alive
        self.depot.answer(self.holders[name], Release([blob], [blob] if untold else []), None)
        if record.holds[name]:
            record.holds[name] -= 1
        if untold and record.sender == name:
            record.sender = None
        if was_alive:
            self.model_settles(blob)

    @rule(data=st.data(), close=st.booleans())
    def tidies(self, data: st.DataObject, close: bool) -> None:
        name = self.some(data)
        mine = [segment for segment, maker in self.arenas.items() if maker == name]
        closed = mine if close else []
        reply, _ = self.depot.answer(self.holders[name], Tidy(closed), None)
        assert isinstance(reply, Unused)
        assert len(reply.ranges) == len(set(reply.ranges))
        assert set(reply.ranges) == self.owed[name]
        self.owed[name] = set()
        for segment in closed:
            del self.arenas[segment]

    @precondition(lambda self: len(self.holders) > 1)
    @rule(data=st.data(), twice=st.booleans())
    def ends(self, data: st.DataObject, twice: bool) -> None:
        name = data.draw(st.sampled_from([name for name in sorted(self.holders) if name != self.scheduler]))
        holder = self.holders.pop(name)
        for _ in range(1 + twice):
            self.depot.leave(holder)
        self.arenas = {segment: maker for segment, maker in self.arenas.items() if maker != name}
        alive = [blob for blob, record in self.blobs.items() if record.alive]
        for blob in alive:
            self.blobs[blob].holds.pop(name, None)
            self.model_settles(blob)
        self.agrees()  # what it published and told of is still there
        self.depot.forget(holder)
        for blob in alive:
            record = self.blobs[blob]
            if record.alive and record.sender == name:
                record.sender = None
                self.model_settles(blob)

    @invariant()
    def agrees(self) -> None:
        alive = {blob: record for blob, record in self.blobs.items() if record.alive}
        assert len(self.depot) == len(alive)
        assert self.depot.nbytes == sum(record.nbytes for record in alive.values())
        assert self.depot.segments == len({record.segment for record in alive.values()} | set(self.arenas))

    def teardown(self) -> None:
        self.depot.close()
        self.depot.close()
        assert open_files() == self.files
        assert (len(self.depot), self.depot.nbytes, self.depot.segments) == (0, 0, 0)


Processes.TestCase.settings = settings(
    max_examples=25, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestProcesses = Processes.TestCase


@pytest.fixture
def depot() -> Iterator[Depot]:
    gc.collect()
    before = open_files()
    depot = Depot()
    yield depot
    depot.close()
    assert open_files() == before


def published(depot: Depot, holder: Holder, request: Publish) -> Published:
    reply, _ = depot.answer(holder, request, some_fd() if request.segment is None else None)
    assert isinstance(reply, Published)
    return reply


def test_nobody_puts_blobs_into_what_is_not_his_arena(depot: Depot) -> None:
    maker, other = depot.join(), depot.join()
    arena = published(depot, maker, Publish(5, arena=True)).segment
    alone = published(depot, maker, Publish(5)).segment
    for holder, segment in [(other, arena), (maker, alone), (maker, 1000)]:
        with pytest.raises(ValueError, match="arenas"):
            depot.answer(holder, Publish(5, 0, segment), None)
    depot.answer(other, Tidy([arena, 1000]), None)
    assert published(depot, maker, Publish(5, PAGE, arena)).segment == arena


def test_a_descriptor_that_came_for_nothing_is_closed(depot: Depot) -> None:
    me = depot.join()
    arena = published(depot, me, Publish(5, arena=True))
    depot.answer(me, Tidy(), some_fd())
    depot.answer(me, Release([arena.blob]), some_fd())
    depot.answer(me, Publish(5, PAGE, arena.segment), some_fd())


def test_a_segment_whose_descriptor_found_no_room_here_is_refused(depot: Depot) -> None:
    reply, _ = depot.answer(depot.join(), Publish(5), None)
    assert isinstance(reply, Refused)
    assert reply.errno == errno.EMFILE


def test_without_a_descriptor_to_give_the_asker_is_told_and_holds_nothing(
    depot: Depot, monkeypatch: pytest.MonkeyPatch
) -> None:
    maker, reader = depot.join(), depot.join()
    blob = published(depot, maker, Publish(5)).blob

    def full(_: int) -> int:
        raise OSError(errno.EMFILE, "too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(os, "dup", full)
        reply, fd = depot.answer(reader, Open(blob), None)
    assert isinstance(reply, Refused)
    assert fd is None
    assert not reader.held


def test_unused_ranges_are_told_in_packets_of_bounded_size(depot: Depot) -> None:
    me = depot.join()
    arena = published(depot, me, Publish(5, arena=True))
    blobs = [arena.blob]
    blobs += [published(depot, me, Publish(5, n * PAGE, arena.segment)).blob for n in range(1, UNUSED_MOST + 10)]
    depot.answer(me, Release(blobs, blobs), None)
    told: list[int] = []
    for _ in range(3):
        reply, _ = depot.answer(me, Tidy(), None)
        assert isinstance(reply, Unused)
        told.append(len(reply.ranges))
    assert told == [UNUSED_MOST, 10, 0]


def test_a_closed_depot_takes_nothing_and_has_nothing(depot: Depot) -> None:
    me = depot.join()
    arena = published(depot, me, Publish(5, arena=True))
    depot.close()
    for request in (Publish(5), Publish(5, PAGE, arena.segment)):
        with pytest.raises(ValueError, match="closed"):
            depot.answer(me, request, some_fd())
    assert depot.answer(me, Open(arena.blob), None) == (Gone(), None)
    depot.answer(me, Release([arena.blob], [arena.blob]), None)
    depot.leave(me)
    depot.forget(me)


def test_more_than_may_be_shared_is_refused_until_there_is_room_again() -> None:
    depot = Depot(limit=10)
    me = depot.join()
    try:
        published, _ = depot.answer(me, Publish(8), sealed(memoryview(bytes(8))))
        assert isinstance(published, Published)
        refused, _ = depot.answer(me, Publish(3), sealed(memoryview(bytes(3))))
        assert isinstance(refused, Refused)
        assert refused.errno == errno.ENOMEM
        assert (len(depot), depot.nbytes, depot.segments) == (1, 8, 1)
        depot.answer(me, Release([published.blob], [published.blob]), None)
        again, _ = depot.answer(me, Publish(3), sealed(memoryview(bytes(3))))
        assert isinstance(again, Published)
    finally:
        depot.close()
