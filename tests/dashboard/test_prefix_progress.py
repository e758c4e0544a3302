from __future__ import annotations

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from nbcluster.dashboard.columns import FAILED
from nbcluster.dashboard.prefix_progress import PrefixProgress
from nbcluster.snapshot import PrefixView, TaskCounts

HUES: dict[str, int] = defaultdict(int)


def prefix(name: str = "inc", mean: float | None = None, **counts: int) -> PrefixView:
    return PrefixView(name=name, counts=TaskCounts(**counts), mean_duration=mean)


def parts(progress: PrefixProgress) -> tuple[int, ...]:
    (one,) = progress.rounds()
    return one.parts


def test_a_prefix_is_divided_into_its_five_parts() -> None:
    progress = PrefixProgress()
    progress.update([prefix(done=50, memory=20, erred=3, processing=4, waiting=1, queued=2, no_worker=3)])
    assert parts(progress) == (20, 30, 3, 4, 6)
    bars = progress.bars(HUES)
    assert bars.columns["left"] == [0.0, 20 / 63, 50 / 63, 53 / 63, 57 / 63]
    assert bars.columns["right"][-1] == 1.0
    assert bars.columns["state"][3] == "4 of 63 processing"
    assert bars.texts == ["53 / 63, 3 failed"]
    assert bars.caption == "53 of 63 done · 3 failed"


def test_failures_are_marked_by_colour_and_hatch() -> None:
    progress = PrefixProgress()
    progress.update([prefix(done=1, memory=1, erred=1)])
    bars = progress.bars(HUES)
    assert bars.columns["hue"] == [0, FAILED]
    assert bars.columns["hatch"] == [" ", "/"]


def test_empty_parts_take_no_room() -> None:
    progress = PrefixProgress()
    progress.update([prefix(done=2, memory=2)])
    assert len(progress.bars(HUES).columns["y"]) == 1


def test_the_mean_duration_is_told() -> None:
    progress = PrefixProgress()
    progress.update([prefix(mean=0.0215, done=1)])
    assert progress.bars(HUES).columns["took"] == ["21.5 ms on average"]


def test_new_work_after_the_end_of_the_old_counts_from_zero() -> None:
    progress = PrefixProgress()
    progress.update([prefix(processing=10)])
    progress.update([prefix(done=10, memory=10)])
    assert parts(progress) == (10, 0, 0, 0, 0)
    progress.update([prefix(done=10, memory=10, processing=5)])
    assert parts(progress) == (0, 0, 0, 5, 0)
    progress.update([prefix(done=12, memory=12, processing=3)])
    assert parts(progress) == (2, 0, 0, 3, 0)


def test_old_failures_do_not_count_in_a_new_round() -> None:
    progress = PrefixProgress()
    progress.update([prefix(erred=4)])
    progress.update([prefix(erred=4, processing=1)])
    assert parts(progress) == (0, 0, 0, 1, 0)
    progress.update([prefix(erred=5)])
    assert parts(progress) == (0, 0, 1, 0, 0)


def test_work_that_is_added_before_the_end_belongs_to_the_round() -> None:
    progress = PrefixProgress()
    progress.update([prefix(processing=2)])
    progress.update([prefix(done=1, memory=1, processing=6)])
    assert parts(progress) == (1, 0, 0, 6, 0)


def test_what_has_no_tasks_is_not_shown() -> None:
    progress = PrefixProgress()
    progress.update([prefix()])
    bars = progress.bars(HUES)
    assert bars.empty
    assert bars.caption == ""


def test_when_there_are_too_many_those_with_work_and_the_latest_are_shown() -> None:
    progress = PrefixProgress(most_rows=3)
    progress.update([prefix("a", processing=1), *(prefix(name, done=1) for name in "bcde")])
    bars = progress.bars(HUES)
    assert bars.labels == ["a", "d", "e"]
    assert bars.caption.endswith("2 functions not shown")


def test_a_name_is_shown_as_one_harmless_line() -> None:
    progress = PrefixProgress()
    progress.update([prefix("<b>\n" + "x" * 500, done=1)])
    (label,) = progress.bars(HUES).labels
    assert label.startswith("<b>\ufffd")
    assert len(label) == 40


counts = st.builds(
    TaskCounts, **{name: st.integers(0, 50) for name in ("waiting", "queued", "processing", "memory", "erred", "done")}
)


@given(st.lists(counts, min_size=1, max_size=10))
def test_bars_always_lie_between_nothing_and_everything(history: list[TaskCounts]) -> None:
    progress = PrefixProgress()
    for one in history:
        progress.update([PrefixView(name="inc", counts=one)])
        columns = progress.bars(HUES).columns
        for left, right in zip(columns["left"], columns["right"], strict=True):
            assert 0 <= left < right <= 1.0000001
