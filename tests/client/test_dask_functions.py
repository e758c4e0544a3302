"""Functions of dask's that look for a client find the current one, and are dask's own again afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dask.array.core
import dask.base
import dask.dataframe.io.hdf
import dask.utils
import pytest

from nbcluster.client.dask_functions import DaskFunctions

MODULES = (dask.utils, dask.array.core, dask.dataframe.io.hdf)


@pytest.fixture
def functions() -> Iterator[DaskFunctions]:
    functions = DaskFunctions(lambda: None)
    functions.enter()
    yield functions
    functions.leave()


def in_place() -> list[Any]:
    mixin = dask.base.DaskMethodsMixin
    return [*(module.get_scheduler_lock for module in MODULES), dask.base.wait, vars(mixin)["__await__"]]


def test_they_are_replaced_and_put_back() -> None:
    before = in_place()
    functions = DaskFunctions(lambda: None)
    functions.enter()
    assert [ours.__wrapped__ for ours in in_place()] == before
    functions.leave()
    assert in_place() == before


def test_what_a_module_took_over_while_they_were_replaced_is_put_back_too(monkeypatch: pytest.MonkeyPatch) -> None:
    before = dask.utils.get_scheduler_lock
    functions = DaskFunctions(lambda: None)
    functions.enter()
    late = type(dask.utils)("late")
    late.get_scheduler_lock = dask.utils.get_scheduler_lock
    functions._found_lock(late)
    functions.leave()
    assert late.get_scheduler_lock is before


def test_what_somebody_else_put_there_since_then_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask.base, "wait", dask.base.wait)
    functions = DaskFunctions(lambda: None)
    functions.enter()
    dask.base.wait = print
    functions.leave()
    assert dask.base.wait is print


def test_without_a_client_they_do_what_they_did(functions: DaskFunctions) -> None:
    assert isinstance(dask.utils.get_scheduler_lock(), dask.utils.SerializableLock)
    value = dask.delayed(1)
    assert dask.base.wait(value) is value
