from __future__ import annotations

import os

import pytest

from nbcluster.store.kept import SECONDS, WASTE, KeptSegments
from nbcluster.store.large_pages import SIZE, Filler


@pytest.fixture
def kept() -> KeptSegments:
    """Segments 1 to 3, of as many large pages; none is in use but the first."""
    kept = KeptSegments()
    for number in (3, 2, 1):
        fd = os.memfd_create("nbcluster")
        os.ftruncate(fd, number * SIZE)
        kept.add(number, Filler(fd, number * SIZE))
        os.close(fd)
    for number in (2, 3):
        kept.free(number, 10.0)
    return kept


def taken(kept: KeptSegments, nbytes: int) -> int | None:
    taken = kept.take(nbytes)
    return None if taken is None else taken[0]


def test_one_is_taken_once(kept: KeptSegments) -> None:
    assert [taken(kept, 2 * SIZE) for _ in range(2)] == [2, None]
    kept.free(2, 11.0)
    assert taken(kept, 2 * SIZE) == 2


def test_one_that_is_in_use_is_not_taken(kept: KeptSegments) -> None:
    assert taken(kept, SIZE) is None


def test_little_is_wasted(kept: KeptSegments) -> None:
    least = -(-2 * SIZE * WASTE // (WASTE + 1))
    assert taken(kept, least - 1) is None
    assert taken(kept, 2 * SIZE + 1) is None
    assert taken(kept, 4 * SIZE) is None
    assert taken(kept, least) == 2


def test_what_nobody_wants_for_a_while_is_given_back_and_nothing_else(kept: KeptSegments) -> None:
    assert kept.expired(10.0 + SECONDS - 0.1) == []
    taken(kept, 3 * SIZE)
    assert kept.expired(10.0 + SECONDS) == [2]
    assert 2 not in kept
    assert len(kept) == 2
    kept.free(3, 20.0)
    assert kept.expired(20.0 + SECONDS) == [3]
    kept.free(2, 30.0)
    assert taken(kept, 2 * SIZE) is None


def test_all_are_given_back_at_the_end(kept: KeptSegments) -> None:
    assert sorted(kept.clear()) == [1, 2, 3]
    assert (len(kept), taken(kept, 2 * SIZE)) == (0, None)
