from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from nbcluster.cluster.shrinking import dispensable, insist
from nbcluster.snapshot import WorkerView

NAMES = st.integers(0, 5)
LOOKS = st.lists(st.sets(NAMES, max_size=5).map(sorted), max_size=12)


@st.composite
def workers(draw: st.DrawFn) -> list[WorkerView]:
    names = draw(st.lists(st.one_of(NAMES, st.sampled_from(["a", "b"])), max_size=6, unique=True))
    few = st.integers(0, 2)
    return [WorkerView(name=name, processing=draw(few), stored=draw(few)) for name in names]


@settings(deadline=None)
@given(workers(), st.integers(0, 7))
def test_as_many_stay_as_are_wanted_and_the_idlest_go(there: list[WorkerView], target: int) -> None:
    chosen = dispensable(there, target)
    assert len(there) - len(chosen) == min(target, len(there))
    going = [(w.processing, w.stored) for w in there if w.name in chosen]
    staying = [(w.processing, w.stored) for w in there if w.name not in chosen]
    assert not going or not staying or max(going) <= min(staying)


@settings(deadline=None)
@given(workers(), st.integers(0, 7), st.integers(1, 3))
def test_groups_go_as_a_whole_and_never_too_many(there: list[WorkerView], target: int, groups: int) -> None:
    def group_of(worker: WorkerView) -> int:
        return hash(worker.name) % groups

    chosen = set(dispensable(there, target, group_of))
    assert len(there) - len(chosen) >= min(target, len(there))
    going = {group_of(worker) for worker in there if worker.name in chosen}
    assert chosen == {worker.name for worker in there if group_of(worker) in going}


def test_the_newest_goes_first_where_nothing_else_tells_them_apart() -> None:
    assert dispensable([WorkerView(name=name) for name in (1, 3, 2)], 1) == [3, 2]


def test_who_is_not_willing_stays_and_with_it_its_group() -> None:
    there = [WorkerView(name=name) for name in range(4)]
    assert dispensable(there, 1, willing=[0, 1, 2]) == [2, 1, 0]
    assert dispensable(there, 0, lambda worker: int(worker.name) % 2, willing=[0, 1, 2]) == [0, 2]


@settings(deadline=None)
@given(LOOKS, st.integers(1, 4))
def test_only_what_enough_looks_in_a_row_name_is_closed(looks: list[list[int]], wait_count: int) -> None:
    counts: dict[int | str, int] = {}
    since = dict.fromkeys(range(6), 0)
    for look in looks:
        counts, firm = insist(counts, look, wait_count)
        since = {name: since[name] + 1 if name in look else 0 for name in since}
        assert sorted(map(int, firm)) == [name for name in since if since[name] == wait_count]
        since.update(dict.fromkeys((name for name in since if since[name] == wait_count), 0))
        assert counts == {name: count for name, count in since.items() if count}
