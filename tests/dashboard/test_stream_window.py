from __future__ import annotations

from collections import defaultdict
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from nbcluster.dashboard.columns import FAILED, GROUND, StreamUpdate
from nbcluster.dashboard.stream_window import LONGEST, SHADES, SHORT, SILENCE, StreamWindow
from nbcluster.snapshot import TaskRecord

HUES: dict[str, int] = defaultdict(lambda: 3, inc=1)


class Recorder:
    """Makes records that are numbered on."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, start: float, duration: float = 1.0, **changes: Any) -> TaskRecord:
        self.count += 1
        fields = {"key": f"inc-{self.count}", "prefix": "inc", "worker": 0, "thread": 0, "status": "finished"}
        return TaskRecord(start=start, stop=start + duration, number=self.count, **{**fields, **changes})


def window(*records: TaskRecord, **options: Any) -> StreamWindow:
    made = StreamWindow(**options)
    made.set_threads([(0, 1), (1, 2)])
    made.add(records)
    return made


def rows(update: StreamUpdate) -> list[int]:
    return update.columns["y"]


def test_a_run_becomes_a_rectangle_in_the_row_of_its_thread() -> None:
    record = Recorder()
    update = window(record(100.0, 2.0, worker=1, thread=1, nbytes=2048), utc_offset=3600).since(None, HUES)
    assert {name: column[0] for name, column in update.columns.items() if name != "cross"} == {
        "y": 2,
        "left": 3_700_000.0,
        "right": 3_702_000.0,
        "hue": 1,
        "edge": GROUND,
        "shade": 1.0,
        "task": "inc-1",
        "took": "2 s",
        "worker": "1, thread 1",
        "result": "2 KiB",
    }
    assert update.caption == "1 task in 2 s"
    assert update.span == (3_700_000.0, 3_702_000.0)


def test_every_thread_has_a_row_before_anything_ran() -> None:
    update = window().since(None, HUES)
    assert update.rows == ["0", "1", ""]
    assert update.empty


def test_workers_are_in_the_order_in_which_people_count() -> None:
    stream = StreamWindow()
    stream.set_threads([("gpu", 1), (10, 1), (2, 1)])
    assert stream.since(None, HUES).rows == ["2", "10", "gpu"]


def test_a_failure_has_its_own_colour_and_a_cross() -> None:
    record = Recorder()
    update = window(record(0.0), record(2.0, status="error")).since(None, HUES)
    assert update.columns["hue"] == [1, FAILED]
    good, bad = update.columns["cross"]
    assert good != good  # not a number: no cross
    assert bad == 2_500.0
    assert update.columns["took"][1] == "1 s, failed"


def test_one_who_has_seen_everything_gets_only_what_is_new() -> None:
    record = Recorder()
    stream = window(record(0.0), record(2.0))
    first = stream.since(None, HUES)
    assert first.replace
    assert len(rows(first)) == 2
    second = stream.since(first.cursor, HUES)
    assert not second.replace
    assert rows(second) == []
    stream.add([record(4.0)])
    third = stream.since(second.cursor, HUES)
    assert not third.replace
    assert third.columns["task"] == ["inc-3"]


def test_when_rows_move_everybody_gets_everything_again() -> None:
    record = Recorder()
    stream = window(record(0.0, worker=1))
    seen = stream.since(None, HUES)
    assert rows(seen) == [1]
    stream.set_threads([(0, 2), (1, 2)])
    update = stream.since(seen.cursor, HUES)
    assert update.replace
    assert rows(update) == [2]


def test_a_worker_that_is_gone_keeps_its_row_while_its_runs_are_shown() -> None:
    record = Recorder()
    stream = window(record(0.0, worker=1, thread=1))
    stream.set_threads([(0, 1)])
    assert stream.since(None, HUES).rows == ["0", ""]
    stream.add([record(SILENCE + 2.0)])
    stream.set_threads([(0, 1)])
    assert stream.since(None, HUES).rows == ["0"]


def test_a_run_of_a_worker_that_no_view_has_told_of_gets_a_row() -> None:
    record = Recorder()
    stream = window(record(0.0, worker=7))
    update = stream.since(None, HUES)
    assert update.rows[rows(update)[0]] == "7"


def test_a_long_silence_begins_a_new_burst() -> None:
    record = Recorder()
    stream = window(record(0.0))
    seen = stream.since(None, HUES)
    stream.add([record(SILENCE + 1.5)])
    update = stream.since(seen.cursor, HUES)
    assert update.replace
    assert update.columns["task"] == ["inc-2"]
    assert update.span[0] == (SILENCE + 1.5) * 1000


def test_what_is_older_than_the_window_goes() -> None:
    record = Recorder()
    stream = StreamWindow()
    stream.add([record(float(second)) for second in range(int(LONGEST) + 20)])
    update = stream.since(None, HUES)
    assert update.span[1] - update.span[0] == LONGEST * 1000
    assert len(rows(update)) == LONGEST + 1


def test_short_runs_of_one_function_are_drawn_together() -> None:
    record = Recorder()
    short = SHORT / 10
    stream = window(*(record(i * short, short) for i in range(30)))
    update = stream.since(None, HUES)
    assert update.columns["task"] == ["inc, 30 runs"]
    assert update.columns["took"] == ["2 ms each"]
    assert update.caption == "30 tasks in 60 ms"


def test_short_runs_are_outlined_in_their_own_colour_and_differ_in_shade_from_their_neighbours() -> None:
    record = Recorder()
    update = window(record(0.0, 0.05), record(0.1, 0.05), record(0.2, 1.0)).since(None, HUES)
    assert update.columns["edge"] == [1, 1, GROUND]
    assert update.columns["shade"] == [1.0, SHADES[1], 1.0]


def test_a_block_of_short_runs_does_not_grow_for_ever() -> None:
    record = Recorder()
    short = SHORT / 10
    update = window(*(record(i * short, short) for i in range(500))).since(None, HUES)
    assert 10 <= len(rows(update)) <= 11


def test_neither_another_function_nor_a_failure_nor_another_thread_joins_a_block() -> None:
    record = Recorder()
    short = SHORT / 10
    update = window(
        record(0, short),
        record(short, short, prefix="dec"),
        record(2 * short, short, prefix="dec", status="error"),
        record(0, short, worker=1),
    ).since(None, HUES)
    assert len(rows(update)) == 4


def test_the_last_record_is_remembered_for_the_next_question() -> None:
    record = Recorder()
    assert window(record(0.0), record(1.0)).last_record == 2


@given(
    st.lists(
        st.tuples(
            st.integers(0, 3),
            st.integers(0, 1),
            st.floats(0.0001, 30, allow_nan=False),
            st.floats(0.0001, 40, allow_nan=False),
            st.booleans(),
        ),
        max_size=60,
    ),
    st.integers(1, 8),
)
def test_whoever_follows_step_by_step_sees_what_a_newcomer_sees(
    steps: list[tuple[int, int, float, float, bool]], limit: int
) -> None:
    record = Recorder()
    stream = StreamWindow(limit=limit)
    seen: list[str] = []
    cursor = None
    now = 0.0
    for worker, thread, wait, duration, look in steps:
        now += wait
        stream.add([record(now - duration, duration, worker=worker, thread=thread)])
        if look:
            stream.set_threads([(worker, 2)])
            update = stream.since(cursor, HUES)
            cursor = update.cursor
            fresh = update.columns["task"]
            seen = fresh if update.replace else (seen + fresh)[-limit:]
            newcomer = stream.since(None, HUES).columns["task"]
            assert len(newcomer) <= limit
            assert seen[len(seen) - len(newcomer) :] == newcomer
