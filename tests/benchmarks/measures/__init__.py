"""The measures, by the names under which they can be asked for.

Each runs on systems that it starts and stops itself, and yields figures; sizes are arguments, for tests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tests.benchmarks.figures import Figure
from tests.benchmarks.measures import data, latency, life, remote, throughput, upkeep, way
from tests.benchmarks.systems import System

MEASURES: dict[str, Callable[[list[System]], Iterator[Figure]]] = {
    "throughput": throughput.throughput,
    "submits": throughput.submits,
    "round_trips": latency.round_trips,
    "busy_client": latency.busy_client,
    "tree": throughput.tree,
    "graph": throughput.graph,
    "sleeps": throughput.sleeps,
    "start": life.start_and_stop,
    "imports": life.imports,
    "growth": life.growth,
    "second_client": life.second_client,
    "to_client": data.to_client,
    "to_worker": data.to_worker,
    "broadcast": data.broadcast,
    "chain": data.chain,
    "remote": remote.remote,
    "idle": upkeep.idle,
    "pending": upkeep.pending,
    "way": way.way,
}
