from __future__ import annotations

import operator
import threading
import time
from typing import Any

import pytest

from nbcluster.errors import SerializationError
from nbcluster.protocol.payload import Payload
from nbcluster.protocol.serialize import dump_function
from nbcluster.worker.functions import FunctionTable

loads: list[int] = []


class Slow:
    """A callable that takes its time to be unpickled."""

    def __reduce__(self) -> Any:
        return _load_slowly, ()

    def __call__(self) -> None: ...


def _load_slowly() -> Slow:
    loads.append(1)
    time.sleep(0.05)
    return Slow()


def test_a_function_is_unpickled_when_it_is_first_called_for_and_only_then() -> None:
    loads.clear()
    table = FunctionTable()
    function_id, payload = dump_function(Slow())
    table.define({function_id: payload})
    assert loads == []
    assert table.get(function_id) is table.get(function_id)
    assert loads == [1]


def test_threads_that_call_for_it_together_get_the_same_one() -> None:
    loads.clear()
    table = FunctionTable()
    function_id, payload = dump_function(Slow())
    table.define({function_id: payload})
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(table.get(function_id))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert loads == [1]
    assert len(set(map(id, found))) == 1


def test_defining_a_function_again_changes_nothing() -> None:
    table = FunctionTable()
    function_id, payload = dump_function(operator.add)
    table.define({function_id: payload})
    table.define({function_id: Payload(b"other")})
    assert table.get(function_id) is operator.add


def test_a_forgotten_function_is_unknown() -> None:
    table = FunctionTable()
    function_id, payload = dump_function(operator.add)
    table.define({function_id: payload})
    table.get(function_id)
    table.forget([function_id, b"never known"])
    assert len(table) == 0
    with pytest.raises(SerializationError, match="not defined here"):
        table.get(function_id)


def test_a_function_that_cannot_be_unpickled_says_so_each_time() -> None:
    table = FunctionTable()
    table.define({b"id": Payload(b"garbage")})
    for _ in range(2):
        with pytest.raises(SerializationError, match="cannot unpickle the function"):
            table.get(b"id")
