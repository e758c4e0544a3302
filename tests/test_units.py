from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from nbcluster.units import format_bytes, parse_bytes, parse_seconds


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", 0),
        ("5", 5),
        ("1e3", 1000),
        ("2.5e+2", 250),
        ("1kB", 1000),
        ("1KiB", 1024),
        ("1.5 GiB", 1610612736),
        (" 512 MiB ", 512 * 2**20),
        ("4GB", 4 * 10**9),
        ("4g", 4 * 10**9),
        (".5 tb", 5 * 10**11),
        ("1PiB", 2**50),
        ("2 Gi", 2 * 2**30),
    ],
)
def test_bytes_are_read_from_text(text: str, number: int) -> None:
    assert parse_bytes(text, "memory_limit") == number


@pytest.mark.parametrize("text", ["", "abc", "-5", "1 XB", "GiB", "1 GiB more", "1,5GB", "nan", "inf", "0x10"])
def test_what_is_no_number_of_bytes_is_named(text: str) -> None:
    with pytest.raises(ValueError, match=r"memory_limit='.*' is not a number of bytes; give e\.g\. '1GiB'"):
        parse_bytes(text, "memory_limit")


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 B"),
        (900, "900 B"),
        (1000, "0.98 kiB"),
        (2**20, "1.00 MiB"),
        (2**30, "1.00 GiB"),
        (25282000000, "23.55 GiB"),
        (1.5 * 2**40, "1.50 TiB"),
        (2**50, "1.00 PiB"),
    ],
)
def test_bytes_are_written_in_the_largest_fitting_unit(number: float, text: str) -> None:
    assert format_bytes(number) == text


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (5, 5.0),
        (0.25, 0.25),
        (0, 0.0),
        ("1 hour", 3600.0),
        ("1 minute", 60.0),
        ("2 days", 2 * 86400.0),
        ("1 Week", 7 * 86400.0),
        ("5 milliseconds", 0.005),
        ("5", 5.0),
        ("500 ms", 0.5),
        ("20us", 20e-6),
        ("2 min", 120.0),
        ("1.5 h", 5400.0),
        ("1d", 86400.0),
        ("3 seconds", 3.0),
        (timedelta(minutes=1), 60.0),
    ],
)
def test_seconds_are_read_from_numbers_text_and_durations(value: Any, seconds: float) -> None:
    assert parse_seconds(value, "timeout") == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("value", "error"),
    [
        ("soon", ValueError),
        ("-1 s", ValueError),
        (-1, ValueError),
        (float("nan"), ValueError),
        (True, TypeError),
        (None, TypeError),
        ([1], TypeError),
        (1j, TypeError),
    ],
    ids=repr,
)
def test_what_is_no_time_is_named(value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="timeout="):
        parse_seconds(value, "timeout")


def test_for_ever_is_a_time() -> None:
    assert parse_seconds(float("inf"), "timeout") == float("inf")
