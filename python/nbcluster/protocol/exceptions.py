"""A task's exception on its way to whoever waits for it: with its traceback, its causes and its notes.

The chain travels as plain records, each exception pickled on its own: so one that cannot travel, or cannot be
rebuilt where it arrives, takes nothing else down with it. In its place comes a :class:`RemoteError` with its
type's name, its text and its traceback; the cause of that one says what was in the way.

Exceptions that leave pickling to ``BaseException`` travel as type, arguments and attributes. Where calling
the type with those arguments fails, because its ``__init__`` has another signature, it is made without
``__init__``: so ``except`` clauses for it work where other picklers give up.
"""

from __future__ import annotations

import copyreg
import traceback
from collections.abc import Callable
from typing import Any

import msgspec

from nbcluster.errors import RemoteError, SerializationError
from nbcluster.protocol import serialize, tracebacks
from nbcluster.protocol.payload import Frame, Payload

MAX_CHAIN = 50
MAX_TEXT = 10_000


class _Link(msgspec.Struct, array_like=True):
    """One exception of the chain; its cause and context are the chain's links of these indices."""

    type_name: str
    text: str
    frames: list[tracebacks.FrameSummary]
    notes: list[str]
    data: bytes = b""
    """The pickled exception, if it could be pickled."""
    buffers: list[bytearray] = []
    obstacle: str = ""
    """Why it could not be pickled."""
    cause: int = -1
    context: int = -1
    suppress_context: bool = False


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[_Link]).decode


def dump_exception(error: BaseException) -> Payload:
    """Turn an exception, its chain and their tracebacks into a payload, whatever they do when pickled."""
    links: list[_Link] = []
    indices: dict[int, int] = {}

    def add(error: BaseException | None) -> int:
        if error is None or len(links) >= MAX_CHAIN:
            return -1
        known = indices.get(id(error))
        if known is not None:
            return known
        indices[id(error)] = index = len(links)
        links.append(link := _dump_link(error))
        link.cause = add(error.__cause__)
        link.context = add(error.__context__)
        return index

    add(error)
    return Payload(_encode(links))


def load_exception(payload: Payload) -> BaseException:
    """Rebuild what :func:`dump_exception` made, chain and tracebacks included.

    Raises:
        SerializationError: these bytes are no exception. What is in them and cannot be rebuilt is no error:
            it gets a stand-in.
    """
    try:
        links = _decode(payload.data)
        if not links:
            raise msgspec.DecodeError("an empty chain")
    except msgspec.DecodeError as reason:
        raise SerializationError(f"these bytes are no exception: {reason}", path="exception") from reason
    errors = [_load_link(link) for link in links]
    for link, error in zip(links, errors, strict=True):
        cause = errors[link.cause] if 0 <= link.cause < len(errors) else None
        context = errors[link.context] if 0 <= link.context < len(errors) else None
        if error.__cause__ is not None:  # a stand-in: first what hindered it, then what the task itself had
            _last(error.__cause__).__context__ = cause or context
        else:
            error.__cause__ = cause
            error.__context__ = context
            error.__suppress_context__ = link.suppress_context
    return errors[0]


def describe_payload(payload: Payload) -> str:
    """The last line of the traceback of what :func:`dump_exception` made; nothing is unpickled."""
    link = _decode(payload.data)[0]
    return f"{link.type_name}: {link.text}" if link.text else link.type_name


def traceback_text(payload: Payload) -> str:
    """Where it was raised, as lines of a traceback; nothing is unpickled, but source is read."""
    frames = _decode(payload.data)[0].frames
    summaries = [traceback.FrameSummary(frame.filename, frame.lineno, frame.name) for frame in frames]
    return "".join(traceback.format_list(summaries))


def _last(error: BaseException) -> BaseException:
    seen = set()
    while error.__cause__ is not None and id(error) not in seen:
        seen.add(id(error))
        error = error.__cause__
    return error


def describe(error: BaseException) -> str:
    """The last line of its traceback: ``"ValueError: no such file"``."""
    name, text = _type_name(type(error)), _text(error)
    return f"{name}: {text}" if text else name


def stand_in(error: BaseException) -> RemoteError:
    """What to raise in its place, with the exception itself as the cause."""
    substitute = RemoteError(_type_name(type(error)), _text(error))
    substitute.__cause__ = error
    return substitute


def dump_raising(error: BaseException) -> Payload:
    """Make a payload that raises this exception when it is unpickled: the answer where there is no value."""
    return serialize.dump(_Raiser(dump_exception(error)))


class _Raiser:
    """Raises when it is unpickled."""

    __slots__ = ("payload",)

    def __init__(self, payload: Payload) -> None:
        self.payload = payload

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return _raise, (self.payload.data,)


def _raise(data: bytes) -> None:
    raise load_exception(Payload(data))


# --- one exception ---------------------------------------------------------------------------------------


def _dump_link(error: BaseException) -> _Link:
    notes = getattr(error, "__notes__", None)
    link = _Link(
        _type_name(type(error)),
        _text(error),
        tracebacks.summarise(error.__traceback__),
        [note for note in notes if isinstance(note, str)] if isinstance(notes, list) else [],
        suppress_context=error.__suppress_context__,
    )
    try:
        payload = _dump_one(error)
        link.data = payload.data
        link.buffers = [bytearray(frame.buffer or b"") for frame in payload.frames]
    except BaseException as reason:
        link.obstacle = str(reason)
    return link


def _dump_one(error: BaseException) -> Payload:
    if _is_plain(type(error)):
        try:
            return serialize.dump(_Parts(error))
        except SerializationError:
            pass  # the next line fails too, and tells it in terms of the exception
    if _has_traceback_reducer(type(error)):
        return serialize.dump(_Own(error), "exception")
    return serialize.dump(error, "exception")


def _load_link(link: _Link) -> BaseException:
    try:
        error = _load_one(link)
    except SerializationError as obstacle:
        error = RemoteError(link.type_name, link.text)
        error.__cause__ = obstacle.with_traceback(None)
    error.__traceback__ = tracebacks.rebuild(link.frames)
    if link.notes:
        error.__dict__["__notes__"] = link.notes
    return error


def _load_one(link: _Link) -> BaseException:
    if not link.data:
        raise SerializationError(link.obstacle, path="exception")
    payload = Payload(link.data, tuple(Frame(buffer) for buffer in link.buffers))
    error = serialize.load(payload, link.type_name)
    if not isinstance(error, BaseException):
        raise SerializationError(f"{link.type_name} was unpickled as {error!r:.100}", path="exception")
    error.__cause__ = None  # where its own __setstate__ set one: the chain knows better
    return error


def _is_plain(kind: type[BaseException]) -> bool:
    """Whether its pickling is that of ``BaseException``: by type, arguments and attributes."""
    return (
        kind.__reduce__ is BaseException.__reduce__
        and kind.__reduce_ex__ is object.__reduce_ex__
        and kind.__setstate__ is BaseException.__setstate__
        and (kind not in copyreg.dispatch_table or _has_traceback_reducer(kind))
    )


def _has_traceback_reducer(kind: type[BaseException]) -> bool:
    """Whether tblib pickles it, which others install for all exceptions: that drops facts, and fails on rings."""
    return getattr(copyreg.dispatch_table.get(kind), "__module__", "").startswith("tblib")


class _Own:
    """Has an exception travel as it says itself, whatever ``copyreg`` says."""

    __slots__ = ("error",)

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __reduce__(self) -> str | tuple[Any, ...]:
        return self.error.__reduce_ex__(5)


class _Parts:
    """Has an exception travel as its type, arguments and attributes."""

    __slots__ = ("error",)

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return _assemble, (type(self.error), self.error.args, self.error.__dict__)


def _assemble(kind: type[BaseException], args: tuple[Any, ...], attributes: dict[str, Any]) -> BaseException:
    try:
        error = kind(*args)
    except (KeyboardInterrupt, MemoryError):
        raise
    except BaseException:  # its __init__ has another signature, or does more than initialise
        error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(attributes)
    return error


def _type_name(kind: type) -> str:
    name = kind.__qualname__
    return name if kind.__module__ == "builtins" else f"{kind.__module__}.{name}"


def _text(error: BaseException) -> str:
    try:
        return str(error)[:MAX_TEXT]
    except BaseException as reason:
        return f"<its text cannot be told: {type(reason).__name__} in __str__>"
