"""What is true of coordination between any two events. Checked by tests and by the simulator."""

from __future__ import annotations

from collections.abc import Iterator

from nbcluster.protocol.coordination import Shared
from nbcluster.scheduler.coordination.desk import Coordination


def check(coordination: Coordination) -> Iterator[str]:
    """Recount everything; yields what is wrong."""
    yield from _semaphores(coordination)
    yield from _locks(coordination)
    yield from _queues(coordination)
    kept = {key for shared in _kept(coordination) for key in shared}
    if coordination.kept.keys != kept:
        yield f"kept are {kept}, and wanted {coordination.kept.keys}"


def accepted(coordination: Coordination) -> list[Shared]:
    """All items that are in queues, or handed over and not received."""
    every: list[Shared] = []
    for queue in coordination.queues._named.values():
        handed = (item for items in queue.handed.values() for item in items)
        every += [item.shared for item in (*queue.items, *queue.got, *handed)]
    return every


def _kept(coordination: Coordination) -> Iterator[list[str]]:
    for shared in accepted(coordination):
        yield shared.keys
    for queue in coordination.queues._named.values():
        yield from (shared.keys for shared in queue.putters.values())
    yield from (value.keys for value in coordination._variables._values.values())
    yield from (dataset.keys for dataset in coordination._datasets._named.values())
    yield from coordination._handouts._keys.values()


def _semaphores(coordination: Coordination) -> Iterator[str]:
    semaphores = coordination.semaphores
    for semaphore in semaphores._named.values():
        if len(semaphore.leases) > semaphore.most:
            yield f"{semaphore.name}: {len(semaphore.leases)} leases, and {semaphore.most} there are"
        if semaphore.waiters and len(semaphore.leases) < semaphore.most:
            yield f"{semaphore.name}: somebody waits for a lease that is free"
        if (semaphore.name in semaphores._idle) == bool(semaphore.leases or semaphore.waiters):
            yield f"{semaphore.name}: its use is not known"
    waiting = sum(len(semaphore.waiters) for semaphore in semaphores._named.values())
    if waiting != semaphores.waiting:
        yield f"{waiting} wait for leases, and counted are {semaphores.waiting}"


def _locks(coordination: Coordination) -> Iterator[str]:
    locks = coordination.locks
    for ticket, request in locks._requests.items():
        first = [name for name in request.names if next(iter(locks._queues[name])) == ticket]
        if request.granted and first != request.names:
            yield f"{ticket}: has been given {request.names}, and is the first at {first}"
        if not request.granted and len(first) >= request.enough:
            yield f"{ticket}: waits for {request.enough} locks, and is the first at {first}"


def _queues(coordination: Coordination) -> Iterator[str]:
    for queue in coordination.queues._named.values():
        if queue.items and queue.getters:
            yield f"{queue.name}: somebody waits for an item that is there"
        if queue.putters and queue.has_room:
            yield f"{queue.name}: somebody waits for room that is there"
        numbers = [item.number for item in queue.items]
        if numbers != sorted(numbers):
            yield f"{queue.name}: items are out of order, {numbers}"
        if queue.got and not queue.getters:
            yield f"{queue.name}: items are collected for nobody"
        if not queue.in_use:
            yield f"{queue.name}: nobody uses it, and it is still there"
