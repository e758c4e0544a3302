from __future__ import annotations

import asyncio
import copyreg
import functools
import gc
import io
import os
import re
import sys
import threading
import traceback
import types
import weakref
from collections.abc import Callable
from typing import Any

import pytest

import nbcluster.errors
from nbcluster.errors import KilledWorker, RemoteError, SerializationError
from nbcluster.protocol import exceptions, tracebacks
from nbcluster.protocol.exceptions import describe, dump_exception, load_exception
from nbcluster.protocol.payload import Payload


class TwoArguments(Exception):
    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code}: {reason}")
        self.code = code


class OnlyByKeyword(Exception):
    def __init__(self, *, code: int) -> None:
        super().__init__("by keyword")
        self.code = code


class ExitsWhenMade(Exception):
    armed = False

    def __init__(self, *args: Any) -> None:
        if self.armed:
            sys.exit(4)
        super().__init__(*args)


class HoldsALock(Exception):
    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.lock = threading.Lock()


class Misbehaving(Exception):
    """Raises something while it is pickled or unpickled."""

    def __init__(self, when: str, error: BaseException) -> None:
        super().__init__("misbehaving")
        self.when = when
        self.error = error

    def __reduce__(self) -> Any:
        if self.when == "dump":
            raise self.error
        return _raise, (self.error,)


def _raise(error: BaseException) -> None:
    raise error


class EndlessReduce(Exception):
    def __reduce__(self) -> Any:
        return self.__reduce__()


class BecomesText(Exception):
    def __reduce__(self) -> Any:
        return str, ("text",)


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")


def raised_by(function: Callable[[], Any]) -> BaseException:
    try:
        function()
    except BaseException as error:
        return error
    raise AssertionError("it raised nothing")


def raised(error: BaseException) -> BaseException:
    return raised_by(lambda: _raise(error))


def trip(error: BaseException) -> BaseException:
    return load_exception(dump_exception(error))


def render(error: BaseException) -> str:
    return "".join(traceback.format_exception(type(error), error, error.__traceback__))


def fail(divisor: int) -> float:
    return 1 / divisor


def test_type_arguments_and_attributes_survive() -> None:
    error = ValueError("bad", 3)
    error.hint = "try 4"  # type: ignore[attr-defined]
    copy = trip(error)
    assert type(copy) is ValueError
    assert copy.args == ("bad", 3)
    assert copy.hint == "try 4"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "error",
    [
        OSError(2, "No such file", "name"),
        SystemExit(3),
        KeyboardInterrupt(),
        StopIteration(5),
        UnicodeDecodeError("utf8", b"x", 0, 1, "bad"),
        ImportError("no", name="module"),
        KilledWorker("key", 3, "tcp://x", "killed by SIGKILL"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_exceptions_with_facts_of_their_own_keep_them(error: BaseException) -> None:
    copy = trip(raised(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    for fact in ("errno", "filename", "code", "value", "reason", "name", "attempts"):
        assert getattr(copy, fact, None) == getattr(error, fact, None)


def test_the_traceback_reads_as_it_did_in_the_worker() -> None:
    def work() -> None:
        fail(
            0,
        )

    error = raised_by(work)
    assert "return 1 / divisor" in render(error)
    assert render(trip(error)) == render(error)


def test_a_rebuilt_traceback_stays_the_same_on_a_second_trip() -> None:
    error = raised_by(lambda: fail(0))
    assert render(trip(trip(error))) == render(error)


def test_the_chain_of_causes_and_contexts_is_kept() -> None:
    def work() -> None:
        try:
            try:
                fail(0)
            except ZeroDivisionError as error:
                raise TwoArguments(7, "seven") from error
        except TwoArguments:
            raise KeyError("last")  # noqa: B904 (its context is what is tested)

    error = raised_by(work)
    copy = trip(error)
    assert render(copy) == render(error)
    assert isinstance(copy.__context__, TwoArguments)
    assert isinstance(copy.__context__.__cause__, ZeroDivisionError)


def test_from_none_hides_the_context() -> None:
    def work() -> None:
        try:
            fail(0)
        except ZeroDivisionError:
            raise ValueError("clean") from None

    copy = trip(raised_by(work))
    assert copy.__suppress_context__
    assert "ZeroDivisionError" not in render(copy)


def test_a_ring_of_causes_ends() -> None:
    one, two = ValueError("one"), ValueError("two")
    one.__cause__, two.__cause__ = two, one
    copy = trip(one)
    assert copy.__cause__ is not None
    assert copy.__cause__.__cause__ is copy


def test_notes_are_kept() -> None:
    error = ValueError("bad")
    error.__dict__["__notes__"] = ["while reading row 7"]
    assert trip(error).__dict__["__notes__"] == ["while reading row 7"]


def frame_names(error: BaseException) -> list[str]:
    return [frame.name for frame in traceback.extract_tb(error.__traceback__)]


def test_an_endless_recursion_keeps_both_ends_of_its_traceback() -> None:
    def down(n: int) -> int:
        return down(n + 1) + 1

    names = frame_names(trip(raised_by(lambda: down(0))))
    assert len(names) == tracebacks.MAX_FRAMES
    assert names[:3] == ["raised_by", "<lambda>", "down"]
    assert names[-1] == "down"


def test_the_frames_that_lead_to_the_task_are_cut_off() -> None:
    executor = os.path.join(os.path.dirname(nbcluster.errors.__file__), "worker", "runner.py")
    names: dict[str, Any] = {}
    exec(
        compile("def call(f):\n    try: f()\n    except BaseException as e: return e", executor, "exec"),
        names,
    )

    async def task() -> None:
        fail(0)

    def synchronous() -> None:
        fail(0)

    assert frame_names(trip(names["call"](synchronous))) == ["synchronous", "fail"]
    assert frame_names(trip(names["call"](lambda: asyncio.run(task()))))[0] == "<lambda>"
    assert frame_names(trip(names["call"](functools.partial(asyncio.run, task())))) == ["task", "fail"]


def test_ipython_shows_the_remote_lines() -> None:
    from IPython.core.ultratb import VerboseTB

    copy = trip(raised_by(lambda: fail(0)))
    out = io.StringIO()
    VerboseTB(ostream=out)(type(copy), copy, copy.__traceback__)
    text = re.sub(r"\x1b\[[\d;]*m", "", out.getvalue())
    assert "return 1 / divisor" in text
    assert os.path.basename(__file__) in text


def test_a_class_from_main_travels_by_value(monkeypatch: pytest.MonkeyPatch) -> None:
    main = types.ModuleType("__main__")
    exec("class Conflict(ValueError): pass", main.__dict__)
    monkeypatch.setitem(sys.modules, "__main__", main)
    payload = dump_exception(raised(main.__dict__["Conflict"]("twice")))
    copy = load_exception(payload)
    assert type(copy).__name__ == "Conflict"
    assert isinstance(copy, ValueError)


@pytest.mark.parametrize("error", [TwoArguments(7, "seven"), OnlyByKeyword(code=7)], ids=repr)
def test_an_init_with_another_signature_does_no_harm(error: Any) -> None:
    copy: Any = trip(raised(error))
    assert type(copy) is type(error)
    assert (str(copy), copy.code) == (str(error), 7)


def test_an_init_that_exits_does_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    payload = dump_exception(ExitsWhenMade("made"))
    monkeypatch.setattr(ExitsWhenMade, "armed", True)
    copy = load_exception(payload)
    assert type(copy) is ExitsWhenMade
    assert str(copy) == "made"


@pytest.mark.parametrize(
    "error",
    [
        HoldsALock("locked"),
        EndlessReduce("endless"),
        BecomesText("text"),
        *(
            Misbehaving(when, error)
            for when in ("dump", "load")
            for error in (ValueError("inner"), SystemExit(3), RecursionError("deep"))
        ),
    ],
    ids=lambda error: f"{type(error).__name__}-{getattr(error, 'when', '')}",
)
def test_what_cannot_travel_gets_a_stand_in_with_type_text_and_traceback(error: BaseException) -> None:
    def work() -> None:
        try:
            fail(0)
        except ZeroDivisionError as first:
            raise error from first

    copy = trip(raised_by(work))
    assert isinstance(copy, RemoteError)
    assert copy.type_name == f"{__name__}.{type(error).__name__}"
    assert copy.text == str(error)
    assert str(copy) == f"{copy.type_name}: {copy.text}"
    assert frame_names(copy) == ["raised_by", "work"]
    assert isinstance(copy.__cause__, SerializationError)
    assert "ZeroDivisionError: division by zero" in render(copy)


def test_the_stand_in_names_the_culprit() -> None:
    copy = trip(HoldsALock("locked"))
    assert "exception.lock" in str(copy.__cause__)


def test_a_stand_in_travels_on() -> None:
    again = trip(trip(HoldsALock("locked")))
    assert isinstance(again, RemoteError)
    assert again.text == "locked"
    assert isinstance(again.__cause__, SerializationError)


def test_a_keyboard_interrupt_while_loading_is_the_users() -> None:
    payload = dump_exception(Misbehaving("load", KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        load_exception(payload)


def test_a_text_that_cannot_be_told_is_said_so() -> None:
    assert describe(Unspeakable()) == f"{__name__}.Unspeakable: <its text cannot be told: ValueError in __str__>"
    assert type(trip(Unspeakable())) is Unspeakable
    assert describe(ValueError("bad")) == "ValueError: bad"


def test_a_registered_reducer_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(copyreg.dispatch_table, ExitsWhenMade, lambda error: (ValueError, ("registered",)))
    assert not exceptions._is_plain(ExitsWhenMade)
    assert str(trip(ExitsWhenMade("made"))) == "registered"


@pytest.mark.parametrize("data", [b"garbage", b"\x90", b"\x80"], ids=repr)
def test_bytes_that_are_no_exception_are_refused(data: bytes) -> None:
    with pytest.raises(SerializationError, match="these bytes are no exception"):
        load_exception(Payload(data))


@pytest.mark.skipif(sys.version_info[:2] == (3, 12), reason="there, a generator that ends keeps who has ended it")
def test_a_rebuilt_exception_keeps_nobody_who_has_rebuilt_it() -> None:
    """A frame refers to the one that called it: a notebook's last error would keep all that its client waited for."""
    payload = dump_exception(raised_by(lambda: 1 / 0))

    def rebuild() -> tuple[BaseException, weakref.ref[Any]]:
        seen = Seen()
        return load_exception(payload), weakref.ref(seen)

    gc.disable()
    try:
        error, seen = rebuild()
        assert error.__traceback__ is not None
        assert seen() is None
    finally:
        gc.enable()


class Seen:
    """Something in a variable of whoever rebuilds."""
