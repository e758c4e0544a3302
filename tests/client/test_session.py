"""A client's link to its scheduler, without a scheduler: what is asked, and what is made of what is said."""

from __future__ import annotations

import asyncio
import contextvars
import io
import sys

import pytest

from nbcluster.client.greeting import Greeting
from nbcluster.client.session import Session
from nbcluster.client.states import CANCELLED, ERROR, FINISHED, PENDING
from nbcluster.commands import GetView, Subscribe, View
from nbcluster.errors import ClosedClientError
from nbcluster.protocol import messages as m
from tests.support.client_stage import DEADLINE, RESULT, FakePeers, Stage, staged
from tests.support.fake_cluster import make_view
from tests.support.fake_connection import FakeConnection

# --- what comes in ---


@staged
async def test_results_and_errors_reach_their_states(stage: Stage) -> None:
    good, bad = stage.want("good", "bad")
    stage.hear_done("good")
    stage.link.hear(m.KeyErred("bad", m.Lost(""), "culprit"))
    assert (good.status, good.type_name, good.payload) == (FINISHED, "int", RESULT)
    assert (bad.status, bad.blamed) == (ERROR, "culprit")


@staged
async def test_what_nobody_holds_any_more_is_dropped(stage: Stage) -> None:
    stage.hear_done("gone")
    stage.link.hear(
        m.KeyErred("gone", m.Lost(""), "gone"), m.KeysPending(["gone"]), m.KeysCancelled(["gone"], "enough", "")
    )


@staged
async def test_a_lost_result_is_pending_again(stage: Stage) -> None:
    [state] = stage.want("a")
    stage.hear_done("a")
    stage.link.hear(m.KeysPending(["a"]))
    assert state.status == PENDING
    stage.hear_done("a")
    assert state.status == FINISHED


@staged
async def test_others_may_cancel(stage: Stage) -> None:
    [state] = stage.want("a")
    stage.link.hear(m.KeysCancelled(["a"], "cluster-restarted", "The cluster was restarted."))
    assert (state.status, state.reason) == (CANCELLED, "cluster-restarted")
    stage.hear_done("a")
    assert state.status == CANCELLED


# --- commands ---


@staged
async def test_a_command_is_answered(stage: Stage) -> None:
    calling = asyncio.ensure_future(stage.session.call(GetView()))
    await stage.sent(1)
    [call] = stage.link.said(m.Call)
    stage.link.hear(m.Answered(call.id, View(cluster=make_view())))
    assert await calling == View(cluster=make_view())


@staged
async def test_a_command_that_is_refused_is_raised(stage: Stage) -> None:
    calling = asyncio.ensure_future(stage.session.call(GetView()))
    await stage.sent(1)
    stage.link.hear(m.CallFailed(stage.link.said(m.Call)[0].id, "ValueError", "n=-1 is out of range"))
    with pytest.raises(ValueError, match="n=-1 is out of range"):
        await calling


@staged
async def test_views_are_kept_fresh(stage: Stage) -> None:
    stage.link.hear(m.Pushed(View(cluster=make_view(requested=2))))
    assert stage.session.view == make_view(requested=2)


# --- output of tasks ---

_where: contextvars.ContextVar[str] = contextvars.ContextVar("where", default="nowhere")


class _Notebook(io.StringIO):
    """Shows output where the context says, as a kernel's stdout does."""

    def write(self, text: str) -> int:
        return super().write(f"{_where.get()}: {text}")


def test_what_a_task_prints_appears_where_it_was_submitted(monkeypatch: pytest.MonkeyPatch) -> None:
    out, err = _Notebook(), _Notebook()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)

    @staged
    async def test(stage: Stage) -> None:
        token = _where.set("cell 1")
        context = contextvars.copy_context()  # futures hold it, and there is none here
        states = stage.wants.add(["a"], context, None)
        _where.reset(token)
        stage.link.hear(m.TaskOutput("a", "stdout", "hello"), m.TaskOutput("a", "stderr", "oh"))
        assert states[0].status == PENDING

    test()
    assert (out.getvalue(), err.getvalue()) == ("cell 1: hello", "cell 1: oh")


def test_what_a_forgotten_task_prints_appears_all_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    @staged
    async def test(stage: Stage) -> None:
        stage.link.hear(m.TaskOutput("forgotten", "stdout", "hello\n"))

    test()
    assert capsys.readouterr().out == "hello\n"


def test_a_stdout_that_nobody_reads_does_not_cost_the_link(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError("nobody reads this")

    @staged
    async def test(stage: Stage) -> None:
        with monkeypatch.context() as patched:
            patched.setattr(sys, "stdout", Broken())
            [state] = stage.want("a")
            stage.link.hear(m.TaskOutput("a", "stdout", "hello\n"))
            stage.hear_done("a")
            assert state.status == FINISHED

    test()


# --- the end ---


@staged
async def test_a_lost_link_cancels_what_is_pending_and_says_why(stage: Stage) -> None:
    waiting, done, large = stage.want("waiting", "done", "large")
    stage.hear_done("done")
    stage.hear_done("large", payload=None)
    calling = asyncio.ensure_future(stage.session.call(GetView()))
    await stage.sent(2)
    stage.link.lose(ConnectionResetError("reset by peer"))
    assert (waiting.status, done.status, large.status) == (CANCELLED, FINISHED, CANCELLED)
    assert "fake://scheduler was lost (reset by peer)" in waiting.msg
    with pytest.raises(ClosedClientError, match="reset by peer"):
        await calling
    for attempt in (
        lambda: stage.want("a"),
        lambda: stage.wants.post(m.WantKeys(["a"])),
        lambda: stage.wants.cancel(m.CancelKeys(["waiting"], "enough", "")),
        lambda: stage.wants.retry([done]),
    ):
        with pytest.raises(ClosedClientError, match="reset by peer"):
            attempt()


@staged
async def test_a_cluster_that_closes_says_so(stage: Stage) -> None:
    [state] = stage.want("a")
    stage.link.hear(m.Stopping("somebody closed it"))
    stage.link.lose()
    assert state.msg == "The cluster was closed: somebody closed it."


@staged
async def test_closing_sends_what_was_queued_first(stage: Stage) -> None:
    [state] = stage.want("a")
    await stage.session.close("the client was closed")
    assert stage.link.sent == [m.WantKeys(["a"])]
    assert stage.link.closed
    assert state.reason == "scheduler-connection-lost"
    assert state.msg == "The client was closed."


@staged
async def test_waiting_ends_with_the_link(stage: Stage) -> None:
    states = stage.want("a")
    waiting = asyncio.ensure_future(stage.session.wait(states))
    await asyncio.sleep(0)
    stage.link.lose()
    await waiting


def test_a_greeting_says_who_it_is_and_asks_for_views() -> None:
    async def main() -> None:
        registration, call = Greeting("Client-ada", 0.5).messages
        assert registration == m.RegisterClient("Client-ada")
        assert call.command == Subscribe(interval=0.5)

    asyncio.run(main())


def test_a_session_has_started_when_its_greeting_is_answered() -> None:
    async def main() -> None:
        link, greeting = FakeConnection(), Greeting("Client-ada", 0.5)
        session = Session(link, FakePeers(), greeting)
        starting = asyncio.ensure_future(session.start(DEADLINE))
        await asyncio.sleep(0)
        welcome = m.Welcome("c1", "ada", "tcp://x:1", "http://x")
        link.hear(welcome)
        link.hear(m.Answered(greeting.messages[1].id, View(cluster=make_view(requested=1))))
        assert await starting == welcome
        assert session.view == make_view(requested=1)
        assert link.sent == []  # it was said on the way to the link
        await session.close("done")

    asyncio.run(main())


def test_a_scheduler_that_says_nothing_is_not_waited_for_for_ever() -> None:
    async def main() -> None:
        session = Session(FakeConnection(), FakePeers(), Greeting("Client-ada", 0.5))
        with pytest.raises(asyncio.TimeoutError):
            await session.start(0.01)
        await session.close("done")

    asyncio.run(main())


# --- what is known there ---


@staged
async def test_what_was_submitted_is_known_once_the_scheduler_has_answered_what_came_after_it(stage: Stage) -> None:
    [_] = stage.want("x")
    known = asyncio.ensure_future(stage.session.make_known())
    want, locate = await stage.sent(2)
    assert want == m.WantKeys(["x"])
    assert not known.done()
    stage.link.hear(m.Located(locate.request, []))
    await known
    await stage.session.make_known()
    assert len(stage.link.sent) == 2, "it was known by then"
