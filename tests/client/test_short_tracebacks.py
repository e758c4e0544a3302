from __future__ import annotations

import gc
import traceback
import weakref
from typing import Any

import pytest

from nbcluster.client import short_tracebacks
from nbcluster.client.short_tracebacks import shortened
from nbcluster.errors import RemoteError
from nbcluster.protocol.exceptions import dump_exception, load_exception


def fail() -> None:
    raise ZeroDivisionError("in the task")


def remote() -> BaseException:
    """What a task has raised, as it is after it has travelled."""
    try:
        fail()
    except ZeroDivisionError as error:
        return load_exception(dump_exception(error))
    raise AssertionError


class Seen:
    """Something in a variable of a frame of ours."""


def ours(error: BaseException) -> None:
    raise error


def names(error: BaseException) -> list[str]:
    return [frame.name for frame in traceback.extract_tb(error.__traceback__)]


@pytest.fixture
def these_are_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """The frames of this file count as ours; those of what was rebuilt bear its name, too."""
    monkeypatch.setattr(short_tracebacks, "_is_ours", lambda frame: frame.f_code.co_name in ("ours", "between"))


def test_it_goes_from_who_caught_it_to_the_task(these_are_ours: None) -> None:
    def caller() -> None:
        try:
            ours(remote())
        except ZeroDivisionError as error:
            raise shortened(error)  # noqa: B904

    with pytest.raises(ZeroDivisionError) as caught:
        caller()
    assert names(caught.value)[-3:] == ["caller", "remote", "fail"]


def test_an_error_of_our_own_ends_with_who_caught_it(these_are_ours: None) -> None:
    with pytest.raises(RemoteError) as caught:
        ours(RemoteError("Odd", "text"))
    assert names(shortened(caught.value)) == []


def test_what_is_a_fault_of_ours_stays_whole(these_are_ours: None) -> None:
    with pytest.raises(KeyError) as caught:
        ours(KeyError("a fault"))
    assert names(shortened(caught.value))[-1] == "ours"


def test_the_frames_that_it_was_made_in_are_empty(these_are_ours: None) -> None:
    seen: list[weakref.ref[Any]] = []

    def between() -> None:
        variable = Seen()
        seen.append(weakref.ref(variable))
        raise remote()

    gc.disable()
    try:
        between()
    except ZeroDivisionError as error:
        kept = shortened(error)
    finally:
        gc.enable()
    assert kept.__traceback__ is not None
    assert seen[0]() is None
