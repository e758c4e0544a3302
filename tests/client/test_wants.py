"""What a client wants: its keys' states, and what is said about them, in which order."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from nbcluster.client.states import CANCELLED, FINISHED, PENDING
from nbcluster.protocol import messages as m
from nbcluster.protocol.payload import Frame, Payload
from tests.support.client_stage import RESULT, Stage, let_go_in, say_at_once, staged, submitted
from tests.support.eventually import soon


@staged
async def test_messages_leave_together_and_in_order(stage: Stage) -> None:
    stage.wants.post(m.WantKeys(["a"]))
    [state] = stage.want("b")
    stage.wants.post(m.WantKeys(["c"]))
    assert stage.link.sent == []
    assert await stage.sent(3) == [m.WantKeys(["a"]), m.WantKeys(["b"]), m.WantKeys(["c"])]
    assert state.status == PENDING


@staged
async def test_what_comes_after_a_bar_waits_until_it_is_lifted(stage: Stage) -> None:
    stage.wants.post(m.WantKeys(["a"]))
    lift = stage.wants.bar()
    stage.wants.post(m.WantKeys(["b"]))
    second = stage.wants.bar()
    stage.wants.post(m.WantKeys(["c"]))
    await stage.sent(1)
    stage.wants.flush()
    second()
    await asyncio.sleep(0)
    assert stage.link.sent == [m.WantKeys(["a"])]
    lift()
    assert await stage.sent(3) == [m.WantKeys(["a"]), m.WantKeys(["b"]), m.WantKeys(["c"])]


@staged
async def test_who_has_just_heard_of_a_result_submits_the_next_task_and_no_more_without_waking_the_loop(
    stage: Stage,
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        at_once = say_at_once(stage, patch)
        kept = stage.want("a")
        await stage.sent(1)
        stage.wants.alone = True
        kept += stage.wants.add(["b"], None, submitted("b"))
        kept += stage.wants.add(["c"], None, submitted("c"))
        assert at_once == [submitted("b")]
        assert (await stage.sent(2))[1:] == [submitted("c")]


@staged
async def test_who_has_more_to_say_submits_what_there_is_without_waking_the_loop(stage: Stage) -> None:
    with pytest.MonkeyPatch.context() as patch:
        at_once = say_at_once(stage, patch)
        kept = stage.want("a")
        await stage.sent(1)
        kept += stage.wants.add(["b"], None, submitted("b", 60_000), more=True)
        kept += stage.wants.add(["c"], None, submitted("c"), more=True)
        assert at_once == [submitted("b", 60_000), submitted("c")]
        assert not stage.wants._wake_pending
        kept += stage.wants.add(["d"], None, submitted("d"))
        assert (await stage.sent(2))[1:] == [submitted("d")]


@pytest.mark.parametrize("how", ["alone", "more"])
def test_no_thread_overtakes_what_was_said_before(how: str) -> None:
    @staged
    async def test(stage: Stage) -> None:
        with pytest.MonkeyPatch.context() as patch:
            at_once = say_at_once(stage, patch)
            kept = stage.want("a")
            await stage.sent(1)
            stage.wants.post(m.WantKeys(["other"]))
            stage.wants.alone = how == "alone"
            kept += stage.wants.add(["b"], None, submitted("b"), more=how == "more")
            assert (await stage.sent(3))[1:] == [m.WantKeys(["other"]), submitted("b")]
            stage.wants._flushing = True  # taken out of the queue, and not sent yet
            stage.wants.alone = how == "alone"
            kept += stage.wants.add(["c"], None, submitted("c"), more=how == "more")
            assert (await stage.sent(4))[3:] == [submitted("c")]
            assert at_once == []

    test()


@staged
async def test_no_thread_submits_what_it_would_be_long_busy_with(stage: Stage) -> None:
    with pytest.MonkeyPatch.context() as patch:
        at_once = say_at_once(stage, patch)
        kept = stage.want("a")
        await stage.sent(1)
        framed = submitted("b", frames={0: [Frame(b"y")]})
        large_function = m.SubmitTasks(b"f", Payload(b"f" * 100_000), ["b"], [b"x"])
        framed_function = m.SubmitTasks(b"f", Payload(b"f", (Frame(b"y" * 100_000),)), ["b"], [b"x"])
        large = (submitted("b", 100_000), framed, large_function, framed_function)
        for message, more in ((submitted("b", 5000), False), *[(message, True) for message in large]):
            stage.wants.alone = True
            kept += stage.wants.add(["b"], None, message, more=more)
            await stage.sent(len(stage.link.sent) + 1)
        assert at_once == []


@staged
async def test_the_loop_is_woken_all_the_same_if_nobody_would_look_for_the_dead(stage: Stage) -> None:
    with pytest.MonkeyPatch.context() as patch:
        at_once = say_at_once(stage, patch)
        for how in ("alone", "more"):
            stage.wants.alone = how == "alone"
            states = stage.wants.add([how], None, submitted(how), more=how == "more")
            assert at_once.pop() == submitted(how)
            del states
            await soon(lambda: stage.link.sent, "it is let go of")
            assert stage.link.sent.pop() == m.ReleaseKeys([how])
            await soon(lambda: stage.wants._look_again is None, "there is nothing to look for")


@staged
async def test_the_loop_hears_of_a_great_many_new_ones_for_as_many_may_have_died(stage: Stage) -> None:
    with pytest.MonkeyPatch.context() as patch:
        say_at_once(stage, patch)
        kept = stage.want("a")
        await stage.sent(1)
        assert stage.wants._look_again is not None
        stage.wants._look_again.cancel()  # it does not look by itself
        for start in range(0, 3000, 100):
            keys = [f"key-{number}" for number in range(start, start + 100)]
            del kept[1:]
            kept += stage.wants.add(keys, None, m.SubmitTasks(b"f", RESULT, keys, [b"x"] * 100), more=True)
            await asyncio.sleep(0)
        assert let_go_in(stage.link.sent) >= 1900


@staged
async def test_the_loop_is_woken_if_threads_were_to_read_the_answers_and_the_caller_has_more_to_say(
    stage: Stage,
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        at_once = say_at_once(stage, patch)
        patch.setattr(type(stage.link), "lent", True)
        kept = stage.want("a")
        await stage.sent(1)
        stage.wants.alone = True
        kept += stage.wants.add(["b"], None, submitted("b"))
        woken = [stage.wants._wake_pending]
        kept += stage.wants.add(["c"], None, submitted("c"), more=True)
        woken.append(stage.wants._wake_pending)
        assert woken == [False, True], "not by the first: who has said that waits for the answer itself"
        assert at_once == [submitted("b"), submitted("c")]


@staged
async def test_what_a_loop_submits_leaves_as_if_it_had_been_mapped(stage: Stage) -> None:
    single = [m.SubmitTasks(b"f", RESULT, [key], [key.encode()]) for key in "abcd"]
    for message in single[:3]:
        stage.wants.post(message)
    stage.wants.post(m.WantKeys(["x"]))
    stage.wants.post(single[3])
    together = m.SubmitTasks(b"f", RESULT, ["a", "b", "c"], [b"a", b"b", b"c"])
    assert await stage.sent(3) == [together, m.WantKeys(["x"]), single[3]]


@staged
async def test_the_same_key_has_one_state_as_long_as_it_lives(stage: Stage) -> None:
    [first] = stage.want("a")
    [second, other] = stage.want("a", "b")
    assert first is second
    assert other.key == "b"


# --- cancelling ---


@staged
async def test_cancelling_counts_here_at_once_and_is_said(stage: Stage) -> None:
    [state] = stage.want("a")
    stage.wants.cancel(m.CancelKeys(["a", "unknown"], "enough", "by ada"))
    await soon(lambda: state.status == CANCELLED)
    assert (state.reason, state.msg) == ("enough", "by ada")
    assert (await stage.sent(2))[1] == m.CancelKeys(["a", "unknown"], "enough", "by ada")


@staged
async def test_a_new_wish_after_a_cancellation_is_a_new_state(stage: Stage) -> None:
    [old] = stage.want("a")
    stage.wants.cancel(m.CancelKeys(["a"], "enough", ""))
    [new] = stage.want("a")
    assert new is not old
    await soon(lambda: old.status == CANCELLED)
    stage.hear_done("a")
    assert (old.status, new.status) == (CANCELLED, FINISHED)
    assert [type(message) for message in stage.link.sent] == [m.WantKeys, m.CancelKeys, m.WantKeys]


@staged
async def test_the_death_of_a_cancelled_state_releases_nothing(stage: Stage) -> None:
    states = stage.want("a", "b")
    stage.wants.cancel(m.CancelKeys(["a"], "enough", ""))
    await soon(lambda: states[0].status == CANCELLED)
    [new] = stage.want("a")
    states.clear()
    await soon(lambda: stage.link.said(m.ReleaseKeys))
    assert stage.link.said(m.ReleaseKeys) == [m.ReleaseKeys(["b"])]
    assert new.status == PENDING


@staged
async def test_a_cells_pending_states_are_cancelled_together(stage: Stage) -> None:
    mine, done = stage.want("a", "b", cell="cell 1")
    [other] = stage.want("c", cell="cell 2")
    stage.hear_done("b")
    assert stage.wants.cancel_cell("cell 1", "interrupted", "") == 1
    await soon(lambda: mine.status == CANCELLED)
    assert (done.status, other.status) == (FINISHED, PENDING)


@staged
async def test_retrying_makes_erred_states_pending(stage: Stage) -> None:
    bad, good = stage.want("bad", "good")
    stage.link.hear(m.KeyErred("bad", m.Lost(""), "bad"))
    stage.hear_done("good")
    stage.wants.retry([bad, good])
    await soon(lambda: bad.status == PENDING)
    assert good.status == FINISHED
    await soon(lambda: stage.link.said(m.RetryKeys))


@staged
async def test_an_answer_of_a_former_meaning_is_not_the_new_ones(stage: Stage) -> None:
    states = stage.want("a")
    del states  # let go of…
    [state] = stage.want("a")  # …and wanted again, while an answer is on its way
    stage.link.hear(
        m.KeysDone([m.KeyDone("a", "int", 8, Payload(b"old"))]),
        m.KeyErred("a", m.Lost(""), "a"),
        m.KeysCancelled(["a"], "enough", ""),
    )
    assert state.status == PENDING
    stage.link.hear(m.KeysDone([m.KeyDone("a", "int", 8, Payload(b"new"))], let_go=1))
    assert state.payload == Payload(b"new")


@staged
async def test_an_answer_to_what_was_cancelled_is_not_the_new_ones(stage: Stage) -> None:
    kept = stage.want("a", "b")
    stage.wants.cancel(m.CancelKeys(["a"], "cancelled", ""))
    [state] = stage.want("a")
    stage.link.hear(m.KeysDone([m.KeyDone(key, "int", 8, Payload(b"old")) for key in "ab"]))
    assert [state.status, kept[1].status] == [PENDING, FINISHED]
    stage.link.hear(m.KeysDone([m.KeyDone("a", "int", 8, Payload(b"new"))], let_go=1))
    assert state.status == FINISHED


@staged
async def test_keys_are_counted_as_let_go_of_as_they_are_told(stage: Stage) -> None:
    """The scheduler counts what it is told: who wants a key after that must not be waiting for more."""
    for number in range(50):
        states = stage.want("a", "b")
        if number % 3 == 0:
            stage.wants.cancel(m.CancelKeys(["a", "c"], "cancelled", ""))
        del states
        if number % 5 == 0:
            await asyncio.sleep(0)
    [state] = stage.want("a")
    await soon(lambda: stage.wants.all_said)
    last = max(index for index, said in enumerate(stage.link.sent) if isinstance(said, m.WantKeys))
    assert state.since == let_go_in(stage.link.sent[:last])


@staged
async def test_of_messages_that_leave_together_one_that_cannot_be_sent_stays_alone(stage: Stage) -> None:
    refused: list[Any] = []
    send_now = stage.link.send_now

    def send(*messages: Any) -> None:
        if m.WantKeys(["b"]) in messages:
            raise UnicodeEncodeError("utf-8", "b", 0, 1, "surrogates not allowed")
        send_now(*messages)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage.link, "send_now", send)
        patch.setattr(stage.wants, "refused", lambda message, error: refused.append((message, str(error))))
        kept = stage.want("a") + stage.want("b") + stage.want("c")
        assert await stage.sent(2) == [m.WantKeys(["a"]), m.WantKeys(["c"])]
        assert [message for message, why in refused if "surrogates" in why] == [m.WantKeys(["b"])]
        assert [state.status for state in kept] == [PENDING] * 3
