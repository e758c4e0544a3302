"""``get_task_metadata``: how the tasks ended that were submitted in a block."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.contracts.gates import Gate, at_gate, fail_with, inc


def test_it_tells_how_the_tasks_of_a_block_ended(api: Any, client: Any) -> None:
    with api.get_task_metadata() as tasks:
        good, bad = client.submit(inc, 1, pure=False), client.submit(fail_with, "boom", pure=False)
        api.wait([good, bad])
    assert tasks.state == {good.key: "memory", bad.key: "erred"}
    assert set(tasks.metadata) == {good.key, bad.key}


def test_tasks_that_were_submitted_before_or_are_not_done_do_not_count(
    api: Any, client: Any, gate: Gate, tmp_path: Path
) -> None:
    before = client.submit(at_gate, gate, 1, pure=False)
    gate.wait_for_visitors()
    with api.get_task_metadata() as tasks:
        gate.open()
        before.result()
    assert tasks.state == {}
    shut = Gate(tmp_path / "another gate")
    with api.get_task_metadata() as tasks:
        waiting = client.submit(at_gate, shut, 2, pure=False)
    assert tasks.state == {}
    shut.open()
    waiting.result()


def test_blocks_may_be_nested(api: Any, client: Any) -> None:
    with api.get_task_metadata() as outer:
        first = client.submit(inc, 1, pure=False)
        first.result()
        with api.get_task_metadata() as inner:
            second = client.submit(inc, 2, pure=False)
            second.result()
    assert set(outer.state) == {first.key, second.key}
    assert set(inner.state) == {second.key}


def test_on_an_event_loop_it_is_used_with_async_with(api: Any, keywords: Callable[..., dict[str, Any]]) -> None:
    async def main() -> None:
        async with api.Client(asynchronous=True, **keywords(n_workers=1)) as client:
            async with api.get_task_metadata() as tasks:
                future = client.submit(inc, 1)
                await future
            assert tasks.state == {future.key: "memory"}
            assert future.key in tasks.metadata

    asyncio.run(main())


@pytest.mark.differs("metadata of tasks")
def test_the_metadata_is_that_of_the_latest_run(api: Any, client: Any) -> None:
    with api.get_task_metadata() as tasks:
        assert repr(tasks) == "<get_task_metadata: not ended yet>"
        future = client.submit(inc, 1, pure=False)
        bad = client.submit(fail_with, "boom", pure=False)
        after = client.submit(inc, bad)
        api.wait([future, after])
    run = tasks.metadata[future.key]
    assert run["worker"] in client.scheduler_info()["workers"]
    assert (run["status"], tasks.metadata[bad.key]["status"]) == ("OK", "error")
    assert run["nbytes"] > 0
    assert tasks.state[after.key] == "erred"
    assert tasks.metadata[after.key] == {}, "it did not run"
    assert repr(tasks) == "<get_task_metadata: 3 tasks>"
