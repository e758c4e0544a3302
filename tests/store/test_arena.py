from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbcluster.store.arena import Arena
from nbcluster.store.segments import PAGE

PAGES = 16

steps = st.lists(st.one_of(st.integers(0, PAGES * PAGE + 1), st.none()), max_size=60)
"""To allocate so many bytes, or to free."""


@given(steps=steps, data=st.data())
def test_ranges_are_whole_pages_that_never_overlap_and_when_all_are_free_they_are_one(
    steps: list[int | None], data: st.DataObject
) -> None:
    arena, used = Arena(PAGES * PAGE), dict[int, int]()
    for nbytes in steps:
        if nbytes is None:
            if used:
                offset = data.draw(st.sampled_from(sorted(used)))
                arena.free(offset)
                del used[offset]
        else:
            taken = {page for start, size in used.items() for page in range(start // PAGE, start // PAGE + size)}
            need = max(1, -(-nbytes // PAGE))
            offset_or_none = arena.allocate(nbytes)
            fits = any(not taken & set(range(page, page + need)) for page in range(PAGES - need + 1))
            assert (offset_or_none is not None) == fits
            if offset_or_none is not None:
                assert offset_or_none % PAGE == 0
                assert offset_or_none + need * PAGE <= arena.size
                assert not taken & set(range(offset_or_none // PAGE, offset_or_none // PAGE + need))
                used[offset_or_none] = need
        assert arena.empty == (not used)
    for offset in used:
        arena.free(offset)
    assert arena.empty
    assert arena.allocate(arena.size) == 0


def test_the_first_range_that_fits_is_taken() -> None:
    arena = Arena(8 * PAGE)
    assert [arena.allocate(2 * PAGE) for _ in range(4)] == [0, 2 * PAGE, 4 * PAGE, 6 * PAGE]
    assert arena.allocate(1) is None
    arena.free(4 * PAGE)
    arena.free(0)
    assert arena.allocate(PAGE) == 0
    assert arena.allocate(2 * PAGE) == 4 * PAGE


def test_what_is_not_in_use_cannot_be_given_back() -> None:
    arena = Arena(2 * PAGE)
    with pytest.raises(KeyError):
        arena.free(0)
