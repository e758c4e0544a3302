"""The scheduler's shell with real links: what arrives where, and what is answered."""

from __future__ import annotations

import asyncio
import logging

import pytest

from nbcluster.commands import GetView, Scale, Subscribe, View
from nbcluster.protocol import messages as m
from nbcluster.protocol.payload import Payload
from nbcluster.types import Role
from tests.support.eventually import soon
from tests.support.fake_cluster import make_view
from tests.support.links import errors_of_loop
from tests.support.scheduler_stage import DEADLINE, Stage, done, stage, staged, submission

# --- messages ---


@staged
async def test_a_client_is_welcomed_first(stage: Stage) -> None:
    client = await stage.party(Role.CLIENT)
    await client.count(1)
    assert client.messages == [m.Welcome("c1", "ada", "", "")]


@staged
async def test_a_client_is_known_by_the_name_that_it_gives(stage: Stage) -> None:
    client = await stage.client("Client-ada")
    await soon(lambda: list(stage.server.facade.clients) == ["Client-ada"])
    assert stage.server.client_count == 1
    client.link.abort()
    await soon(lambda: not stage.server.client_count)


@staged
async def test_a_client_that_does_not_say_who_it_is_or_says_it_is_another_is_cut_off(stage: Stage) -> None:
    honest, silent = await stage.client("Client-ada"), await stage.party(Role.CLIENT)
    await soon(lambda: stage.server.client_count)
    silent.say(submission("f-0"))
    await silent.end()
    liar = await stage.party(Role.CLIENT)
    liar.say(m.RegisterClient("Client-ada"))
    await liar.end()
    assert list(stage.server.facade.clients) == ["Client-ada"]
    assert not stage.server.core.state.tasks
    honest.say(submission("f-1"))
    await soon(lambda: stage.server.core.state.tasks)


@staged
async def test_a_task_goes_from_client_to_worker_and_its_result_back(stage: Stage) -> None:
    client, worker = await stage.client(), await stage.worker(0)
    client.say(submission("f-0"))
    [task] = (await worker.hear(m.Compute)).tasks
    assert isinstance(worker.messages[0], m.DefineFunctions)
    worker.say(done(task))
    [item] = (await client.hear(m.KeysDone)).items
    assert (item.key, item.payload) == ("f-0", Payload(b"x"))
    assert stage.server.task_counts.memory == 1
    assert [record.key for record in stage.server.task_stream(0, 10)] == ["f-0"]
    assert [prefix.name for prefix in stage.server.prefix_views] == ["f"]


@staged
async def test_what_a_task_prints_goes_to_its_client(stage: Stage) -> None:
    client, worker = await stage.client(), await stage.worker(0)
    other = await stage.client()
    client.say(submission("f-0"))
    await worker.hear(m.Compute)
    worker.say(m.TaskOutput("f-0", "stdout", "hello\n"))
    assert await client.hear(m.TaskOutput) == m.TaskOutput("f-0", "stdout", "hello\n")
    assert other.heard(m.TaskOutput) == []


@staged
async def test_changes_are_counted(stage: Stage) -> None:
    before = stage.server.changes
    await stage.client()
    assert stage.server.changes > before


# --- calls ---


@staged
async def test_a_call_is_answered(stage: Stage) -> None:
    for role in (Role.CLIENT, Role.CONTROL):
        party = await (stage.client() if role == Role.CLIENT else stage.party(role))
        party.say(m.Call(7, GetView()))
        answer = await party.hear(m.Answered)
        assert (answer.id, answer.answer) == (7, View(cluster=make_view()))
    assert stage.ports.commands == [GetView(), GetView()]


@staged
async def test_a_call_that_is_refused_says_why(stage: Stage) -> None:
    manager = await stage.party(Role.CONTROL)
    manager.say(m.Call(1, Scale(n=-1)))
    assert await manager.hear(m.CallFailed) == m.CallFailed(1, "ValueError", "n=-1 is out of range")


def test_a_call_that_fails_of_our_own_fault_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    @staged
    async def test(stage: Stage) -> None:
        manager = await stage.party(Role.CONTROL)
        manager.say(m.Call(1, Scale(n=1)))
        assert (await manager.hear(m.CallFailed)).kind == "LookupError"

    with caplog.at_level(logging.ERROR):
        test()
    assert "a fault of our own" in caplog.text


@staged
async def test_a_manager_is_no_client(stage: Stage) -> None:
    manager = await stage.party(Role.CONTROL)
    await manager.hear(m.Welcome)
    assert stage.server.client_count == 0


@staged
async def test_views_are_pushed_to_who_subscribed(stage: Stage) -> None:
    manager = await stage.party(Role.CONTROL)
    manager.say(m.Call(1, Subscribe(interval=0.5)))
    await manager.hear(m.Answered)
    [push] = stage.ports.pushes
    push(View(cluster=make_view(requested=5)))
    assert (await manager.hear(m.Pushed)).answer == View(cluster=make_view(requested=5))


@staged
async def test_a_new_subscription_replaces_the_former_and_the_end_of_the_link_ends_it(stage: Stage) -> None:
    manager = await stage.party(Role.CONTROL)
    for number in (1, 2):
        manager.say(m.Call(number, Subscribe(interval=0.5)))
        await manager.hear(m.Answered, number)
    assert stage.ports.unsubscribed == 1
    manager.link.abort()
    await soon(lambda: stage.ports.unsubscribed == 2)


@staged
async def test_who_subscribes_and_leaves_at_once_is_not_kept(stage: Stage) -> None:
    manager = await stage.party(Role.CONTROL)
    await manager.hear(m.Welcome)
    manager.say(m.Call(1, Subscribe(interval=0.5)))
    await manager.link.close()
    await soon(lambda: len(stage.ports.pushes) == stage.ports.unsubscribed == 1)


@staged
async def test_an_impossible_subscription_is_refused_and_subscribes_nothing(stage: Stage) -> None:
    manager = await stage.party(Role.CONTROL)
    manager.say(m.Call(1, Subscribe(interval=-1.0)))
    refusal = await manager.hear(m.CallFailed)
    assert (refusal.id, refusal.kind) == (1, "ValueError")
    assert "interval=-1.0" in refusal.message
    assert stage.ports.pushes == []


# --- the end ---


def test_everybody_is_told_why_the_scheduler_closes() -> None:
    async def main() -> None:
        escaped = errors_of_loop()
        async with stage() as made:
            client, worker, manager = await made.client(), await made.worker(0), await made.party(Role.CONTROL)
            await manager.hear(m.Welcome)
            await made.server.close("it is late")
            for party in (client, worker, manager):
                assert await party.hear(m.Stopping) == m.Stopping("it is late")
                assert await party.end() is None
            await made.server.close("again")
        assert escaped == []

    asyncio.run(asyncio.wait_for(main(), DEADLINE))


@staged
async def test_a_restart_cancels_every_future(stage: Stage) -> None:
    client = await stage.client()
    client.say(submission("f-0"))
    await soon(lambda: "f-0" in stage.server.core.state.tasks)
    stage.server.forget_all("cluster-restarted", "It was restarted.")
    assert await client.hear(m.KeysCancelled) == m.KeysCancelled(["f-0"], "cluster-restarted", "It was restarted.")
