from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from nbcluster.comm.tasks import TaskOwner
from nbcluster.protocol.serialize import SHARE_MIN
from nbcluster.worker import idle_sharing
from nbcluster.worker.idle_sharing import IdleSharing, is_buffer

LARGE = bytes(SHARE_MIN)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (LARGE, True),
        (bytearray(LARGE), True),
        (np.zeros(SHARE_MIN, "u1"), True),
        (np.zeros((1024, SHARE_MIN // 1024), "u1").T, True),
        (LARGE[1:], False),
        (np.zeros(2 * SHARE_MIN, "u1")[::2], False),
        (np.full(SHARE_MIN, None), False),
        ([LARGE], False),
        (None, False),
    ],
)
def test_what_is_one_large_buffer_is_worth_sharing(value: Any, expected: bool) -> None:
    assert is_buffer(value) is expected


def test_results_for_which_there_is_room_are_moved_once_the_worker_is_idle_in_the_order_in_which_they_came(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(idle_sharing, "PAUSE", 0.001)
    moved: list[str] = []
    looks: list[bool] = []

    async def main() -> None:
        done = asyncio.Event()

        async def move(key: str) -> None:
            moved.append(key)
            if len(moved) == 2:
                done.set()

        def idle() -> bool:
            looks.append(len(looks) >= 3)
            assert looks[-1] or not moved
            return looks[-1]

        owner = TaskOwner("test")
        sharing = IdleSharing(move, idle, lambda nbytes: nbytes < 2 * SHARE_MIN, owner)
        for key, value in (("a", LARGE), ("small", b""), ("too large", 2 * LARGE), ("b", LARGE)):
            sharing.note(key, value, len(value))
        await asyncio.wait_for(done.wait(), 20)
        await owner.close()

    asyncio.run(main())
    assert moved == ["a", "b"]
    assert looks[:4] == [False, False, False, True]
