"""When a client lets go of keys that nobody wants any more, and how many at a time."""

from __future__ import annotations

import asyncio
import threading

import pytest

from nbcluster.client.states import FINISHED, PENDING
from nbcluster.protocol import messages as m
from tests.support.client_stage import RESULT, Stage, say_at_once, staged
from tests.support.eventually import soon


@staged
async def test_a_state_that_dies_is_released(stage: Stage) -> None:
    states = stage.want("a", "b", "c")
    await stage.sent(1)
    del states
    [release] = (await stage.sent(2))[1:]
    assert sorted(release.keys) == ["a", "b", "c"]


@staged
async def test_a_great_many_are_let_go_of_a_few_at_a_time_so_that_whatever_is_said_meanwhile_need_not_wait(
    stage: Stage,
) -> None:
    states = stage.want(*(f"key-{number}" for number in range(13_000)))
    del states
    stage.wants.post(m.WantKeys(["urgent"]))
    await soon(lambda: sum(len(said.keys) for said in stage.link.said(m.ReleaseKeys)) == 13_000)
    assert max(len(said.keys) for said in stage.link.said(m.ReleaseKeys)) == 2000
    kinds = [type(said) for said in stage.link.sent]
    assert kinds.index(m.ReleaseKeys) == 2, "all that was said before had been sent"


def sizes_of_releases(stage: Stage) -> list[int]:
    return [len(said.keys) for said in stage.link.said(m.ReleaseKeys)]


@staged
async def test_while_something_else_goes_on_only_as_many_are_let_go_of_as_there_are_new_ones_and_a_few(
    stage: Stage,
) -> None:
    states = stage.want(*(f"old-{number}" for number in range(5000)))
    await stage.sent(1)
    del states
    kept = stage.want(*(f"new-{number}" for number in range(300)))
    await stage.sent(3)
    stage.hear_done(*(f"new-{number}" for number in range(300)))
    await soon(lambda: sum(sizes_of_releases(stage)) == 5000)
    sizes = sizes_of_releases(stage)
    before = sizes[: sizes.index(2000)]
    assert 2 <= len(before) <= 5
    # As many as are new leave in the turn after these; a look may come between.
    assert sorted(before, reverse=True) == [300, 200, 50, 50, 50][: len(before)]
    assert len(kept) == 300


@staged
async def test_a_scheduler_that_is_silent_while_a_result_is_awaited_may_be_busy_with_what_was_let_go_of(
    stage: Stage,
) -> None:
    states = stage.want(*(f"old-{number}" for number in range(5000)))
    await stage.sent(1)
    del states
    awaited = stage.want("new")
    await soon(lambda: sum(sizes_of_releases(stage)) == 5000)
    before = sizes_of_releases(stage)[:-3]
    assert len(before) > 20, "its task takes long: nothing else goes on after all"
    assert max(before[2:]) == 50
    assert len(awaited) == 1


@staged
async def test_what_is_submitted_leaves_before_a_great_many_are_let_go_of_and_with_a_few(stage: Stage) -> None:
    sent: list[list[type]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage.link, "send_now", lambda *messages: sent.append([type(message) for message in messages]))
        for count in (100, 1000):
            old = stage.want(*(f"old-{number}" for number in range(count)))
            stage.wants.flush()
            sent.clear()
            del old
            new = stage.want(*(f"new-{number}" for number in range(count)))
            stage.wants.flush()
            if count == 100:
                assert sent == [[m.WantKeys, m.ReleaseKeys]]
            else:
                assert sent == [[m.WantKeys]]
                await asyncio.sleep(0)  # one turn, in which links write what was said
                assert sent == [[m.WantKeys], [m.ReleaseKeys]]
            del new
            stage.wants.release_dead()
            stage.wants.flush()


@staged
async def test_those_that_die_one_by_one_are_let_go_of_together_at_the_next_look(stage: Stage) -> None:
    held = stage.want("first")
    stage.wants.flush()
    before = len(sizes_of_releases(stage))
    for number in range(10):
        held = stage.want(f"next-{number}")
        stage.wants.flush()
    assert len(sizes_of_releases(stage)) == before
    await soon(lambda: sizes_of_releases(stage)[before:] == [10])
    assert len(held) == 1


@staged
async def test_as_many_are_let_go_of_as_die_while_something_else_goes_on(stage: Stage) -> None:
    states = stage.want(*(f"old-{number}" for number in range(2000)))
    awaited = stage.want("new")
    await stage.sent(1)
    for _ in range(10):
        del states[:100]
        count = len(sizes_of_releases(stage))
        await soon(lambda count=count: len(sizes_of_releases(stage)) > count)  # type: ignore[misc]
    assert sizes_of_releases(stage)[:10] == [100] * 10
    assert (len(states), len(awaited)) == (1000, 1)


@pytest.mark.parametrize("at_once", [True, False], ids=["by a thread", "by the loop"])
def test_the_dead_are_never_more_than_the_new_however_long_that_goes_on(at_once: bool) -> None:
    @staged
    async def test(stage: Stage) -> None:
        with pytest.MonkeyPatch.context() as patch:
            if at_once:
                say_at_once(stage, patch)
            held = stage.want("first")
            await stage.sent(1)
            for number in range(100):
                keys = [f"{number}-{index}" for index in range(500)]
                new = stage.wants.add(keys, None, m.SubmitTasks(b"f", RESULT, keys, [b"x"] * 500), more=True)
                if number % 2:
                    stage.wants._look()  # before the loop gets to what there is to say
                held = new
                await asyncio.sleep(0)
            assert len(stage.wants._dead) <= 2000
            assert len(held) == 500

    test()


@staged
async def test_as_many_are_let_go_of_as_are_new_also_of_more_than_leave_at_a_time(stage: Stage) -> None:
    held = stage.want(*(f"old-{number}" for number in range(5000)))
    await stage.sent(1)
    del held
    held = stage.want(*(f"new-{number}" for number in range(4500)))
    stage.wants.flush()
    for _ in range(4):
        await asyncio.sleep(0)
    # A look may come between, and let a few more go.
    assert [size for size in sizes_of_releases(stage) if size not in (50, 200)] == [2000, 2000, 500]
    assert len(held) == 4500


@staged
async def test_a_release_never_undoes_a_newer_wish(stage: Stage) -> None:
    for number in range(100):
        states = stage.want("a")
        del states
        if number % 3 == 0:
            await asyncio.sleep(0)
    [state] = stage.want("a")
    await soon(lambda: len(stage.link.said(m.WantKeys)) == 101)
    assert stage.link.sent[-1] == m.WantKeys(["a"])
    assert state.status == PENDING


def test_no_release_overtakes_a_wish_whatever_thread_it_comes_from() -> None:
    """Other threads make and drop states of one key; whoever holds one is told of its result."""

    @staged
    async def test(stage: Stage) -> None:
        stop = threading.Event()

        def make_and_drop() -> None:
            while not stop.is_set():
                stage.want("a")

        threads = [threading.Thread(target=make_and_drop) for _ in range(2)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(200):
                await asyncio.sleep(0)
        finally:
            stop.set()
            for thread in threads:
                await asyncio.to_thread(thread.join)
        [state] = stage.want("a")
        count = len(stage.link.said(m.WantKeys))
        await soon(lambda: len(stage.link.said(m.WantKeys)) > count or stage.wants.all_said)
        assert stage.link.sent[-1] == m.WantKeys(["a"])
        stage.hear_done("a")
        assert state.status == FINISHED

    test()


@staged
async def test_releases_are_merged(stage: Stage) -> None:
    for key in "abc":
        stage.want(key)
    await soon(lambda: stage.link.said(m.ReleaseKeys))
    assert sum(len(message.keys) for message in stage.link.said(m.ReleaseKeys)) == 3
    assert len(stage.link.said(m.ReleaseKeys)) == 1
