"""The scheduler's shell with real links: what arrives where, and what the end of a link means."""

from __future__ import annotations

import asyncio
import logging
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import pytest

from nbcluster.comm.admission import HandshakePolicy
from nbcluster.comm.base import Connection
from nbcluster.comm.transports import connect
from nbcluster.commands import AnyAnswer, AnyCommand, GetView, Scale, Subscribe, View
from nbcluster.protocol import messages as m
from nbcluster.protocol.framing import Decoder
from nbcluster.protocol.handshake import ConnectorHandshake
from nbcluster.protocol.operating import ClusterOperation
from nbcluster.protocol.payload import Payload
from nbcluster.protocol.records import Message
from nbcluster.scheduler import sessions as module
from nbcluster.scheduler.invariants import check
from nbcluster.scheduler.server import SchedulerServer
from nbcluster.snapshot import ClusterView
from nbcluster.types import Role, RunId, WorkerName
from tests.support.eventually import soon
from tests.support.fake_cluster import make_view
from tests.support.links import TOKEN, Recorder, RecordingProxy, Stranger, errors_of_loop, frames

M = TypeVar("M")
DEADLINE = 20.0


class FakePorts:
    """The cluster around the scheduler: does nothing, and remembers what it was told."""

    def __init__(self) -> None:
        self.commands: list[AnyCommand] = []
        self.pushes: list[Callable[[AnyAnswer], None]] = []
        self.unsubscribed = 0
        self.under_supervision = False
        self.own: list[WorkerName] = []
        self.there: list[WorkerName] = []
        self.gone: list[WorkerName] = []

    async def call(self, command: AnyCommand) -> AnyAnswer:
        self.commands.append(command)
        if isinstance(command, Scale):
            raise ValueError("n=-1 is out of range") if command.n < 0 else LookupError("a fault of our own")
        return View(cluster=make_view())

    async def operate(self, operation: ClusterOperation) -> dict[str, str]:
        raise ValueError(f"nothing is done here: {operation}")

    def view(self) -> ClusterView:
        return make_view()

    def subscribe(self, push: Callable[[AnyAnswer], None], interval: float) -> Callable[[], None]:
        self.pushes.append(push)

        def unsubscribe() -> None:
            self.unsubscribed += 1

        return unsubscribe

    def supervised(self, name: WorkerName) -> bool:
        return self.under_supervision

    def owns(self, name: WorkerName) -> bool:
        return name in self.own

    def joined(self, name: WorkerName) -> None:
        self.there.append(name)

    def retired(self, name: WorkerName) -> None:
        self.gone.append(name)


class Party(Recorder):
    """One end of a link to the scheduler."""

    def __init__(self, link: Connection) -> None:
        super().__init__()
        self.link = link
        link.start(self)

    def say(self, *messages: Message) -> None:
        self.link.send(*messages)

    def heard(self, kind: type[M]) -> list[M]:
        return [message for message in self.messages if isinstance(message, kind)]

    async def hear(self, kind: type[M], count: int = 1) -> M:
        """Wait for the ``count``-th message of a kind."""
        await soon(lambda: len(self.heard(kind)) >= count, f"{count} {kind.__name__}, heard {self.messages}")
        return self.heard(kind)[count - 1]


class Stage:
    """A scheduler that listens, and parties that have connected."""

    def __init__(self) -> None:
        self.ports = FakePorts()
        self.server = SchedulerServer(m.Welcome("c1", "ada", "", ""), TOKEN, self.ports)
        self.address = ""
        self.parties: list[Party] = []

    async def party(self, role: Role) -> Party:
        link = await connect(self.address, role=role, token=TOKEN, incoming=m.ToClient | m.ToWorker, timeout=DEADLINE)
        self.parties.append(Party(link))
        return self.parties[-1]

    async def client(self, name: str = "") -> Party:
        party = await self.party(Role.CLIENT)
        party.say(m.RegisterClient(name or f"Client-{len(self.parties)}"))
        await party.hear(m.Welcome)
        return party

    async def worker(self, name: WorkerName, pid: int = 1, nthreads: int = 1) -> Party:
        party = await self.party(Role.WORKER)
        party.say(m.RegisterWorker(name, f"fake://{name}-{pid}", nthreads, pid))
        await soon(lambda: name in self.server.core.state.workers and self.ports.there[-1:] == [name])
        return party


@asynccontextmanager
async def stage() -> AsyncIterator[Stage]:
    made = Stage()
    made.address = await made.server.listen("inproc://")
    try:
        yield made
        check(made.server.core)
    finally:
        await made.server.close("the test is over")
        for party in made.parties:
            party.link.abort()


def staged(test: Callable[[Stage], Awaitable[None]]) -> Callable[[], None]:
    def wrapper() -> None:
        async def main() -> None:
            escaped = errors_of_loop()
            async with stage() as made:
                await test(made)
            assert escaped == []

        asyncio.run(asyncio.wait_for(main(), DEADLINE))

    wrapper.__name__ = test.__name__
    return wrapper


def submission(*keys: str) -> m.SubmitTasks:
    return m.SubmitTasks(b"f", Payload(b"f"), list(keys), [b"arguments"] * len(keys))


def done(task: m.ComputeTask) -> m.TasksDone:
    return m.TasksDone([m.TaskDone(task.key, task.run_id, 1, "int", 0, 1.0, 2.0, Payload(b"x"))])


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
