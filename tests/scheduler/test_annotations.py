from __future__ import annotations

import pickle

import pytest

from nbcluster.protocol.messages import TaskOptions
from nbcluster.scheduler.plugins import _annotations


def test_plugins_are_told_by_name_and_key() -> None:
    made_up = TaskOptions(priority=2, annotations=pickle.dumps({"team": "blue"}))
    assert _annotations({"x": made_up, "y": TaskOptions(retries=1), "z": TaskOptions()}) == {
        "priority": {"x": 2},
        "team": {"x": "blue"},
        "retries": {"y": 1},
    }


def test_what_cannot_be_unpickled_is_logged_and_left_out(caplog: pytest.LogCaptureFixture) -> None:
    assert _annotations({"x": TaskOptions(annotations=b"junk"), "y": TaskOptions(retries=1)}) == {"retries": {"y": 1}}
    assert "What was said of x" in caplog.text
