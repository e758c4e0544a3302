from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from nbcluster.comm.transports import connect
from nbcluster.commands import AnyAnswer, GetLogs, GetView, Logs, Scale, Subscribe, View
from nbcluster.dashboard.cluster_link import ClusterLink, OnPush
from nbcluster.errors import BlockedHandlerError, ClusterError, CommClosedError, TimeoutError
from nbcluster.protocol.messages import Answered, CallFailed, ToClient
from nbcluster.types import Role
from tests.support.eventually import soon
from tests.support.fake_cluster import TOKEN, FakeCluster, make_view


@asynccontextmanager
async def linked(cluster: FakeCluster, on_push: OnPush | None = None) -> AsyncIterator[ClusterLink]:
    connection = await connect(cluster.address, role=Role.CONTROL, token=TOKEN, incoming=ToClient, timeout=10)
    link = ClusterLink(connection, on_push)
    try:
        yield link
    finally:
        await link.close()


def test_a_call_is_answered() -> None:
    async def scenario() -> AnyAnswer:
        async with FakeCluster(make_view(3)) as cluster, linked(cluster) as link:
            return await link.call(GetView())

    assert asyncio.run(scenario()) == View(cluster=make_view(3))


def test_answers_find_their_calls() -> None:
    async def scenario() -> list[AnyAnswer]:
        async with FakeCluster() as cluster, linked(cluster) as link:
            calls = [asyncio.ensure_future(link.call(command)) for command in (GetView(), GetLogs(), GetView())]
            return list(await asyncio.gather(*calls))

    assert [type(answer) for answer in asyncio.run(scenario())] == [View, Logs, View]


def test_a_refusal_is_raised_as_what_the_cluster_named() -> None:
    async def scenario() -> None:
        async with FakeCluster() as cluster, linked(cluster) as link:
            await link.call(Scale(n=1))

    with pytest.raises(ValueError, match="does not know"):
        asyncio.run(scenario())


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("ValueError", ValueError),
        ("BlockedHandlerError", BlockedHandlerError),
        ("WorkerStartTimeoutError", ClusterError),
        ("SystemExit", ClusterError),
        ("annotations", ClusterError),
    ],
)
def test_only_errors_of_ours_are_raised(kind: str, expected: type[Exception]) -> None:
    async def scenario() -> None:
        async with FakeCluster() as cluster, linked(cluster) as link:
            call = asyncio.ensure_future(link.call(GetView()))
            await asyncio.sleep(0)
            link.received([CallFailed(1, kind, "why")])
            await call

    with pytest.raises(expected, match="why"):
        asyncio.run(scenario())


def test_pushed_views_are_handed_on() -> None:
    pushed: list[AnyAnswer] = []

    async def scenario() -> None:
        async with FakeCluster() as cluster, linked(cluster, pushed.append) as link:
            await link.call(Subscribe())
            cluster.show(make_view(5))
            await soon(lambda: pushed)

    asyncio.run(scenario())
    assert pushed == [View(cluster=make_view(5))]


def test_the_end_of_the_cluster_fails_what_waits() -> None:
    async def scenario() -> None:
        async with FakeCluster() as cluster, linked(cluster) as link:
            await link.call(GetView())
            waiting = asyncio.ensure_future(link.lost_event.wait())
            await cluster.drop_links()
            await asyncio.wait_for(waiting, 10)
            await link.call(GetView())

    with pytest.raises(CommClosedError):
        asyncio.run(scenario())


def test_a_cluster_that_does_not_answer_is_not_waited_for_for_ever() -> None:
    async def scenario() -> None:
        async with FakeCluster() as cluster, linked(cluster) as link:
            await link.call(GetView(), timeout=0)

    with pytest.raises(TimeoutError, match="GetView"):
        asyncio.run(scenario())


def test_a_call_that_is_given_up_when_its_answer_arrives_is_given_up() -> None:
    async def scenario() -> None:
        async with FakeCluster() as cluster, linked(cluster) as link:
            asking = asyncio.ensure_future(link.call(GetView()))
            answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            received = link.received

            def give_up(messages: list[Any]) -> None:
                received(messages)
                if any(isinstance(message, Answered) for message in messages):
                    asking.cancel()
                    answered.set_result(None)

            link.received = give_up  # type: ignore[method-assign]
            await answered
            with pytest.raises(asyncio.CancelledError):
                await asking

    asyncio.run(scenario())
