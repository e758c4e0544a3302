"""Dask's default scheduler follows the default client, and goes back to what it was."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import dask
import pytest
from dask.base import get_scheduler

from nbcluster.client import dask_default, defaults


class FakeClient:
    """As much of a client as dask looks at."""

    def __init__(self, asynchronous: bool = False) -> None:
        self.status = "running"
        self.asynchronous = asynchronous

    def get(self, dsk: Any, keys: Any, **options: Any) -> Any:
        return self


def fake(asynchronous: bool = False) -> Any:
    return FakeClient(asynchronous)


@pytest.fixture(autouse=True)
def no_defaults(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No client is the default, and dask's configuration is as it was afterwards."""
    monkeypatch.setattr(defaults, "_stack", [])
    dask_default.follow(False)
    with dask.config.set(scheduler=None):
        yield
        dask_default.follow(False)


def chosen() -> Any:
    """Whose ``get`` dask would use."""
    return getattr(get_scheduler(), "__self__", None)


def test_it_is_the_newest_default_client_and_none_when_the_last_is_closed() -> None:
    one, other = fake(), fake()
    assert chosen() is None
    for client in (one, other):
        defaults.push(client)
        assert chosen() is client
    defaults.remove(other)
    assert chosen() is one
    defaults.remove(one)
    assert dask.config.get("scheduler") is None


def test_in_a_with_block_it_is_that_blocks_client() -> None:
    one, other = fake(), fake()
    defaults.push(one)
    with defaults.as_current(other):
        assert chosen() is other
    assert chosen() is one


def test_a_scheduler_that_was_chosen_before_is_so_again_and_one_chosen_since_stays() -> None:
    client = fake()
    with dask.config.set(scheduler="sync"):
        defaults.push(client)
        assert chosen() is client
        defaults.remove(client)
        assert dask.config.get("scheduler") == "sync"
    defaults.push(client)
    with dask.config.set(scheduler="threads"):
        defaults.remove(client)
        assert dask.config.get("scheduler") == "threads"
    assert dask.config.get("dataframe.shuffle.method", None) is None


def test_dataframes_are_shuffled_by_tasks_unless_somebody_has_said_otherwise() -> None:
    client = fake()
    defaults.push(client)
    assert dask.config.get("dataframe.shuffle.method") == "tasks"
    defaults.remove(client)
    assert dask.config.get("dataframe.shuffle.method", None) is None
    with dask.config.set({"dataframe.shuffle.method": "disk"}):
        defaults.push(client)
        assert dask.config.get("dataframe.shuffle.method") == "disk"
        defaults.remove(client)


def test_an_asynchronous_client_is_none_for_dask() -> None:
    client = fake(asynchronous=True)
    defaults.push(client)
    with pytest.raises(RuntimeError, match="asynchronous"):
        get_scheduler()


def test_when_all_clients_were_forgotten_dask_computes_as_before() -> None:
    client = fake()
    defaults.push(client)
    del client
    assert dask.delayed(int)("5").compute() == 5
    assert dask.config.get("scheduler") is None


def test_a_block_chooses_its_client_though_there_is_no_default_one_and_another_scheduler_was_chosen() -> None:
    client = fake()
    with dask.config.set(scheduler="sync"):
        with defaults.as_current(client), dask_default.chosen():
            assert chosen() is client
            with dask.config.set(scheduler="threads"):
                assert chosen() is None
                with dask_default.chosen():
                    assert chosen() is client
                assert dask.config.get("scheduler") == "threads"
        assert dask.config.get("scheduler") == "sync"


def test_a_block_goes_on_when_the_last_default_client_goes_and_for_who_has_no_client() -> None:
    client, default = fake(), fake()
    defaults.push(default)
    with dask_default.chosen():
        with defaults.as_current(client):
            defaults.remove(default)
            assert chosen() is client
        assert dask.delayed(int)("5").compute() == 5, "as in another thread"
        with defaults.as_current(client):
            assert chosen() is client
    assert dask.config.get("scheduler") is None


def in_a_fresh_process(script: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


PRELUDE = """
import sys
from nbcluster.client import defaults

class FakeClient:
    status, asynchronous = "running", False
    def get(self, dsk, keys, **options):
        return ["computed elsewhere"]

client = FakeClient()
"""


def test_dask_may_be_imported_after_the_client_was_made() -> None:
    in_a_fresh_process(
        PRELUDE
        + """
defaults.push(client)
assert "dask" not in sys.modules
import dask
assert dask.delayed(int)("5").compute() == "computed elsewhere"
defaults.remove(client)
assert dask.delayed(int)("5").compute(scheduler=None) == 5
"""
    )


def test_dask_may_be_imported_within_a_block() -> None:
    in_a_fresh_process(
        PRELUDE
        + """
from nbcluster.client import dask_default
with defaults.as_current(client), dask_default.chosen():
    import dask
    assert dask.delayed(int)("5").compute() == "computed elsewhere"
assert dask.delayed(int)("5").compute() == 5
"""
    )


def test_a_client_that_is_gone_before_dask_is_imported_leaves_no_trace() -> None:
    in_a_fresh_process(
        PRELUDE
        + """
before = list(sys.meta_path)
defaults.push(client)
defaults.push(client)
defaults.remove(client)
assert sys.meta_path == before
import dask
assert dask.config.get("scheduler", None) is None
"""
    )


def test_a_forked_process_computes_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody reads the links of its parent there, so whoever waited for one would wait for ever."""
    defaults.push(fake())
    monkeypatch.setattr("nbcluster.client.dask_default.os.getpid", lambda: -1)
    assert chosen() is None
    assert dask.delayed(sum)([1, 2]).compute() == 3


def test_a_process_that_runs_tasks_computes_by_itself_outside_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    hook = dask_default._Hook()
    monkeypatch.setattr(dask_default, "_hook", hook)
    dask_default.serve_tasks()
    assert dask.config.get("scheduler") is hook._client
    assert dask.delayed(sum)([1, 2]).compute() == 3
    one = fake()
    monkeypatch.setattr(defaults, "_find_task_client", lambda: one)
    assert chosen() is one
    hook.leave()
    assert dask.config.get("scheduler") is hook._client, "it stays"
    hook.stays = False
    hook.leave()
