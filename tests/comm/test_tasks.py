from __future__ import annotations

import asyncio

import pytest

from nbcluster.comm.tasks import TaskOwner


def test_what_still_runs_is_cancelled_at_the_end() -> None:
    async def main() -> None:
        owner = TaskOwner("test")
        task = owner.start(asyncio.Event().wait(), "wait")
        await asyncio.sleep(0)
        await owner.close()
        assert task.cancelled()
        assert len(owner) == 0

    asyncio.run(main())


def test_a_failure_is_logged_with_its_owner(caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> None:
        raise LookupError("gone")

    async def main() -> None:
        owner = TaskOwner("test")
        await asyncio.wait([owner.start(fail(), "look")])
        await owner.close()

    asyncio.run(main())
    assert "test: look failed" in caplog.text
    assert "LookupError: gone" in caplog.text


def test_a_closed_owner_starts_nothing() -> None:
    async def main() -> None:
        owner = TaskOwner("test")
        await owner.close()
        with pytest.raises(RuntimeError, match="asked for: wait"):
            owner.start(asyncio.Event().wait(), "wait")

    asyncio.run(main())


def test_a_task_may_close_its_own_owner() -> None:
    async def main() -> None:
        owner = TaskOwner("test")

        async def shut_down() -> str:
            await owner.close()
            return "done"

        assert await owner.start(shut_down(), "shut down") == "done"

    asyncio.run(main())
