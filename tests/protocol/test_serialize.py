from __future__ import annotations

import collections
import functools
import gc
import operator
import os.path
import pickle
import sys
import threading
import types
from typing import Any, NamedTuple

import numpy as np
import pytest

from nbcluster.errors import SerializationError
from nbcluster.protocol import serialize
from nbcluster.protocol.payload import Frame, Payload
from nbcluster.protocol.serialize import (
    FRAME_MIN,
    SHARE_MIN,
    TaskRef,
    detach,
    dump,
    dump_call,
    dump_function,
    dump_plain_call,
    load,
    load_call,
    load_function,
    reduce_future,
    token,
)


class FakeFuture:
    """A future as far as pickling goes."""

    def __init__(self, key: str) -> None:
        self.key = key

    def __reduce__(self) -> Any:
        return reduce_future(self)


class Box:
    def __init__(self, **attributes: Any) -> None:
        self.__dict__.update(attributes)

    def method(self) -> None: ...


class Slotted:
    __slots__ = ("inner",)

    def __init__(self, inner: Any) -> None:
        self.inner = inner


class Point(NamedTuple):
    x: Any
    y: Any


class Raising:
    """Misbehaves when it is pickled, or when it is unpickled."""

    def __init__(self, when: str, error: BaseException) -> None:
        self.when = when
        self.error = error

    def __getstate__(self) -> Any:
        if self.when == "dump":
            raise self.error
        return {"error": self.error}

    def __setstate__(self, state: Any) -> None:
        raise state["error"]


@pytest.fixture
def future_factory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serialize, "_future_factory", FakeFuture)


def in_main(code: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What a user typed into a cell."""
    main = types.ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", main)
    exec(code, main.__dict__)
    return main


# --- objects


@pytest.mark.parametrize("value", [None, 5, "text", b"bytes", [1, {"a": (2, 3)}], {1, 2}])
def test_plain_objects_survive_the_trip(value: Any) -> None:
    assert load(dump(value)) == value


def test_large_buffers_leave_the_pickle_and_small_ones_stay_in_it() -> None:
    large, small = np.zeros(FRAME_MIN, "u1"), np.zeros(FRAME_MIN - 1, "u1")
    payload = dump([large, small])
    assert [frame.nbytes for frame in payload.frames] == [FRAME_MIN]
    assert len(payload.data) > small.nbytes
    copies = load(payload)
    assert copies[0].shape == large.shape
    assert copies[1].shape == small.shape


def test_a_large_buffer_is_not_copied_until_it_is_detached() -> None:
    array = np.zeros(FRAME_MIN, "u1")
    view = dump(array)
    snapshot = Payload(view.data, tuple(detach(view.frames)))
    array[0] = 7
    assert load(view)[0] == 7
    assert load(snapshot)[0] == 0


def test_what_is_shared_is_not_copied_beside_it() -> None:
    small, large = Frame(bytes(FRAME_MIN)), Frame(bytes(SHARE_MIN))
    shared = Frame(None)
    assert detach([small, large], lambda frame: shared)[1] is shared


def test_large_bytes_travel_as_a_frame() -> None:
    for value in (b"x" * FRAME_MIN, bytearray(b"y" * FRAME_MIN)):
        payload = dump(value)
        assert len(payload.data) < 200
        assert len(payload.frames) == 1
        copy = load(payload)
        assert copy == value
        assert type(copy) is type(value)


@pytest.mark.parametrize("writable", [True, False])
def test_a_loaded_array_is_writable_if_its_buffer_is(writable: bool) -> None:
    payload = dump(np.arange(FRAME_MIN))
    raw = bytes(payload.frames[0].buffer or b"")
    received = Payload(payload.data, (Frame(bytearray(raw) if writable else raw),))
    assert load(received).flags.writeable is writable


def test_a_live_payload_yields_the_object_itself() -> None:
    value = object()
    assert load(Payload.of_live(value)) is value


def test_an_object_of_a_class_in_main_travels_by_value(monkeypatch: pytest.MonkeyPatch) -> None:
    main = in_main("class Thing:\n    def answer(self): return 42", monkeypatch)
    payload = dump(main.Thing())
    monkeypatch.setitem(sys.modules, "__main__", types.ModuleType("__main__"))
    assert load(payload).answer() == 42


def test_a_module_registered_by_value_travels_by_value(monkeypatch: pytest.MonkeyPatch) -> None:
    import cloudpickle  # type: ignore[import-untyped]

    module = types.ModuleType("only_here")
    exec("def answer(): return 42", module.__dict__)
    monkeypatch.setitem(sys.modules, "only_here", module)
    cloudpickle.register_pickle_by_value(module)
    try:
        _, payload = dump_function(module.answer)
    finally:
        cloudpickle.unregister_pickle_by_value(module)
    monkeypatch.delitem(sys.modules, "only_here")
    assert load_function(payload)() == 42


# --- errors


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (threading.Lock(), "value"),
        ([1, threading.Lock()], "value[1]"),
        ({"a": {"b": threading.Lock()}}, "value['a']['b']"),
        (Box(model=Box(_lock=threading.Lock())), "value.model._lock"),
        (Slotted(Slotted(threading.Lock())), "value.inner.inner"),
        (Point(1, threading.Lock()), "value.y"),
        (functools.partial(print, threading.Lock()), "value.args[0]"),
        (functools.partial(print, end=threading.Lock()), "value.keywords['end']"),
        (Box(lock=threading.Lock()).method, "value.__self__.lock"),
        (collections.OrderedDict(a=threading.Lock()), "value['a']"),
        (Box(inner=Raising("dump", ValueError("no"))), "value.inner"),
        (Box(inner=Raising("dump", SystemExit(1))), "value.inner"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_error_names_the_path_to_what_cannot_be_pickled(value: Any, path: str) -> None:
    with pytest.raises(SerializationError) as caught:
        dump(value)
    assert caught.value.path == path
    assert f"cannot pickle {path} " in str(caught.value)
    assert caught.value.__cause__ is not None


def test_the_error_survives_pickling_with_its_path() -> None:
    with pytest.raises(SerializationError) as caught:
        dump([threading.Lock()])
    assert pickle.loads(pickle.dumps(caught.value)).path == "value[0]"


def test_the_error_names_a_closure_variable() -> None:
    lock = threading.Lock()
    model = Box(_lock=threading.Lock())

    def train() -> Any:
        return lock

    def fit() -> Any:
        return model

    for function, path in [
        (train, "function train: closure variable lock"),
        (fit, "function fit: closure variable model._lock"),
    ]:
        with pytest.raises(SerializationError) as caught:
            dump_function(function)
        assert caught.value.path == path


def test_the_error_names_a_global_variable_of_a_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    main = in_main("import threading\nlock = threading.Lock()\ndef f(x=1): return lock", monkeypatch)
    with pytest.raises(SerializationError) as caught:
        dump_function(main.f)
    assert caught.value.path == "function f: global variable lock"


@pytest.mark.parametrize(
    ("args", "kwargs", "path"),
    [
        ((1, Box(model=Box(_lock=threading.Lock()))), {}, "args[1].model._lock"),
        ((1,), {"a": 1, "b": [threading.Lock()]}, "kwargs['b'][0]"),
        ((FakeFuture("k"), threading.Lock()), {}, "args[1]"),
    ],
    ids=["positional", "keyword", "beside a future"],
)
def test_the_error_of_a_call_names_the_argument(args: Any, kwargs: Any, path: str) -> None:
    with pytest.raises(SerializationError) as caught:
        dump_call(args, kwargs)
    assert caught.value.path == path
    assert dump_call((FakeFuture("next"),), {}).dependencies == ["next"]


def test_the_search_for_the_culprit_ends_in_a_cycle_and_in_a_crowd() -> None:
    ring: Any = Box(lock=None)
    ring.me = ring
    ring.lock = threading.Lock()
    with pytest.raises(SerializationError) as caught:
        dump(ring)
    assert caught.value.path == "value.lock"
    with pytest.raises(SerializationError) as caught:
        dump([*range(100_000), threading.Lock()])
    assert caught.value.path == "value"


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(3), RecursionError("deep")], ids=repr)
def test_whatever_unpickling_raises_becomes_the_cause(error: BaseException) -> None:
    payload = dump(Raising("load", error))
    with pytest.raises(SerializationError, match="cannot unpickle the result here") as caught:
        load(payload, "result")
    assert type(caught.value.__cause__) is type(error)


@pytest.mark.parametrize("when", ["dump", "load"])
def test_a_keyboard_interrupt_is_the_users(when: str) -> None:
    with pytest.raises(KeyboardInterrupt):
        load(dump(Raising(when, KeyboardInterrupt())))


# --- functions


def test_an_importable_function_is_pickled_once() -> None:
    first, payload = dump_function(os.path.join)
    again, same = dump_function(os.path.join)
    assert (first, len(first)) == (again, 16)
    assert same is payload
    assert load_function(payload) is os.path.join


def test_a_function_of_main_is_pickled_at_each_call(monkeypatch: pytest.MonkeyPatch) -> None:
    main = in_main("factor = 2\ndef scale(x): return factor * x", monkeypatch)
    before = dump_function(main.scale)
    assert dump_function(main.scale)[0] == before[0]
    main.factor = 3
    after = dump_function(main.scale)
    assert after[0] != before[0]
    monkeypatch.setitem(sys.modules, "__main__", types.ModuleType("__main__"))
    assert load_function(before[1])(10) == 20
    assert load_function(after[1])(10) == 30


def test_a_closure_a_lambda_and_a_partial_travel() -> None:
    n = 3
    for function in (lambda x: x + n, functools.partial(operator.add, n)):
        assert load_function(dump_function(function)[1])(1) == 4


def test_a_forgotten_function_is_not_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("passing")
    exec("def f(): return 1", module.__dict__)
    monkeypatch.setitem(sys.modules, "passing", module)
    gc.collect()
    before = len(serialize._functions)
    dump_function(module.f)
    assert len(serialize._functions) == before + 1
    del module.f
    gc.collect()
    assert len(serialize._functions) == before


# --- calls


@pytest.mark.parametrize(
    "args",
    [(), (1, 2.5, 1j), (None, True), ("__main__", "\ud800"), ("x" * 2 * FRAME_MIN,)],
    ids=lambda args: str(len(args)),
)
def test_plain_values_are_pickled_at_one_go_to_the_bytes_that_other_calls_get(
    args: tuple[Any, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    call = dump_call(args, {})
    assert load_call(call.data, call.frames, {}) == (args, {})
    monkeypatch.setattr(serialize, "_ATOMS", frozenset())
    other = dump_call(args, {})
    assert (call.data, call.dependencies, len(call.frames)) == (other.data, other.dependencies, len(other.frames))


def test_plain_values_take_few_calls_for_there_may_be_a_million() -> None:
    calls: list[str] = []

    def note(frame: types.FrameType, event: str, _: object) -> None:
        if event == "call":
            calls.append(frame.f_code.co_name)

    sys.setprofile(note)
    try:
        data = dump_plain_call((1, "two"), {})
    finally:
        sys.setprofile(None)
    assert calls == ["dump_plain_call"]
    assert data == dump_call((1, "two"), {}).data


def test_what_may_hold_a_future_is_no_plain_call() -> None:
    assert dump_plain_call(([],), {}) is None
    assert dump_plain_call((1,), {"x": 1}) is None


def test_a_call_without_futures_has_no_dependencies() -> None:
    call = dump_call((1, [2]), {"c": 3})
    assert call.dependencies == []
    assert load_call(call.data, call.frames, {}) == ((1, [2]), {"c": 3})


def test_futures_in_containers_become_the_results_they_stand_for() -> None:
    a, b = FakeFuture("a"), FakeFuture("b")
    args = (a, [b, (a, 1)], {"x": {a}, b: frozenset([b])}, Point(a, 2))
    call = dump_call(args, {"k": [b]})
    assert sorted(call.dependencies) == ["a", "b"]
    loaded = load_call(call.data, call.frames, {"a": 10, "b": 20})
    assert loaded == ((10, [20, (10, 1)], {"x": {10}, 20: frozenset([20])}, Point(10, 2)), {"k": [20]})
    assert type(loaded[0][3]) is Point


def test_a_list_that_holds_itself_and_a_future_keeps_its_shape() -> None:
    ring: list[Any] = [FakeFuture("a")]
    ring.append(ring)
    ring.append((ring,))
    call = dump_call((ring,), {})
    (loaded,), _ = load_call(call.data, call.frames, {"a": 1})
    assert loaded[0] == 1
    assert loaded[1] is loaded
    assert loaded[2][0] is loaded


def test_a_shared_list_stays_shared() -> None:
    shared = [FakeFuture("a")]
    call = dump_call((shared, shared), {})
    (one, two), _ = load_call(call.data, call.frames, {"a": 1})
    assert one is two


@pytest.mark.usefixtures("future_factory")
def test_a_future_inside_an_object_travels_as_a_future() -> None:
    call = dump_call((Box(future=FakeFuture("inner")), FakeFuture("outer")), {})
    assert call.dependencies == ["outer"]
    (box, value), _ = load_call(call.data, call.frames, {"outer": 1})
    assert (box.future.key, value) == ("inner", 1)


def test_a_future_without_a_client_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serialize, "_future_factory", None)  # a client in this process may have set one
    payload = dump(Box(future=FakeFuture("inner")))
    with pytest.raises(SerializationError, match="where there is no client; pass futures as arguments"):
        load(payload)


def test_a_task_reference_in_an_object_is_a_dependency_too() -> None:
    call = dump_call((Box(data=TaskRef("big")),), {"again": TaskRef("big")})
    assert call.dependencies == ["big"]
    (box,), kwargs = load_call(call.data, call.frames, {"big": 7})
    assert (box.data, kwargs) == (7, {"again": 7})


def test_pickling_a_future_elsewhere_leaves_no_trace() -> None:
    future = FakeFuture("a")
    pickle.dumps(future)
    assert dump_call((1,), {}).dependencies == []
    assert serialize._scope.met is None


def test_arguments_are_what_they_were_when_they_were_detached() -> None:
    array = np.zeros(FRAME_MIN, "u1")
    call = dump_call((array,), {})
    frames = detach(call.frames)
    array[0] = 9
    (loaded,), _ = load_call(call.data, frames, {})
    assert loaded[0] == 0
    assert loaded.flags.writeable


def test_a_lambda_among_the_arguments_travels() -> None:
    call = dump_call((lambda x: x + 1, FakeFuture("a")), {})
    (function, value), _ = load_call(call.data, call.frames, {"a": 1})
    assert function(value) == 2


# --- names


def test_a_token_depends_on_function_arguments_and_buffers_alone() -> None:
    add, sub = dump_function(operator.add)[0], dump_function(operator.sub)[0]
    array = np.zeros(FRAME_MIN)
    other = array.copy()
    other[-1] = 1

    def of(function: bytes, *args: Any) -> str:
        return token(function, dump_call(args, {}))

    assert of(add, 1) == of(add, 1)
    assert of(add, array) == of(add, array.copy())
    names = {of(add, 1), of(sub, 1), of(add, 2), of(add, array), of(add, other), of(add, FakeFuture("k"))}
    assert len(names) == 6
    assert all(len(name) == 32 and set(name) <= set("0123456789abcdef") for name in names)
