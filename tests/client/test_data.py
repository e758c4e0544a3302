"""How results come to a client, and data from it to the workers."""

from __future__ import annotations

import asyncio
from queue import Queue
from typing import Any

import pytest

from nbcluster.client.client import Client
from nbcluster.client.future import Future
from nbcluster.errors import FutureCancelledError, TimeoutError
from nbcluster.protocol import messages as m
from nbcluster.protocol.serialize import load
from tests.support.staged_client import ClientStage, with_client


def three(client: Client) -> list[Future]:
    """Futures with the keys a, b and c."""
    return client.map(abs, [1, 2, 3], key=["a", "b", "c"])


# --- gather ---


@with_client
async def test_the_structure_stays_and_futures_become_results(stage: ClientStage, client: Client) -> None:
    a, b, c = three(client)
    for key, value in (("a", 1), ("b", 2), ("c", 3)):
        stage.done(key, value)
    assert await client.gather({"x": a, "y": [b, (c, {"z": a})], "plain": 5}) == {
        "x": 1,
        "y": [2, (3, {"z": 1})],
        "plain": 5,
    }


@with_client
async def test_each_of_an_iterator_is_gathered_when_it_is_asked_for(stage: ClientStage, client: Client) -> None:
    a, b, _ = three(client)
    results = client.gather(iter([a, b]))
    stage.done("a", 1)
    assert await next(results) == 1
    stage.done("b", 2)
    assert await next(results) == 2


@with_client
async def test_the_first_error_is_raised_while_others_are_pending(stage: ClientStage, client: Client) -> None:
    gathering = asyncio.ensure_future(client.gather(three(client)))
    await asyncio.sleep(0)
    stage.erred("b", ZeroDivisionError("by b"))
    with pytest.raises(ZeroDivisionError, match="by b"):
        await gathering


@with_client
async def test_what_erred_is_left_out_of_lists_and_is_none_elsewhere(stage: ClientStage, client: Client) -> None:
    a, b, _ = three(client)
    stage.done("a", 1)
    stage.erred("b", ValueError("bad"))
    assert await client.gather([a, b], errors="skip") == [1]
    assert await client.gather({"a": a, "b": b}, errors="skip") == {"a": 1, "b": None}


@with_client
async def test_what_was_cancelled_while_it_was_gathered_is_raised(stage: ClientStage, client: Client) -> None:
    gathering = asyncio.ensure_future(client.gather(three(client)))
    await asyncio.sleep(0)
    stage.hear(m.KeysCancelled(["c"], "enough", "Cancelled by somebody else."))
    with pytest.raises(FutureCancelledError, match="somebody else"):
        await gathering


@pytest.mark.parametrize("options", [{"errors": "ignore"}, {"direct": 1}, {"asynchronous": "yes"}])
def test_options_of_gather_that_are_wrong_are_named(options: dict[str, Any]) -> None:
    @with_client
    async def test(stage: ClientStage, client: Client) -> None:
        [(name, value)] = options.items()
        with pytest.raises((TypeError, ValueError), match=f"{name}={value!r}"):
            client.gather([], **options)

    test()


@with_client
async def test_queues_are_not_gathered(stage: ClientStage, client: Client) -> None:
    with pytest.raises(TypeError, match="does not take queues"):
        client.gather(Queue())


def test_futures_of_another_client_are_gathered_there() -> None:
    @with_client
    async def test(stage: ClientStage, client: Client) -> None:
        theirs = client.submit(abs, 1)

        @with_client
        async def inner(stage: ClientStage, other: Client) -> None:
            with pytest.raises(ValueError, match="belongs to another client"):
                other.gather([theirs])

        await asyncio.to_thread(inner)

    test()


# --- one result ---


@with_client
async def test_a_result_comes_with_its_error(stage: ClientStage, client: Client) -> None:
    a, b, _ = three(client)
    stage.done("a", [1, 2])
    stage.erred("b", KeyError("nothing"))
    assert await a.result() == [1, 2]
    with pytest.raises(KeyError, match="nothing"):
        await b.result()


# --- scatter ---


async def arrive(stage: ClientStage, scattering: Any) -> Any:
    """Have workers take all that is being scattered."""
    waiting = asyncio.ensure_future(scattering)
    [scatter] = await stage.said(m.Scatter)
    stage.hear(m.KeysDone([m.KeyDone(item.key, item.type_name, item.nbytes, None) for item in scatter.items]))
    return await waiting


@with_client
async def test_elements_of_a_list_are_scattered_one_by_one(stage: ClientStage, client: Client) -> None:
    futures = await arrive(stage, client.scatter([[1, 2], "three"], workers="ada", broadcast=True))
    [scatter] = stage.link.said(m.Scatter)
    assert [load(item.payload) for item in scatter.items] == [[1, 2], "three"]
    assert [item.key for item in scatter.items] == [future.key for future in futures]
    assert (scatter.workers, scatter.broadcast) == (["ada"], True)
    assert [future.status for future in futures] == ["finished", "finished"]


@pytest.mark.parametrize("kind", [list, tuple, set, frozenset])
def test_what_holds_many_comes_back_as_the_same_kind_of_futures(kind: Any) -> None:
    @with_client
    async def test(stage: ClientStage, client: Client) -> None:
        futures = await arrive(stage, client.scatter(kind([1, 2])))
        assert type(futures) is kind
        assert len(futures) == 2

    test()


@with_client
async def test_anything_else_is_one_piece(stage: ClientStage, client: Client) -> None:
    future = await arrive(stage, client.scatter("text"))
    assert isinstance(future, Future)
    assert future.key.startswith("str-")


@with_client
async def test_a_range_is_a_list_of_numbers(stage: ClientStage, client: Client) -> None:
    futures = await arrive(stage, client.scatter(range(3)))
    assert [future._state.type_name for future in futures] == ["int"] * 3


@with_client
async def test_a_dict_names_its_data_where_its_keys_are_text(stage: ClientStage, client: Client) -> None:
    futures = await arrive(stage, client.scatter({"x": 1, 5: 2}))
    assert futures["x"].key == "x"
    assert futures[5].key.startswith("int-")


@with_client
async def test_equal_data_is_named_alike_unless_it_is_not_to_be(stage: ClientStage, client: Client) -> None:
    scattering = [asyncio.ensure_future(client.scatter([[1], [1]], hash=by_content)) for by_content in (True, False)]
    by_content, by_chance = [[item.key for item in scatter.items] for scatter in await stage.said(m.Scatter, 2)]
    assert len(set(by_content)) == 1
    assert len(set(by_chance)) == 2
    for one in scattering:
        one.cancel()


@with_client
async def test_data_that_no_worker_takes_is_an_error_with_advice(stage: ClientStage, client: Client) -> None:
    with pytest.raises(TimeoutError, match=r"no worker took the scattered data within 0 s; are there workers\?"):
        await client.scatter([1], timeout=0)
    with pytest.raises(TimeoutError, match="no of workers='ada' took"):
        await client.scatter([1], workers="ada", timeout=0)


@pytest.mark.parametrize("data", [iter([1]), Queue()])
def test_what_can_be_read_only_once_is_not_scattered(data: Any) -> None:
    @with_client
    async def test(stage: ClientStage, client: Client) -> None:
        with pytest.raises(TypeError, match="does not take iterators or queues"):
            client.scatter(data)

    test()
