from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from nbcluster.comm.transports import connect
from nbcluster.commands import GetLogs, GetTaskStream, Subscribe
from nbcluster.dashboard import feed as feed_module
from nbcluster.dashboard.cluster_link import ClusterLink, OnPush
from nbcluster.dashboard.feed import Feed
from nbcluster.dashboard.source import Source
from nbcluster.protocol.messages import ToClient
from nbcluster.snapshot import LogLine, TaskCounts, TaskRecord
from nbcluster.types import Role
from tests.support.eventually import soon
from tests.support.fake_cluster import TOKEN, FakeCluster, make_view

RUN = TaskRecord(key="inc-1", prefix="inc", worker=0, thread=0, start=1.0, stop=2.0, status="finished")
Scenario = Callable[[FakeCluster, Feed], Awaitable[None]]


@asynccontextmanager
async def feeding(cluster: FakeCluster) -> AsyncIterator[Feed]:
    async def open_link(on_push: OnPush | None) -> ClusterLink:
        connection = await connect(cluster.address, role=Role.CONTROL, token=TOKEN, incoming=ToClient, timeout=10)
        return ClusterLink(connection, on_push)

    link = await open_link(None)
    feed = Feed(link, open_link, Source(), interval=0.05)
    try:
        yield feed
    finally:
        await feed.close()
        await link.close()


def play(scenario: Scenario) -> None:
    async def run() -> None:
        async with FakeCluster() as cluster, feeding(cluster) as feed:
            await scenario(cluster, feed)

    asyncio.run(run())


def nothing() -> None:
    pass


def test_nobody_looks_and_the_cluster_is_asked_nothing() -> None:
    async def scenario(cluster: FakeCluster, feed: Feed) -> None:
        await soon(lambda: cluster.links == 1)
        cluster.show(make_view(3))
        assert cluster.calls == []
        assert feed.source.view is None

    play(scenario)


def test_a_watcher_is_told_of_the_first_view_and_of_every_change() -> None:
    async def scenario(cluster: FakeCluster, feed: Feed) -> None:
        seen: list[int] = []

        def changed() -> None:
            assert feed.source.view is not None
            seen.append(len(feed.source.view.workers))

        feed.watch(changed)
        await soon(lambda: seen == [2])
        cluster.show(make_view(3))
        await soon(lambda: seen == [2, 3])

    play(scenario)


def test_runs_are_fetched_when_there_are_new_ones_and_only_those() -> None:
    async def scenario(cluster: FakeCluster, feed: Feed) -> None:
        cluster.add_records(RUN, RUN)
        feed.watch(nothing)
        await soon(lambda: feed.source.last_record == 2)
        cluster.add_records(RUN)
        cluster.show(make_view(2, tasks=TaskCounts(done=3)))
        await soon(lambda: feed.source.last_record == 3)
        cluster.show(make_view(3, tasks=TaskCounts(done=3)))
        await soon(lambda: feed.source.view is not None and len(feed.source.view.workers) == 3)
        asked = [call.after for call in cluster.calls if isinstance(call, GetTaskStream)]
        assert asked == [0, 2]

    play(scenario)


def test_several_watchers_share_one_subscription() -> None:
    async def scenario(cluster: FakeCluster, feed: Feed) -> None:
        told: set[str] = set()
        feed.watch(lambda: told.add("a"))
        feed.watch(lambda: told.add("b"))
        await soon(lambda: told == {"a", "b"})
        assert feed.watchers == 2
        assert cluster.subscriptions == 1

    play(scenario)


def test_after_the_last_watcher_the_subscription_ends() -> None:
    async def scenario(cluster: FakeCluster, feed: Feed) -> None:
        stop_first, stop_second = feed.watch(nothing), feed.watch(nothing)
        await soon(lambda: cluster.subscriptions == 1)
        stop_first()
        stop_first()
        assert feed.watchers == 1
        stop_second()
        await soon(lambda: cluster.links == 1)
        assert cluster.subscriptions == 0
        feed.watch(nothing)
        await soon(lambda: cluster.subscriptions == 1)

    play(scenario)


def test_a_subscription_that_breaks_is_made_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(feed_module, "PAUSE", 0.01)

    async def scenario(cluster: FakeCluster, feed: Feed) -> None:
        feed.watch(nothing)
        await soon(lambda: feed.source.view is not None)
        await cluster.drop_subscriptions()
        cluster.view = make_view(4)
        await soon(lambda: feed.source.view is not None and len(feed.source.view.workers) == 4)
        assert len([call for call in cluster.calls if isinstance(call, Subscribe)]) == 2

    with caplog.at_level(logging.WARNING):
        play(scenario)
    assert "The plots stand still" in caplog.text


def test_single_questions_need_no_watcher() -> None:
    async def scenario(cluster: FakeCluster, feed: Feed) -> None:
        cluster.lines = [LogLine(time=1.0, source="Scheduler", level="INFO", text="hello")]
        assert (await feed.view()) == cluster.view
        assert (await feed.logs(worker="w", level="INFO", limit=7)) == []
        assert cluster.calls[-1] == GetLogs(worker="w", level="INFO", limit=7)
        assert (await feed.logs()) == cluster.lines

    play(scenario)
