"""Objects to payloads and back: results, functions, and the arguments of calls with the futures in them.

Rules
1. Plain pickle first, for it is the fastest. What it cannot do, and what lives in ``__main__`` (which no
   worker imports), goes through cloudpickle, by value; so do methods, in case one is a module's function
   (:mod:`~nbcluster.protocol.by_name`).
2. Large buffers leave the pickle as frames (protocol 5, out of band); small ones are not worth a frame.
3. Nobody walks arguments in search of futures. A future notes itself while it is being pickled, through
   :func:`reduce_future`; only if one did are the containers rebuilt with a :class:`TaskRef` in its place, and
   pickled again. A task reference notes itself too, and that is how a call knows its dependencies.
4. Unpickling a task reference inside :func:`load_call` yields the value itself: nobody walks there either.
5. Whatever a foreign ``__reduce__`` or ``__setstate__`` raises, be it ``SystemExit``, leaves here as a
   ``SerializationError`` with that as its cause. Only a ``KeyboardInterrupt`` passes: it is the user's.
"""

from __future__ import annotations

import pickle
import threading
import types
import weakref
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from typing import Any, Protocol

import cloudpickle  # type: ignore[import-untyped]
import msgspec

from nbcluster.errors import SerializationError, SharedDataGoneError
from nbcluster.protocol import kept_functions
from nbcluster.protocol.buffers import copied
from nbcluster.protocol.by_name import MARK, dumps_by_name
from nbcluster.protocol.fingerprints import fingerprint
from nbcluster.protocol.payload import Frame, Payload
from nbcluster.protocol.sizeof import sizeof as sizeof
from nbcluster.types import FunctionId, Key

FRAME_MIN = 16 * 1024
"""Bytes from which on a buffer travels beside the pickle instead of in it."""

SHARE_MIN = 1024 * 1024
"""Bytes from which on a buffer is shared where memory can be; a smaller one is sent faster than it is mapped."""


# --- any object ---------------------------------------------------------------------------------------------


def dump(value: Any, what: str = "value", *, in_band: bool = False) -> Payload:
    """Pickle anything.

    Args:
        value: the object.
        what: what to call it in an error, e.g. ``"result"``.
        in_band: make no frames, however large the buffers. Otherwise frames are views of the object's own memory,
            which must not change before they are sent: see :func:`detach`.

    Raises:
        SerializationError: it cannot be pickled; ``path`` names the part that cannot.
    """
    if type(value) in _ATOMS:
        return Payload(pickle.dumps(value, 5))
    frames: list[Frame] = []
    if type(value) in _BYTES and len(value) >= FRAME_MIN and not in_band:
        value = _Bytes(value)
    try:
        return Payload(_dumps(value, None if in_band else frames), tuple(frames))
    except _FAILURES as error:
        raise _unpicklable([(what, value)], error) from error


def load(payload: Payload, what: str = "value") -> Any:
    """Unpickle what :func:`dump` made. Arrays are writable if their frames' buffers are.

    Raises:
        SerializationError: it cannot be unpickled here; the cause says why.
    """
    data = payload.data
    if not data:  # it is live
        value = payload.frames[0].live
        if type(value) in _rebuilt:
            rebuild, args = value.__reduce__()
            return rebuild(*args)
        return value
    return _loads(data, payload.frames, what)


_rebuilt: set[type] = set()


def rebuild_when_loaded(kind: type) -> None:
    """Have live objects of this type rebuilt at each :func:`load`, as if they came from another process."""
    _rebuilt.add(kind)


class _Bytes:
    """Has one large ``bytes`` or ``bytearray`` travel as a frame."""

    __slots__ = ("value",)

    def __init__(self, value: bytes | bytearray) -> None:
        self.value = value

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return type(self.value), (pickle.PickleBuffer(self.value),)


_BYTES = frozenset([bytes, bytearray])

_ATOMS = frozenset([int, float, bool, str, complex, type(None)])
"""What has neither buffers nor classes."""

_FAILURES = (Exception, SystemExit, GeneratorExit)
"""What a foreign ``__reduce__`` or ``__setstate__`` may raise: everything but the user's Ctrl-C."""


def _dumps(value: Any, frames: list[Frame] | None) -> bytes:
    def keep_in_band(buffer: pickle.PickleBuffer) -> bool:
        if frames is None:
            return True
        raw = buffer.raw()
        if raw.nbytes < FRAME_MIN:
            return True
        frames.append(Frame(raw))
        return False

    if not cloudpickle.list_registry_pickle_by_value():
        try:
            data = pickle.dumps(value, 5, buffer_callback=keep_in_band)
            if b"__main__" not in data and MARK not in data:
                return data
        except MemoryError:
            raise
        except _FAILURES:
            pass  # cloudpickle can do more; and if it cannot do this, its error is the one to tell
        if frames:
            frames.clear()
    return dumps_by_name(value, keep_in_band)


def _unpicklable(roots: list[tuple[str, Any]], error: BaseException) -> BaseException:
    if isinstance(error, MemoryError):
        return error
    from nbcluster.protocol.culprit import find_culprit

    path, culprit, reason = find_culprit(roots, error)
    return SerializationError(
        f"cannot pickle {path} (of type {type(culprit).__qualname__}): {type(reason).__name__}: {reason}. "
        "Create it inside the task, or leave it out of what is sent (a class can do so in __getstate__).",
        path=path,
    )


def _loads(data: bytes, frames: Sequence[Frame], what: str) -> Any:
    try:
        if frames:
            return pickle.loads(data, buffers=[frame.open() for frame in frames])
        return pickle.loads(data)
    except (MemoryError, SerializationError, SharedDataGoneError):
        raise
    except _FAILURES as error:
        reason = f"{type(error).__name__}: {error}"
        raise SerializationError(f"cannot unpickle the {what} here: {reason}", path=what) from error


# --- functions ----------------------------------------------------------------------------------------------

_FUNCTION_TYPES = (types.FunctionType, types.BuiltinFunctionType, type)
_REFERENCE = pickle.STACK_GLOBAL + pickle.MEMOIZE + pickle.STOP
"""How a pickle ends that says only where to import the object from."""
_functions: dict[int, tuple[weakref.ref[Any], FunctionId, Payload]] = {}
"""Importable functions that were pickled already, by identity."""


def dump_function(function: Callable[..., Any]) -> tuple[FunctionId, Payload]:
    """Pickle a function and name it by the hash of its bytes: a name never means an older version.

    An importable function is pickled once. One that travels by value (of ``__main__``, a closure, a lambda)
    is pickled at each call if what it refers to may have changed: see :mod:`~nbcluster.protocol.kept_functions`.

    Raises:
        SerializationError: it cannot be pickled; ``path`` is e.g. ``"function f: closure variable lock"``.
    """
    known = _functions.get(id(function))
    if known is not None and known[0]() is function:
        return known[1], known[2]
    look = kept_functions.look_at(function)
    if look is not None and (kept := kept_functions.find(look)) is not None:
        return kept
    frames: list[Frame] = []
    try:
        data = _dumps(function, frames)
    except _FAILURES as error:
        name = "" if isinstance(function, types.FunctionType) else "function"
        raise _unpicklable([(name, function)], error) from error
    payload = Payload(data, tuple(detach(frames)))
    function_id = _digest(data, payload.frames).digest()
    if isinstance(function, _FUNCTION_TYPES) and data.endswith(_REFERENCE):
        address = id(function)
        forget = weakref.ref(function, lambda _: _functions.pop(address, None))
        _functions[address] = forget, function_id, payload
    elif look is not None:
        kept_functions.keep(look, function, (function_id, payload))
    return function_id, payload


def load_function(payload: Payload) -> Callable[..., Any]:
    """Unpickle what :func:`dump_function` made.

    Raises:
        SerializationError: it cannot be unpickled here, e.g. because a module is missing.
    """
    function: Callable[..., Any] = load(payload, "function")
    return function


# --- calls: arguments with futures in them ------------------------------------------------------------------


class HasKey(Protocol):
    """A future, as far as pickling it goes."""

    @property
    def key(self) -> Key:
        """The key of its task."""


class Arguments(msgspec.Struct, frozen=True, gc=False):
    """The pickled ``(args, kwargs)`` of one call, and the keys of the futures that were in it."""

    data: bytes
    frames: Sequence[Frame]
    dependencies: list[Key]


class TaskRef:
    """Stands for a task's result in the arguments of another; :func:`load_call` puts the result there."""

    __slots__ = ("key",)

    def __init__(self, key: Key) -> None:
        self.key = key

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TaskRef) and other.key == self.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __repr__(self) -> str:
        return f"TaskRef({self.key!r})"

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        if _scope.met is not None:
            _scope.met.append(self)
        return _load_task_ref, (self.key,)


class _Scope(threading.local):
    """What pickling and unpickling under way in this thread know beyond their bytes."""

    met: list[Any] | None = None
    """Futures and task references that :func:`dump_call` has come across."""
    values: Mapping[Key, Any] | None = None
    """What task references stand for."""


_scope = _Scope()
_future_factory: Callable[[Key], Any] | None = None


def set_future_factory(factory: Callable[[Key], Any]) -> None:
    """Say how a future that travelled inside an object is rebuilt from its key in this process."""
    global _future_factory
    _future_factory = factory


def note_dependency(thing: HasKey) -> None:
    """Of what stands for a task's result while it is pickled: a :func:`dump_call` under way learns of it."""
    if _scope.met is not None:
        _scope.met.append(thing)


def are_noted() -> bool:
    """True if the futures that this thread pickles now go where their client's own messages go, and not before them."""
    return _scope.met is not None


def reduce_future(future: HasKey) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """What a future's ``__reduce__`` returns. A :func:`dump_call` under way learns of the future by it."""
    note_dependency(future)
    return _load_future, (future.key,)


def _load_future(key: Key) -> Any:
    if _future_factory is None:
        raise SerializationError(
            f"the future {key} was unpickled where there is no client; pass futures as arguments, "
            "or inside lists, tuples, sets and dicts, and the task receives their results",
            path=key,
        )
    return _future_factory(key)


def _load_task_ref(key: Key) -> Any:
    values = _scope.values
    return TaskRef(key) if values is None else values[key]


def dump_plain_call(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bytes | None:
    """The same as :func:`dump_call` where the arguments are a few numbers and texts, as in most maps; None if not."""
    if kwargs or not _ATOMS.issuperset(map(type, args)):  # else neither futures nor buffers are in them
        return None
    return pickle.dumps((args, kwargs), 5)


def dump_call(
    args: tuple[Any, ...], kwargs: Mapping[str, Any], admit: Callable[[Any], object] | None = None
) -> Arguments:
    """Pickle the arguments of a call. Frames are views of the arguments' own memory: see :func:`detach`.

    Futures in them, at any depth of lists, tuples, sets and dicts, become dependencies, as do ``TaskRef``
    objects wherever they are. A future inside an object of another type travels as a future.

    Args:
        args: as they are given.
        kwargs: as they are given.
        admit: called with each future that becomes a dependency: it may raise.

    Raises:
        SerializationError: something cannot be pickled; ``path`` is e.g. ``"args[1].model._lock"``.
    """
    plain = dump_plain_call(args, kwargs)
    if plain is not None:
        return Arguments(plain, (), [])
    frames: list[Frame] = []
    call = _with_frames_for_bytes(args, kwargs)
    data, met = _dump_noting(call, frames)
    if not met:
        return Arguments(data, frames, [])
    futures = {id(one): one for one in met if type(one) is not TaskRef}
    if futures:
        if admit is not None:
            for future in futures.values():
                admit(future)
        frames.clear()
        data, met = _dump_noting(_replace(call, futures, {}), frames)
    keys = dict.fromkeys(one.key for one in met if type(one) is TaskRef)
    return Arguments(data, frames, list(keys))


def _dump_noting(call: tuple[Any, Mapping[str, Any]], frames: list[Frame]) -> tuple[bytes, list[HasKey]]:
    """Pickle a call; returns also the futures and task references that it came across."""
    outer = _scope.met
    met = _scope.met = []
    try:
        return _dumps(call, frames), met
    except _FAILURES as error:
        _scope.met = None
        raise _unpicklable([("args", call[0]), ("kwargs", call[1])], error) from error
    finally:
        _scope.met = outer


def dump_with_futures(value: Any, what: str) -> tuple[Payload, list[Any]]:
    """Pickle anything, in one piece, and tell which futures are in it: they travel as futures.

    Raises:
        SerializationError: it cannot be pickled; ``path`` names the part that cannot.
    """
    outer = _scope.met
    met = _scope.met = []
    try:
        payload = dump(value, what, in_band=True)
        return payload, list({id(one): one for one in met if type(one) is not TaskRef}.values())
    finally:
        _scope.met = outer


def _with_frames_for_bytes(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Any, Mapping[str, Any]]:
    """Have large ``bytes`` among the arguments travel as frames: pickle itself would copy them."""
    for value in args:
        if type(value) in _BYTES and len(value) >= FRAME_MIN:
            args = tuple(map(_framed, args))
            break
    if kwargs:
        kwargs = {name: _framed(value) for name, value in kwargs.items()}
    return args, kwargs


def _framed(value: Any) -> Any:
    return _Bytes(value) if type(value) in _BYTES and len(value) >= FRAME_MIN else value


def detach(frames: Sequence[Frame], share: Callable[[Frame], Frame] | None = None) -> list[Frame]:
    """The same frames, independent of what they were made of, which may change from now on.

    Args:
        frames: of a payload or call, as they were dumped.
        share: puts a large one into shared memory; None: all are copied.
    """
    return [_copy(frame) if share is None or frame.nbytes < SHARE_MIN else share(frame) for frame in frames]


def _copy(frame: Frame) -> Frame:
    return frame if frame.buffer is None else Frame(copied(frame.buffer))


def _replace(value: Any, futures: Mapping[int, HasKey], done: dict[int, Any]) -> Any:
    """Rebuild the built-in containers with task references in place of futures; what holds none is shared."""
    if id(value) in futures:
        return TaskRef(value.key)
    kind = type(value)
    if id(value) in done:
        return done[id(value)]
    if kind is list:
        copy: Any = []
        done[id(value)] = copy  # before its elements: a list may hold itself
        copy.extend(_replace(item, futures, done) for item in value)
    elif kind is dict:
        copy = {}
        done[id(value)] = copy
        for key, item in value.items():
            copy[_replace(key, futures, done)] = _replace(item, futures, done)
    elif kind is tuple or kind is set or kind is frozenset:
        done[id(value)] = value  # a tuple that holds itself, through a list, is left as it is
        copy = done[id(value)] = kind(_replace(item, futures, done) for item in value)
    elif isinstance(value, tuple) and hasattr(value, "_make"):
        done[id(value)] = value
        copy = done[id(value)] = value._make(_replace(item, futures, done) for item in value)
    else:
        return value
    return copy


def load_call(
    data: bytes, frames: Sequence[Frame], values: Mapping[Key, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Unpickle what :func:`dump_call` made, with the results of its dependencies in place.

    Raises:
        SerializationError: it cannot be unpickled here; the cause says why.
    """
    outer = _scope.values
    _scope.values = values
    try:
        call: tuple[tuple[Any, ...], dict[str, Any]] = _loads(data, frames, "arguments")
        return call
    finally:
        _scope.values = outer


# --- names --------------------------------------------------------------------------------------------------


def token(function: FunctionId, arguments: Arguments) -> str:
    """Name a pure call: the same function and equal arguments give the same 32 hexadecimal digits."""
    if arguments.frames:
        return _digest(function + arguments.data, arguments.frames).hexdigest()
    return plain_token(function, arguments.data)


def plain_token(function: FunctionId, data: bytes) -> str:
    """The same for one whose arguments are pickled as a whole."""
    return blake2b(function + data, digest_size=16).hexdigest()


def _digest(data: bytes, frames: Sequence[Frame]) -> blake2b:
    digest = blake2b(data, digest_size=16)
    for frame in frames:
        if frame.fingerprint is None:
            frame.fingerprint = fingerprint(frame.open())
        digest.update(frame.nbytes.to_bytes(8, "little"))
        digest.update(frame.fingerprint)
    return digest
