"""How links come about: who is at their ends, who listens, who gets in, and what is set up on the way."""

from __future__ import annotations

import asyncio

import pytest

from nbcluster.comm.base import Connection
from nbcluster.errors import CommClosedError, CommError, HandshakeError
from nbcluster.protocol.messages import WantKeys
from nbcluster.types import Role
from tests.support.eventually import soon
from tests.support.links import (
    TRANSPORTS,
    Recorder,
    Wire,
    errors_of_loop,
    keys_of,
    on_each_wire,
    run,
    wire,
)

pytestmark = pytest.mark.usefixtures("no_linger")


@pytest.fixture(params=TRANSPORTS)
def transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)


# --- who it is -------------------------------------------------------------------------------------------------------


@on_each_wire
async def test_both_ends_know_role_and_addresses(wire: Wire) -> None:
    near, far = await wire.pair()
    assert near.role is far.role is Role.CLIENT
    assert near.peer_address == wire.listener.address
    assert far.local_address == wire.listener.address
    assert near.local_address == far.peer_address
    worker = await wire.connect(role=Role.WORKER)
    assert worker.role is (await wire.arrival()).role is Role.WORKER


@on_each_wire
async def test_a_listener_tells_where_it_listens(wire: Wire) -> None:
    assert wire.listener.address.startswith(f"{wire.kind}://")
    assert not wire.listener.address.endswith(":0")


@on_each_wire
async def test_many_links_do_not_mix(wire: Wire) -> None:
    links = await asyncio.gather(*(wire.connect() for _ in range(30)))
    recorders = []
    for number, link in enumerate(links):
        link.send(WantKeys([str(number)]))
    for _ in links:
        recorder = Recorder()
        (await wire.arrival()).start(recorder)
        recorders.append(recorder)
    got = [keys_of(await recorder.count(1)) for recorder in recorders]
    assert sorted(got) == sorted([str(number)] for number in range(30))


@on_each_wire
async def test_another_token_is_refused(wire: Wire) -> None:
    for token in (b"x" * 32, TOKEN_PREFIX, b""):
        with pytest.raises(HandshakeError):
            await wire.connect(token=token)
    assert not wire.accepted


TOKEN_PREFIX = bytes(range(100, 131))


@on_each_wire
async def test_a_role_that_the_listener_does_not_name_is_refused(wire: Wire) -> None:
    with pytest.raises(HandshakeError, match=r"does not talk to a control"):
        await wire.connect(role=Role.CONTROL)
    assert not wire.accepted


# --- connecting and listening ----------------------------------------------------------------------------------------


@on_each_wire
async def test_an_address_that_nobody_answers_is_named(wire: Wire) -> None:
    await wire.listener.close()
    with pytest.raises(CommError, match=r"nobody answered") as caught:
        await wire.connect(timeout=0.05)
    assert wire.listener.address in str(caught.value)
    assert not isinstance(caught.value, HandshakeError)


@on_each_wire
async def test_connecting_waits_for_a_listener_that_comes_late(wire: Wire) -> None:
    address = wire.listener.address
    await wire.listener.close()
    connecting = asyncio.ensure_future(wire.connect(address))
    await asyncio.sleep(0.05)
    assert not connecting.done()
    wire.listener = await wire.listen(address=address)
    link = await connecting
    assert link.peer_address == address


@on_each_wire
async def test_connecting_can_be_cancelled(wire: Wire) -> None:
    await wire.listener.close()
    for turns in range(40):  # whatever it is about at that moment
        connecting = asyncio.ensure_future(wire.connect())
        for _ in range(turns):
            await asyncio.sleep(0)
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting


@on_each_wire
async def test_connecting_can_be_cancelled_at_any_moment_of_the_handshake(wire: Wire) -> None:
    connected = 0
    for turns in range(100):
        connecting = asyncio.ensure_future(wire.connect())
        for _ in range(turns):
            await asyncio.sleep(0)
        if not connecting.cancel():
            connected = 1
            break
        with pytest.raises(asyncio.CancelledError):
            await connecting
    # What the listener has accepted all the same is lost to it, but for the last one.
    await soon(lambda: len(wire.accepted) >= connected)
    recorders = [Recorder() for _ in wire.accepted]
    for link, recorder in zip(wire.accepted, recorders, strict=True):
        link.start(recorder)
    await soon(lambda: sum(not recorder.ends for recorder in recorders) == connected)


@on_each_wire
async def test_an_address_that_is_taken_cannot_be_taken_again(wire: Wire) -> None:
    with pytest.raises(OSError, match=r"listen|in use"):
        await wire.listen(address=wire.listener.address)


@on_each_wire
async def test_links_outlive_their_listener(wire: Wire) -> None:
    near, _, _far, recorder = await wire.started()
    await wire.listener.close()
    await wire.listener.close()
    near.send(WantKeys(["a"]))
    await recorder.count(1)


@on_each_wire
async def test_an_asynchronous_set_up_is_awaited(wire: Wire) -> None:
    recorder = Recorder()

    async def set_up(link: Connection) -> None:
        await asyncio.sleep(0.01)
        link.start(recorder)

    listener = await wire.listen(set_up, address=wire.address("another"))
    near = await wire.connect(listener.address)
    near.send(WantKeys(["a"]))
    await recorder.count(1)
    await listener.close()
    assert not near.closed


@on_each_wire
async def test_a_set_up_under_way_ends_with_the_listener(wire: Wire) -> None:
    begun = asyncio.Event()
    cancelled = asyncio.Event()

    async def set_up(link: Connection) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    listener = await wire.listen(set_up, address=wire.address("another"))
    near = await wire.connect(listener.address)
    recorder = Recorder()
    near.start(recorder)
    await begun.wait()
    await listener.close()
    assert cancelled.is_set()
    assert isinstance(await recorder.end(), CommClosedError)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_set_up_that_fails_costs_its_link_only(transport: str, loop_kind: str, asynchronous: bool) -> None:
    def fail(link: Connection) -> None:
        raise ZeroDivisionError

    async def fail_later(link: Connection) -> None:
        await asyncio.sleep(0)
        raise ZeroDivisionError

    async def main() -> None:
        errors = errors_of_loop()
        async with wire(transport, on_connection=fail_later if asynchronous else fail) as made:
            for _ in range(2):
                near = await made.connect()
                recorder = Recorder()
                near.start(recorder)
                assert isinstance(await recorder.end(), CommClosedError)
        assert [type(error["exception"]) for error in errors] == [ZeroDivisionError] * 2

    run(loop_kind, main())
