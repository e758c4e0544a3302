"""A script for tests: it interrupts itself at random instants, and says what is wrong afterwards.

    python -m tests.support.interrupted_script COUNT SEED [CLUSTER]

Each interrupt is a signal that comes while one thing is done over and over. After each, the client must work.
"""

from __future__ import annotations

import itertools
import operator
import random
import signal
import sys
from collections.abc import Callable

from nbcluster import Client, LocalCluster, SubprocessCluster, as_completed, wait
from tests.support.eventually import eventually
from tests.support.tasks import square

LONGEST = 0.02
"""Seconds until the interrupt, at most."""
CLUSTERS = {kind.__name__: kind for kind in (LocalCluster, SubprocessCluster)}
DEADLINE = 20.0
"""Seconds after which a client that does not answer counts as stuck."""

numbers = itertools.count()


def deeds(client: Client) -> list[Callable[[], object]]:
    """What is interrupted. Each uses new keys all the time, and lets futures die all the time."""
    kept = client.map(square, range(-20, 0))
    client.gather(kept)
    large = client.submit(bytes, 200_000)

    def submit() -> None:
        client.submit(square, next(numbers))

    def result() -> None:
        number = next(numbers)
        assert client.submit(square, number).result() == number * number

    def map_and_gather() -> None:
        first = next(numbers) * 100
        assert client.gather(client.map(square, range(first, first + 50))) == [x * x for x in range(first, first + 50)]

    def map_many_and_gather() -> None:
        some = range(first := next(numbers) * 1000, first + 500)
        assert client.gather(client.map(operator.neg, some)) == [-x for x in some]

    def complete() -> None:
        futures = client.map(square, range(10), pure=False)
        assert sorted(future.result() for future in as_completed(futures)) == [x * x for x in range(10)]

    def batches() -> None:
        completed = as_completed(client.map(square, range(10), pure=False), with_results=True)
        completed.add(client.submit(square, 10, pure=False))
        assert sum(len(batch) for batch in completed.batches()) == 11

    def wait_for_all() -> None:
        assert not wait(client.map(square, range(10), pure=False)).not_done

    def wait_for_large() -> None:
        assert len(large.result()) == 200_000

    def cancel() -> None:
        futures = client.map(square, range(10), pure=False)
        client.cancel(futures[:5])
        client.gather(futures[5:])

    def scatter() -> None:
        future = client.scatter(next(numbers), hash=False)
        client.submit(square, future).result()

    def retry() -> None:
        future = client.submit(divmod, 1, 0, pure=False)
        future.exception()
        future.retry()
        future.exception()

    return [
        submit, result, map_and_gather, map_many_and_gather, complete, batches,
        wait_for_all, wait_for_large, cancel, scatter, retry,
    ]  # fmt: skip


def interrupt(deed: Callable[[], object], after: float) -> None:
    """Do something over and over until the signal comes."""
    try:
        signal.setitimer(signal.ITIMER_REAL, after)
        while True:
            deed()
    except KeyboardInterrupt:
        pass


def pids(cluster: LocalCluster | SubprocessCluster) -> list[int]:
    return sorted(worker.pid for worker in cluster.workers.values())


def main(count: int, seed: int, kind: str = "LocalCluster") -> None:
    dice = random.Random(seed)
    make = CLUSTERS[kind]
    with make(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
        before = pids(cluster)
        todo = deeds(client)
        signal.signal(signal.SIGALRM, signal.default_int_handler)
        for number in range(count):
            deed = todo[number % len(todo)]
            interrupt(deed, dice.uniform(1e-6, LONGEST))
            answer = client.submit(square, number, pure=False).result(timeout=DEADLINE)
            assert answer == number * number, deed.__name__
        assert client.gather(client.map(square, range(1000))) == [x * x for x in range(1000)]
        assert pids(cluster) == before, "workers were hit"
        del todo, deed
        eventually(lambda: nothing_is_kept(cluster), "the cluster forgets what nobody holds")
    print("usable")


def nothing_is_kept(cluster: LocalCluster | SubprocessCluster) -> bool:
    counts = cluster.view.tasks
    return not (counts.waiting or counts.queued or counts.processing or counts.memory or counts.erred)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
