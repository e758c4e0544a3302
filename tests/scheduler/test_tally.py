from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from nbcluster.scheduler.tally import tally


@given(st.lists(st.sampled_from("abc")))
def test_a_tally_counts_as_a_counter_does(things: list[str]) -> None:
    assert tally(things) == Counter(things)
