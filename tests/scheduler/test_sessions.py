"""What the scheduler hears on its links before it knows with whom it speaks, and what the end of a link means."""

from __future__ import annotations

import asyncio
import logging
import tempfile

import pytest

from nbcluster.comm.admission import HandshakePolicy
from nbcluster.comm.transports import connect
from nbcluster.commands import Subscribe, View
from nbcluster.protocol import messages as m
from nbcluster.protocol.framing import Decoder
from nbcluster.protocol.handshake import ConnectorHandshake
from nbcluster.protocol.payload import Payload
from nbcluster.protocol.records import Message
from nbcluster.scheduler import sessions as module
from nbcluster.types import Role, RunId
from tests.support.eventually import soon
from tests.support.fake_cluster import make_view
from tests.support.links import TOKEN, RecordingProxy, Stranger, frames
from tests.support.scheduler_stage import DEADLINE, Party, Stage, done, staged, submission

# --- who speaks before it knows that it is believed ---


def opening(client: str) -> tuple[Message, ...]:
    return m.RegisterClient(client), m.Call(1, Subscribe(interval=0.5))


@staged
async def test_what_a_client_says_with_its_proof_is_answered_once_the_proof_holds(stage: Stage) -> None:
    with tempfile.TemporaryDirectory(prefix="nb-") as directory:
        address = await stage.server.listen(f"unix://{directory}/s.sock")
        async with Stranger(address) as stranger:
            connector = ConnectorHandshake(Role.CLIENT, TOKEN)
            await stranger.send(connector.begin())
            proof = connector.feed(await stranger.receive(connector.wanted))
            await stranger.send(proof + frames(*opening("Client-early")))
            assert connector.feed(await stranger.receive(1)) == b""
            decoder = Decoder(m.ToClient)
            heard: list[Message] = []
            while len(heard) < 2:
                heard += decoder.feed(await stranger.receive(1))
            welcome, first = heard
            assert isinstance(welcome, m.Welcome)
            assert first == m.Answered(1, View(cluster=make_view()))
            assert list(stage.server.core.state.clients) == ["Client-early"]
            assert len(stage.ports.pushes) == 1
        await soon(lambda: stage.ports.unsubscribed == 1)


@staged
async def test_what_is_said_behind_a_wrong_proof_registers_nobody_and_subscribes_nothing(stage: Stage) -> None:
    with tempfile.TemporaryDirectory(prefix="nb-") as directory:
        policy = HandshakePolicy(penalty=0.05)
        address = await stage.server.listen(f"unix://{directory}/s.sock", policy=policy)
        async with Stranger(address) as stranger:
            connector = ConnectorHandshake(Role.CLIENT, TOKEN)
            await stranger.send(connector.begin())
            proof = bytearray(connector.feed(await stranger.receive(connector.wanted)))
            proof[-1] ^= 1
            await stranger.send(bytes(proof) + frames(*opening("Client-thief")))
            assert await stranger.receive(1000) in (b"\x03", b"")
        assert stage.ports.pushes == []
        assert not stage.server.core.state.clients


@staged
async def test_two_ways_there_and_back_connect_a_client(stage: Stage) -> None:
    await stage.server.listen("tcp://127.0.0.1:0")
    async with RecordingProxy(stage.server._listeners[-1].address) as proxy:
        link = await connect(
            proxy.address,
            role=Role.CLIENT,
            token=TOKEN,
            incoming=m.ToClient,
            timeout=DEADLINE,
            opening=opening("Client-far"),
        )
        stage.parties.append(party := Party(link))
        await party.hear(m.Answered)
        assert proxy.turns == ["connector", "listener", "connector", "listener"]
        await link.close()


# --- clients that leave ---


@staged
async def test_what_a_client_wanted_is_released_when_its_link_ends(stage: Stage) -> None:
    client, worker = await stage.client(), await stage.worker(0)
    client.say(submission("f-0"))
    await worker.hear(m.Compute)
    client.link.abort()
    assert await worker.hear(m.FreeKeys) == m.FreeKeys(["f-0"])
    assert stage.server.client_count == 0
    assert stage.server.core.state.tasks == {}


@staged
async def test_a_worker_is_not_woken_to_forget_a_result_but_told_ahead_of_what_comes_next(stage: Stage) -> None:
    client, worker = await stage.client(), await stage.worker(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "PATIENCE", DEADLINE)
        for number in range(1, 4):
            key = f"f-{number}"
            client.say(submission(key))
            [run] = (await worker.hear(m.Compute, number)).tasks
            worker.say(m.TasksDone([m.TaskDone(key, run.run_id, 1, "int", 0, 0.0, 0.0, Payload(b"1"))]))
            await client.hear(m.KeysDone, number)
            client.say(m.ReleaseKeys([key] if number > 1 else []))  # the first keeps the function known
            await soon(lambda: len(stage.server.core.state.tasks) == 1)
    said = [type(message) for message in worker.messages if type(message) in (m.FreeKeys, m.Compute)]
    assert said == [m.Compute, m.Compute, m.FreeKeys, m.Compute]


@staged
async def test_it_is_told_soon_all_the_same(stage: Stage) -> None:
    client, worker = await stage.client(), await stage.worker(0)
    client.say(submission("f-1"))
    [run] = (await worker.hear(m.Compute)).tasks
    worker.say(m.TasksDone([m.TaskDone("f-1", run.run_id, 1, "int", 0, 0.0, 0.0, Payload(b"1"))]))
    await client.hear(m.KeysDone)
    client.say(m.ReleaseKeys(["f-1"]))
    assert await worker.hear(m.FreeKeys) == m.FreeKeys(["f-1"])


# --- workers that leave ---


@staged
async def test_a_worker_that_nobody_supervises_is_gone_with_its_link(stage: Stage) -> None:
    client, worker = await stage.client(), await stage.worker(0)
    client.say(submission("f-0"))
    await worker.hear(m.Compute)
    worker.link.abort()
    await soon(lambda: not stage.server.worker_views)
    other = await stage.worker(1)
    [task] = (await other.hear(m.Compute)).tasks
    assert task.key == "f-0"


@staged
async def test_a_supervised_one_is_gone_when_the_supervisor_has_said_how(stage: Stage) -> None:
    stage.ports.under_supervision = True
    client, worker = await stage.client(), await stage.worker(0, pid=11)
    client.say(submission("f-0"))
    [task] = (await worker.hear(m.Compute)).tasks
    worker.link.abort()
    await worker.end()
    for _ in range(5):
        await asyncio.sleep(0)
    assert len(stage.server.worker_views) == 1
    stage.server.worker_exited(0, 11, "was killed by SIGSEGV", frozenset([task.run_id]), "log")
    assert stage.server.worker_views == []
    assert stage.server.core.state.tasks["f-0"].suspicious == 1


@staged
async def test_its_last_reports_are_read_before_it_is_gone(stage: Stage) -> None:
    stage.ports.under_supervision = True
    client, worker = await stage.client(), await stage.worker(0, pid=11)
    client.say(submission("f-0"))
    [task] = (await worker.hear(m.Compute)).tasks
    stage.server.worker_exited(0, 11, "ended with code 0")
    worker.say(done(task))
    await worker.link.close()
    await client.hear(m.KeysDone)
    await soon(lambda: not stage.server.worker_views)
    assert stage.server.core.state.tasks["f-0"].suspicious == 0


def test_nobody_waits_for_ever_for_the_supervisors_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EXIT_GRACE", 0.01)

    @staged
    async def test(stage: Stage) -> None:
        stage.ports.under_supervision = True
        worker = await stage.worker(0)
        worker.link.abort()
        await soon(lambda: not stage.server.worker_views)
        stage.server.worker_exited(0, 1, "was killed by SIGKILL")

    test()


@staged
async def test_the_exit_of_a_former_process_is_not_taken_for_that_of_its_successor(stage: Stage) -> None:
    stage.ports.under_supervision = True
    first = await stage.worker(0, pid=11)
    await stage.worker(0, pid=12)
    await first.end()
    nothing: frozenset[RunId] = frozenset()
    stage.server.worker_exited(0, 11, "was killed by SIGKILL", nothing)
    assert [view.pid for view in stage.server.worker_views] == [12]


@staged
async def test_a_worker_of_the_same_name_replaces_the_former_one(stage: Stage) -> None:
    client = await stage.client()
    first = await stage.worker(0, pid=11)
    client.say(submission("f-0"))
    await first.hear(m.Compute)
    second = await stage.worker(0, pid=12)
    assert [task.key for task in (await second.hear(m.Compute)).tasks] == ["f-0"]
    await first.end()


def test_one_that_does_not_say_who_it_is_is_shown_the_door(caplog: pytest.LogCaptureFixture) -> None:
    @staged
    async def test(stage: Stage) -> None:
        worker = await stage.party(Role.WORKER)
        worker.say(m.TasksDone([]))
        await worker.end()
        assert stage.server.worker_views == []

    with caplog.at_level(logging.ERROR):
        test()
    assert "did not register" in caplog.text


@staged
async def test_who_waits_for_workers_is_woken_when_one_comes_or_goes(stage: Stage) -> None:
    waiting = asyncio.ensure_future(stage.server.wait_changed())
    worker = await stage.worker(0)
    await waiting
    waiting = asyncio.ensure_future(stage.server.wait_changed())
    await asyncio.sleep(0)
    worker.link.abort()
    await waiting


@staged
async def test_a_worker_that_may_go_is_announced(stage: Stage) -> None:
    await stage.worker(0)
    stage.server.retire([0])
    assert stage.ports.gone == [0]
