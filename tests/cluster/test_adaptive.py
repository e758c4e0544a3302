from __future__ import annotations

import asyncio
from unittest.mock import ANY

import pytest

from nbcluster.cluster.adaptive import Adaptive
from nbcluster.cluster.scaling import Load
from nbcluster.commands import Adapt
from nbcluster.snapshot import AdaptiveView
from tests.support.eventually import soon


class FakeCluster:
    """As many workers as it was last told; so much to do."""

    capacity = 10

    def __init__(self) -> None:
        self.workers = 1
        self.waiting = 0
        self.failures = 0

    def load(self) -> Load:
        if self.failures:
            self.failures -= 1
            raise LookupError("not now")
        return Load(self.workers, 1, 5.0 * self.waiting, 0, self.waiting, 0, 0)

    def scale(self, n: int) -> None:
        self.workers = n


FAST = Adapt(minimum=1, interval=0.005, wait_count=2)


def test_it_follows_the_load_until_it_is_stopped() -> None:
    async def main() -> None:
        cluster = FakeCluster()
        adaptive = Adaptive(cluster)
        views = [adaptive.view]
        adaptive.start(FAST)
        cluster.waiting = 4
        await soon(lambda: cluster.workers == 4)
        views.append(adaptive.view)
        cluster.waiting = 0
        await soon(lambda: cluster.workers == 1)
        await adaptive.stop()
        await adaptive.stop()
        views.append(adaptive.view)
        assert views == [None, AdaptiveView(minimum=1, maximum=None, target=4, reason=ANY), None]
        cluster.waiting = 9
        await asyncio.sleep(0.03)
        assert cluster.workers == 1
        await adaptive.close()

    asyncio.run(main())


def test_new_options_replace_all_former_ones() -> None:
    async def main() -> None:
        cluster = FakeCluster()
        adaptive = Adaptive(cluster)
        adaptive.start(Adapt(minimum=3, maximum=3, interval=0.005))
        assert cluster.workers == 3
        adaptive.start(Adapt(minimum=5))
        assert cluster.workers == 5
        assert adaptive.view is not None
        assert adaptive.view.maximum is None
        await adaptive.close()

    asyncio.run(main())


def test_it_survives_a_look_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        cluster = FakeCluster()
        adaptive = Adaptive(cluster)
        adaptive.start(FAST)
        cluster.waiting, cluster.failures = 4, 2
        await soon(lambda: cluster.workers == 4)
        await adaptive.close()

    asyncio.run(main())
    assert "it will be tried again" in caplog.text
