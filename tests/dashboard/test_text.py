from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbcluster.dashboard.text import byte_ticks, display, format_bytes, format_duration, plural

HOSTILE = "a\nb\x00\u202ec\u2066$$x$$\\[y\\]"


def test_text_that_could_steer_the_screen_becomes_visible() -> None:
    shown = display(HOSTILE)
    assert "\n" not in shown
    assert "\u202e" not in shown
    assert "\u2066" not in shown
    assert shown.startswith("a\ufffdb\ufffd\ufffdc")


@pytest.mark.parametrize("mark", ["$$", r"\[", r"\(", r"\]", r"\)"])
def test_marks_of_mathematics_are_broken_up(mark: str) -> None:
    assert mark not in display(f"{mark}x^2{mark}")


def test_a_plain_name_stays_as_it_is() -> None:
    assert display("simulate-1f2e") == "simulate-1f2e"
    assert display("größe_日本") == "größe_日本"
    assert display(3) == "3"


def test_a_long_key_keeps_its_beginning_and_its_end() -> None:
    assert display("abcdefghijklmnopqrstuvwxyz", limit=12) == "abcdefg…wxyz"


@given(st.text(), st.integers(min_value=4, max_value=50))
def test_what_is_displayed_is_short_and_has_no_invisible_character_but_our_own(text: str, limit: int) -> None:
    shown = display(text, limit).replace("\u200b", "")
    assert len(shown) <= limit
    assert all(unicodedata.category(c) not in {"Cc", "Cf", "Zl", "Zp"} for c in shown)


@pytest.mark.parametrize(
    ("n", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "0.98 KiB"),
        (1536, "1.5 KiB"),
        (100 * 2**20, "100 MiB"),
        (1.26 * 2**30, "1.26 GiB"),
        (2**60, "1024 PiB"),
    ],
)
def test_bytes_have_three_digits_and_a_binary_unit(n: float, text: str) -> None:
    assert format_bytes(n) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0000123, "12.3 µs"),
        (0.0015, "1.5 ms"),
        (0.9996, "1 s"),
        (12.34, "12.3 s"),
        (99.96, "1 min 40 s"),
        (125, "2 min 5 s"),
        (7322, "2 h 2 min"),
    ],
)
def test_durations_are_in_the_unit_that_people_would_choose(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize("end", [1.0, 7.0, 1000.0, 1.18 * 2**30, 3.3 * 2**40])
def test_ticks_of_bytes_are_few_and_begin_at_zero(end: float) -> None:
    ticks = byte_ticks(end)
    assert 0.0 in ticks
    assert len(ticks) <= 4
    assert max(ticks) <= end
    assert len(set(ticks.values())) == len(ticks)


def test_one_is_not_many() -> None:
    assert plural(1, "task") == "1 task"
    assert plural(2000, "task") == "2,000 tasks"
    assert plural(0, "worker") == "0 workers"
