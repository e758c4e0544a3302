"""What becomes of submit, map, cancel and retry on the way to the scheduler."""

from __future__ import annotations

import asyncio
import operator
from collections.abc import Iterator
from queue import Queue
from typing import Any

import pytest

from nbcluster.client.client import Client
from nbcluster.errors import FutureCancelledError
from nbcluster.protocol import messages as m
from nbcluster.protocol.serialize import load_call
from tests.support.eventually import soon
from tests.support.staged_client import ClientStage, with_client


def add(x: int, y: int = 0) -> int:
    return x + y


# --- submit ---


@with_client
async def test_a_call_becomes_a_task_that_is_named_after_it(stage: ClientStage, client: Client) -> None:
    future = client.submit(add, 1, y=2)
    [submitted] = await stage.said(m.SubmitTasks)
    assert submitted.keys == [future.key]
    assert future.key.startswith("add-")
    assert load_call(submitted.arguments[0], [], {}) == ((1,), {"y": 2})


@with_client
async def test_the_same_call_gives_the_same_future(stage: ClientStage, client: Client) -> None:
    first, again, other = client.submit(add, 1), client.submit(add, 1), client.submit(add, 2)
    assert first.key == again.key != other.key


@with_client
async def test_what_is_not_pure_runs_each_time(stage: ClientStage, client: Client) -> None:
    futures = [client.submit(add, 1, pure=False) for _ in range(3)]
    assert len({future.key for future in futures}) == 3


@pytest.mark.parametrize("option", ["actor", "actors"])
def test_actors_are_never_shared_whatever_their_option_is_called(option: str) -> None:
    @with_client
    async def test(stage: ClientStage, client: Client) -> None:
        options: dict[str, Any] = {option: True}
        futures = [client.submit(Queue, **options) for _ in range(2)]
        assert len({future.key for future in futures}) == 2
        submitted = await stage.said(m.SubmitTasks)
        assert submitted[0].options.actor

    test()


@with_client
async def test_options_travel_with_the_task(stage: ClientStage, client: Client) -> None:
    future = client.submit(
        add, 1, key="mine", workers="ada", allow_other_workers=True, resources={"GPU": 1}, retries=2, priority=3
    )
    [submitted] = await stage.said(m.SubmitTasks)
    assert submitted.keys == [future.key] == ["mine"]
    assert submitted.options == m.TaskOptions(["ada"], True, {"GPU": 1.0}, 2, 3)


@with_client
async def test_futures_among_the_arguments_become_dependencies(stage: ClientStage, client: Client) -> None:
    one, two = client.submit(add, 1), client.submit(add, 2)
    three = client.submit(sum, [one, {"two": [two]}])
    submitted = {key: message for message in await stage.said(m.SubmitTasks, 2) for key in message.keys}
    dependencies = submitted[three.key].dependencies
    assert [set(keys) for keys in dependencies.values()] == [{one.key, two.key}]


@with_client
async def test_what_was_cancelled_cannot_be_an_argument(stage: ClientStage, client: Client) -> None:
    future = client.submit(add, 1)
    await client.cancel(future)
    with pytest.raises(FutureCancelledError):
        client.submit(add, future)


@with_client
async def test_a_generation_begins_with_a_submission_that_comes_late_enough(stage: ClientStage, client: Client) -> None:
    futures = [client.submit(operator.neg, 1, fifo_timeout=0)]
    futures.append(client.submit(operator.pos, 1, fifo_timeout="1 h"))
    submitted = await stage.said(m.SubmitTasks, 2)
    assert [message.line.new_generation for message in submitted] == [True, False]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"key": ""}, "key=''"),
        ({"retries": -1}, "retries=-1"),
        ({"pure": 1}, "pure=1"),
        ({"actor": "yes"}, "actor='yes'"),
        ({"actors": "yes"}, "actors='yes'"),
        ({"workers": []}, r"workers=\[\] names no worker"),
        ({"allow_other_workers": True}, "only makes sense with workers"),
        ({"fifo_timeout": "soon"}, "fifo_timeout='soon'"),
    ],
)
def test_an_option_that_is_wrong_is_named_and_nothing_is_sent(options: dict[str, Any], says: str) -> None:
    @with_client
    async def test(stage: ClientStage, client: Client) -> None:
        for attempt in (lambda: client.submit(add, 1, **options), lambda: client.map(add, [1], **options)):
            with pytest.raises((TypeError, ValueError), match=says):
                attempt()
        assert not stage.link.said(m.SubmitTasks)

    test()


@with_client
async def test_what_cannot_be_called_is_no_task(stage: ClientStage, client: Client) -> None:
    with pytest.raises(TypeError, match="5, which cannot be called"):
        client.submit(5)  # type: ignore[arg-type]


# --- map ---


@with_client
async def test_map_submits_many_calls_in_one_message_until_the_shortest_list_ends(
    stage: ClientStage, client: Client
) -> None:
    futures = client.map(add, [1, 2, 3], range(2))
    [submitted] = await stage.said(m.SubmitTasks)
    assert submitted.keys == [future.key for future in futures]
    assert [load_call(data, [], {})[0] for data in submitted.arguments] == [(1, 0), (2, 1)]


@with_client
async def test_the_batches_of_a_map_are_of_one_generation(stage: ClientStage, client: Client) -> None:
    futures = client.map(add, range(5), batch_size=2, fifo_timeout=0)
    await soon(lambda: sum(len(message.keys) for message in stage.link.said(m.SubmitTasks)) == 5)
    submitted = stage.link.said(m.SubmitTasks)
    assert [message.line.new_generation for message in submitted] == [True, *[False] * (len(submitted) - 1)]
    assert [key for message in submitted for key in message.keys] == [future.key for future in futures]


class Counted:
    """Numbers, and how many of them were read."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.read = 0

    def __iter__(self) -> Iterator[int]:
        for number in range(self.count):
            self.read = number + 1
            yield number


@with_client
async def test_the_first_messages_of_a_map_are_small_and_on_their_way_before_the_rest_is_pickled(
    stage: ClientStage, client: Client
) -> None:
    numbers = Counted(2500)
    said: list[tuple[int, int]] = []

    def send_at_once(message: Any, first: object, keep_gil: bool) -> bool:
        said.append((len(message.keys), numbers.read))
        assert keep_gil, "there is more to compute"
        return True

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage.link, "send_at_once", send_at_once)
        await asyncio.to_thread(client.map, add, numbers)
        assert said == [(128, 128), (256, 384), (512, 896), (1000, 1896)]
        [rest] = await stage.said(m.SubmitTasks)
        assert len(rest.keys) == 604


@with_client
async def test_they_are_as_small_where_only_the_loop_sends(stage: ClientStage, client: Client) -> None:
    await asyncio.to_thread(client.map, add, range(2500))
    await soon(lambda: sum(len(message.keys) for message in stage.link.said(m.SubmitTasks)) == 2500)
    assert [len(message.keys) for message in stage.link.said(m.SubmitTasks)] == [128, 256, 512, 1000, 604]


@with_client
async def test_messages_of_few_tasks_do_not_leave_one_by_one(stage: ClientStage, client: Client) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage.link, "send_at_once", lambda *_: pytest.fail("it can wait for more"))
        client.map(add, range(100), batch_size=1)
    [submitted] = await stage.said(m.SubmitTasks)
    assert len(submitted.keys) == 100


@with_client
async def test_keys_of_a_map_are_given_one_by_one_or_begin_alike(stage: ClientStage, client: Client) -> None:
    assert [future.key for future in client.map(add, [1, 2], key=["a", "b"])] == ["a", "b"]
    assert all(future.key.startswith("sums-") for future in client.map(add, [1, 2], key="sums"))
    with pytest.raises(ValueError, match="fewer keys than elements"):
        client.map(add, [1, 2], key=["a"])


@pytest.mark.parametrize("one", [iter([1]), Queue(), 5])
def test_what_can_be_read_only_once_or_has_no_elements_is_not_mapped(one: Any) -> None:
    @with_client
    async def test(stage: ClientStage, client: Client) -> None:
        with pytest.raises(TypeError, match=r"map\(\)"):
            client.map(add, one)

    test()


@with_client
async def test_a_future_of_a_list_is_not_mapped_for_nobody_knows_its_length(stage: ClientStage, client: Client) -> None:
    with pytest.raises(TypeError, match="may become one"):
        client.map(add, client.submit(list))
    with pytest.raises(TypeError, match="at least one iterable"):
        client.map(add)


@with_client
async def test_an_empty_map_sends_nothing(stage: ClientStage, client: Client) -> None:
    assert client.map(add, []) == []
    assert not stage.link.said(m.SubmitTasks)


# --- cancel, retry ---


@with_client
async def test_cancelled_futures_say_so_at_once_and_why(stage: ClientStage, client: Client) -> None:
    one, two = client.submit(add, 1), client.submit(add, 2)
    await client.cancel({"a": one, "b": [two]}, reason="bored", msg="It took too long.", force=True)
    [cancel] = await stage.said(m.CancelKeys)
    assert sorted(cancel.keys) == sorted([one.key, two.key])
    assert (cancel.reason, cancel.msg, cancel.force) == ("bored", "It took too long.", True)
    with pytest.raises(FutureCancelledError, match="It took too long"):
        await one


@with_client
async def test_only_what_has_erred_is_retried_and_it_is_pending_at_once(stage: ClientStage, client: Client) -> None:
    good, bad, pending = client.map(add, [1, 2, 3])
    stage.done(good.key, 1)
    stage.erred(bad.key, ValueError("bad"))
    assert (good.status, bad.status, pending.status) == ("finished", "error", "pending")
    await client.retry([good, bad, pending])
    [retry] = await stage.said(m.RetryKeys)
    assert retry.keys == [bad.key]
    assert (good.status, bad.status) == ("finished", "pending")
