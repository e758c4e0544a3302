"""A scheduler with a task in each of the states that there are."""

from __future__ import annotations

from nbcluster.protocol import messages as m
from tests.support.scheduler_bench import Bench


def queued() -> Bench:
    bench = Bench()
    bench.submit("f-0")
    return bench


def processing() -> Bench:
    bench = queued()
    bench.join(0)
    return bench


def waiting() -> Bench:
    """``g-0`` waits for ``f-0``, which runs."""
    bench = processing()
    bench.submit("g-0", needs={"g-0": ["f-0"]})
    return bench


def in_memory() -> Bench:
    bench = processing()
    bench.finish(0, "f-0", inline=False)
    return bench


def erred() -> Bench:
    bench = processing()
    bench.fail(0, "f-0")
    return bench


def scattered() -> Bench:
    """``data-0`` is with worker 0, and nothing can recompute it."""
    bench = Bench()
    bench.join(0)
    bench.scatter("data-0", nbytes=10_000)
    bench.report(0, m.DataAdded([m.StoredData("data-0", 10_000)]))
    return bench


def lineage() -> Bench:
    """``f-0`` was needed for ``g-0`` only: it is released, and kept as the way to compute it again."""
    bench = waiting()
    bench.release("f-0")
    bench.finish(0, "f-0", inline=False)
    bench.finish(0, "g-0", inline=False)
    return bench


def on_its_way() -> Bench:
    """``data-0`` was sent to worker 0."""
    bench = Bench()
    bench.join(0)
    bench.scatter("data-0")
    return bench


def queued_behind_a_result() -> Bench:
    """``g-0`` must run where nobody is; its data ``f-0`` is with worker 0."""
    bench = in_memory()
    bench.submit("g-0", needs={"g-0": ["f-0"]}, workers=["9"])
    return bench


def queued_behind_data() -> Bench:
    """The same, with data that nothing can recompute."""
    bench = scattered()
    bench.submit("g-0", needs={"g-0": ["data-0"]}, workers=["9"])
    return bench


def running_on_a_result() -> Bench:
    """``g-0`` runs on worker 1 and fetches its data ``f-0`` from worker 0."""
    bench = in_memory()
    bench.join(1)
    bench.submit("g-0", needs={"g-0": ["f-0"]}, workers=["1"])
    return bench


def return_unrun(bench: Bench) -> None:
    """Worker 1 could not fetch what ``g-0`` needs."""
    bench.report(1, m.TaskReturned("g-0", bench.run_id(1, "g-0"), [m.MissingData("f-0", "fake://0")]))
