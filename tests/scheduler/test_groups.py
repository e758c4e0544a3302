"""Tasks that belong together, as user code in the scheduler sees them."""

from __future__ import annotations

import pickle

import pytest

from nbcluster.scheduler.groups import NO_WORKER, UNKNOWN, TaskGroup, TaskPrefix, group_name
from tests.support.scheduler_bench import Bench


@pytest.mark.parametrize(
    ("key", "group"),
    [
        ("inc-1234abcd", "inc"),
        ("('sum-d1f1', 0)", "sum-d1f1"),
        ("('sum-d1f1', 0, 1)", "sum-d1f1"),
        ("single", "single"),
    ],
)
def test_keys_of_a_collection_name_their_operation_and_others_their_function(key: str, group: str) -> None:
    assert group_name(key) == group


def blocks() -> Bench:
    """Two parts of an array, computed from one file."""
    bench = Bench()
    bench.join(0, nthreads=4)
    bench.submit("load-0")
    parts = {"('sum-d1f1', 0)": ["load-0"], "('sum-d1f1', 1)": ["load-0"]}
    bench.submit(*parts, needs=parts)
    return bench


def prefix(bench: Bench, name: str) -> TaskPrefix:
    return TaskPrefix(bench.core, bench.core.state.prefixes[name])


def test_a_group_knows_what_it_is_made_of() -> None:
    bench = blocks()
    group = TaskGroup(bench.core, "sum-d1f1")
    assert len(group) == 2
    assert {state: count for state, count in group.states.items() if count} == {"waiting": 2}
    assert group.dependencies == {TaskGroup(bench.core, "load")}
    assert group.prefix == prefix(bench, "sum")
    assert not group.done


def test_a_group_is_done_when_none_of_it_is_still_to_be_computed() -> None:
    bench = blocks()
    bench.finish(0, "load-0")
    bench.finish(0, "('sum-d1f1', 0)")
    group = TaskGroup(bench.core, "sum-d1f1")
    before = group.done
    bench.fail(0, "('sum-d1f1', 1)")
    assert (before, group.done) == (False, True)
    assert group.nbytes_total > 0
    assert repr(group) == "<TaskGroup 'sum-d1f1': memory: 1, erred: 1>"


def test_a_prefix_has_its_groups_and_how_long_its_tasks_take() -> None:
    bench = blocks()
    sums = prefix(bench, "sum")
    assert (len(sums), sums.groups) == (2, {TaskGroup(bench.core, "sum-d1f1")})
    assert sums.duration_average == UNKNOWN
    bench.finish(0, "load-0")
    assert prefix(bench, "load").duration_average >= 0


def test_what_no_worker_could_run_is_told_apart_from_what_waits_for_room() -> None:
    bench = Bench()
    bench.join(0)
    bench.submit("f-0", resources={"GPU": 1})
    states = prefix(bench, "f").states
    assert (states["queued"], states[NO_WORKER]) == (0, 1)


def test_pickled_it_is_what_it_told_and_no_more() -> None:
    bench = blocks()
    there = pickle.loads(pickle.dumps(prefix(bench, "sum")))
    assert (there.name, there.states["waiting"], there.duration_average) == ("sum", 2, UNKNOWN)
    bench.finish(0, "load-0")
    assert there.states["waiting"] == 2


def test_a_group_that_nothing_is_known_of_any_more_is_empty() -> None:
    group = TaskGroup(Bench().core, "gone-1")
    assert (len(group), group.prefix, group.dependencies, group.done) == (0, None, set(), True)
