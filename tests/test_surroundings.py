"""What workers take over from the process that makes their cluster."""

from __future__ import annotations

import os
import subprocess
import sys

import dask
import pytest

from nbcluster import surroundings

VARIABLE = "DASK_INTERNAL_INHERIT_CONFIG"


def told() -> object:
    text = surroundings.environment().get(VARIABLE)
    return None if text is None else dask.config.deserialize(text)


def test_variables_are_as_they_are_here() -> None:
    assert surroundings.environment() == dict(os.environ)


def test_what_is_set_in_dasks_configuration_is_told_and_nothing_else_of_it() -> None:
    with dask.config.set({"mine.inner": [1, None], "array.chunk-size": "7 MiB"}):
        assert told() == {"mine": {"inner": [1, None]}, "array": {"chunk-size": "7 MiB"}}


def test_what_says_how_this_process_computes_is_not() -> None:
    with dask.config.set({"scheduler": "threads", "dataframe.shuffle.method": "tasks"}):
        assert told() is None


def test_objects_that_no_file_could_have_are_not() -> None:
    with dask.config.set({"mine": {"object": object(), "number": 1.5, "nested": [{"of": object()}]}}):
        assert told() == {"mine": {"number": 1.5}}


def test_what_this_process_was_told_itself_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, dask.config.serialize({"of": {"grandmother": 1}}))
    with dask.config.set({"of.grandmother": 1, "of.mother": 2}):
        assert told() == {"of": {"grandmother": 1, "mother": 2}}
    assert told() == {}


def test_dask_is_not_imported_for_that() -> None:
    code = (
        "import sys; from nbcluster import surroundings; surroundings.environment(); assert 'dask' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
