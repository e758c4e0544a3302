"""What was large and is empty costs nothing, in each of the processes that a large map goes through."""

from __future__ import annotations

import asyncio
import sys

from nbcluster.emptied import give_back
from nbcluster.protocol.messages import Compute, FreeKeys
from nbcluster.store.memory import Datum, MemoryStore
from tests.support.client_stage import Stage, staged
from tests.support.fake_worker_shell import FakeShell, compute_task
from tests.support.scheduler_bench import Bench

MANY = 5000
SMALL = 1000
"""Bytes of a dict that is empty, or has a few entries."""


def test_the_memory_of_a_large_dict_is_given_back_once_it_is_empty_and_not_before() -> None:
    table = dict.fromkeys(range(MANY))
    large = sys.getsizeof(table)
    for number in range(1, MANY):
        del table[number]
    give_back(table)
    assert (table, sys.getsizeof(table)) == ({0: None}, large)
    del table[0]
    give_back(table)
    assert sys.getsizeof(table) < SMALL


def test_what_the_scheduler_knew_of_tasks_takes_no_memory_when_all_are_forgotten() -> None:
    bench = Bench()
    bench.join(0, nthreads=64)
    keys = [f"f-{number}" for number in range(MANY)]
    bench.submit(*keys)
    while computed := [task.key for task in bench.computes(0) if bench.state(task.key) == "processing"]:
        bench.finish(0, *computed)
    state = bench.core.state
    tables = [state.tasks, state.clients["ada"].wants, state.workers[0].holds]
    assert [len(table) for table in tables] == [MANY] * 3  # type: ignore[arg-type]
    bench.release(*keys)
    assert max(map(sys.getsizeof, tables)) < SMALL


def test_what_a_worker_held_takes_no_memory_when_all_is_freed() -> None:
    shell = FakeShell()
    keys = [f"f-{number}" for number in range(MANY)]
    for number, key in enumerate(keys):
        shell.tell(Compute([compute_task(key, number)]))
        shell.finish(number, "value")
    held = shell.core.state.held
    assert len(held) == MANY
    shell.tell(FreeKeys(keys))
    assert sys.getsizeof(held) < SMALL


def test_a_store_takes_no_memory_when_all_is_dropped() -> None:
    store = MemoryStore()
    for number in range(MANY):
        store.put(f"f-{number}", Datum(number, 28))
    store.drop_all([f"f-{number}" for number in range(MANY)])
    assert sys.getsizeof(store._data) < SMALL


@staged
async def test_what_a_client_wanted_takes_no_memory_when_it_is_let_go_of(stage: Stage) -> None:
    states = stage.want(*(f"f-{number}" for number in range(MANY)))
    table = stage.wants._states
    assert len(table) == MANY
    del states
    stage.wants._let_go_of_dead(MANY)
    assert sys.getsizeof(table) < SMALL
    await asyncio.sleep(0)
