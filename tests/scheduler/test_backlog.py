from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nbcluster.scheduler.backlog import Backlog
from nbcluster.scheduler.state import PROCESSING, QUEUED, SchedPrefix, SchedTask

PREFIX = SchedPrefix("f")


def queued(place: int) -> SchedTask:
    return SchedTask(f"f-{place}", PREFIX, place, place, state=QUEUED)


def drain_alike(backlog: Backlog, most: int) -> list[list[SchedTask]]:
    """All, so many at a time as bear one name."""
    taken = []
    while (first := backlog.pop()) is not None:
        alike = [first, *backlog.more_like(first, most - 1)]
        for task in alike:
            task.state = PROCESSING
        taken.append(alike)
    return taken


def drain(backlog: Backlog) -> list[SchedTask]:
    taken = []
    while (task := backlog.pop()) is not None:
        task.state = PROCESSING
        taken.append(task)
    return taken


@given(
    rows=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5))),
    gone=st.sets(st.integers(0, 20)),
)
def test_tasks_come_out_by_priority_then_by_place_without_those_that_are_queued_no_more(
    rows: list[tuple[int, int]], gone: set[int]
) -> None:
    backlog, left, place = Backlog(), list[tuple[int, SchedTask]](), 0
    for priority, count in rows:
        tasks = [queued(place + number) for number in range(count)]
        place += count
        backlog.push(priority, tasks)
        left += [(priority, task) for task in tasks if task.place not in gone]
        for task in tasks:
            if task.place in gone:
                task.state = PROCESSING
    expected = [task for _, task in sorted(left, key=lambda row: (row[0], row[1].place))]
    assert list(backlog) == sorted(expected, key=list(backlog).index)
    first = backlog.first()
    assert (first is None) == (not expected)
    assert first is None or first[2] is expected[0]
    assert drain(backlog) == expected


def test_a_task_that_was_queued_twice_comes_out_once() -> None:
    backlog, task = Backlog(), queued(1)
    backlog.push(0, [task])
    backlog.push(0, [task])
    assert drain(backlog) == [task]


def test_who_takes_the_place_of_another_comes_before_what_is_there_by_then() -> None:
    backlog = Backlog()
    backlog.push(0, [queued(1), queued(3)])
    backlog.push(0, [queued(2)])
    assert [task.place for task in drain(backlog)] == [1, 2, 3]


@given(
    rows=st.lists(st.tuples(st.integers(0, 2), st.lists(st.sampled_from("fg"), max_size=5))),
    gone=st.sets(st.integers(0, 20)),
    most=st.integers(1, 4),
)
def test_taken_many_at_a_time_they_come_in_the_same_order_and_those_taken_together_bear_one_name(
    rows: list[tuple[int, list[str]]], gone: set[int], most: int
) -> None:
    prefixes = {name: SchedPrefix(name) for name in "fg"}
    one_by_one, together = Backlog(), Backlog()
    place = 0
    for priority, names in rows:
        for backlog in (one_by_one, together):
            tasks = [
                SchedTask(f"{name}-{place + number}", prefixes[name], place + number, place + number, state=QUEUED)
                for number, name in enumerate(names)
            ]
            backlog.push(priority, tasks)
            for task in tasks:
                if task.place in gone:
                    task.state = PROCESSING
        place += len(names)
    expected = [task.key for task in drain(one_by_one)]
    taken = drain_alike(together, most)
    assert [task.key for alike in taken for task in alike] == expected
    for alike in taken:
        assert len(alike) <= most
        assert len({task.prefix for task in alike}) == 1


def test_how_many_come_next_is_told_by_priority() -> None:
    backlog = Backlog()
    assert backlog.next_in_turn == 0
    backlog.push(0, [queued(1), queued(2)])
    backlog.push(1, [queued(3)])
    assert backlog.next_in_turn == 2
    drained = [backlog.pop(), backlog.pop()]
    assert None not in drained
    assert backlog.next_in_turn == 1
