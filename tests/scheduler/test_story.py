from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nbcluster.scheduler.state import FORGOTTEN, MEMORY, QUEUED, RELEASED, WAITING
from nbcluster.scheduler.story import Story, Transition

entries = st.lists(st.one_of(st.just(1), st.integers(2, 5)), max_size=20)
"""How many keys each is of; 1 stands for a transition that is noted by itself."""


def tell(story: Story, sizes: list[int]) -> list[Transition]:
    """Note so many; what has been noted, in order."""
    told: list[Transition] = []
    for number, size in enumerate(sizes):
        if size == 1:
            line = (float(number), f"f-{number}", RELEASED, WAITING, "SubmitTasks")
            story.note(line)
            told.append(line)
        else:
            keys = [f"f-{number}-{part}" for part in range(size)]
            story.note_all(float(number), keys, (MEMORY, RELEASED, FORGOTTEN), "ReleaseKeys")
            for key in keys:
                told.append((float(number), key, MEMORY, RELEASED, "ReleaseKeys"))
                told.append((float(number), key, RELEASED, FORGOTTEN, "ReleaseKeys"))
    return told


@given(entries, st.integers(0, 30))
def test_the_latest_transitions_are_kept_whether_they_were_noted_one_by_one_or_together(
    sizes: list[int], length: int
) -> None:
    story = Story(length)
    told = tell(story, sizes)
    kept = list(story)
    assert len(kept) == len(story) <= length
    assert kept == told[len(told) - len(kept) :]
    if len(told) <= length:
        assert kept == told


@given(entries)
def test_who_wants_to_be_told_gets_all_even_if_none_is_kept(sizes: list[int]) -> None:
    story = Story(0)
    tell(story, sizes)
    story.fresh = []
    told = tell(story, sizes)
    assert story.fresh == told
    assert list(story) == []


def test_many_keys_at_once_are_one_entry_and_none_are_none() -> None:
    story = Story(10_000)
    story.note_all(1.0, [f"f-{number}" for number in range(1000)], (RELEASED, WAITING, QUEUED), "SubmitTasks")
    story.note_all(2.0, [], (RELEASED, WAITING, QUEUED), "SubmitTasks")
    assert len(story) == 2000
    assert len(story._entries) == 1
