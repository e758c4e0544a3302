from __future__ import annotations

import asyncio
import os
import socket
import sys
import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest

from nbcluster.comm.outlet import AT_ONCE, PIECE, Outlet
from tests.support.eventually import soon
from tests.support.fake_transport import FakeTransport
from tests.support.links import LOOPS, run


class Protocol(asyncio.Protocol):
    """Passes on what a connection would."""

    outlet: Outlet

    def connection_made(self, transport: Any) -> None:
        self.outlet = Outlet(transport)

    def pause_writing(self) -> None:
        self.outlet.pause()

    def resume_writing(self) -> None:
        self.outlet.resume()

    def connection_lost(self, exc: Exception | None) -> None:
        self.outlet.close()


def outlet_with(room: int) -> tuple[Outlet, FakeTransport]:
    transport = FakeTransport(room)
    transport.protocol = protocol = Protocol()
    protocol.connection_made(transport)
    return protocol.outlet, transport


def test_a_transport_that_copies_gets_a_piece_at_a_time() -> None:
    outlet, transport = outlet_with(room=2 * PIECE)
    data = os.urandom(10 * PIECE + 7)
    outlet.write([data[:10], data[10:]])
    assert all(len(piece) <= PIECE for piece in transport.written)
    assert transport.pending <= 3 * PIECE
    assert outlet.pending_bytes == len(data)
    assert not outlet.drained.is_set()
    got = b""
    while outlet.pending_bytes:
        got += transport.take()
    assert got == data
    assert outlet.drained.is_set()


def test_small_buffers_leave_as_one() -> None:
    outlet, transport = outlet_with(room=PIECE)
    outlet.write([b"ab", b"", b"cd"])
    assert transport.written == [b"abcd"]


def test_order_is_kept_across_pauses() -> None:
    outlet, transport = outlet_with(room=PIECE)
    parts = [os.urandom(size) for size in (PIECE, 5, PIECE + 1, 3, 4 * PIECE, 1)]
    got = b""
    for part in parts:
        outlet.write([part])
        if len(part) == 3:
            got += transport.take()
    while outlet.pending_bytes:
        got += transport.take()
    assert got == b"".join(parts)


def test_nothing_is_written_to_a_closing_transport() -> None:
    outlet, transport = outlet_with(room=PIECE)
    transport.close()
    outlet.write([b"x"])
    assert not transport.written


@pytest.mark.parametrize("loop_kind", LOOPS)
def test_uvloop_gets_everything_at_once_and_holds_it_uncopied(loop_kind: str) -> None:
    accepted: list[Any] = []

    class Silent(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            accepted.append(transport)
            asyncio.get_running_loop().call_soon(transport.pause_reading)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Silent, "127.0.0.1", 0)
        transport, protocol = await loop.create_connection(Protocol, *server.sockets[0].getsockname())
        outlet = protocol.outlet
        outlet.write([b"head", bytes(100 * PIECE)])
        await soon(lambda: accepted)
        pending = outlet.pending_bytes, transport.get_write_buffer_size()
        for each in (transport, *accepted):
            each.abort()
        server.close()
        assert pending[0] > 10 * PIECE
        assert (pending[0] == pending[1]) is (loop_kind == "uvloop")

    run(loop_kind, main())


async def linked() -> tuple[Outlet, asyncio.Transport, socket.socket]:
    """An outlet that other threads may use, its transport, and the socket at the other end."""
    here, there = socket.socketpair()
    transport, protocol = await asyncio.get_running_loop().create_connection(Protocol, sock=here)
    assert protocol.outlet.allow_threads()
    there.settimeout(10)
    return protocol.outlet, transport, there


async def end(outlet: Outlet, transport: asyncio.Transport, there: socket.socket) -> None:
    transport.close()
    await soon(lambda: outlet._own is None)
    there.close()


def read(there: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        data += there.recv(count - len(data))
    return data


either_way = pytest.mark.parametrize("keep_gil", [False, True], ids=["and lets others compute", "and computes on"])


@either_way
@pytest.mark.parametrize("loop", LOOPS)
def test_another_thread_writes_without_the_loop(loop: str, keep_gil: bool) -> None:
    async def main() -> None:
        outlet, transport, there = await linked()
        calls: list[int] = []

        def write() -> None:
            calls.append(outlet.write_at_once(bytearray(b"abc"), lambda: calls.append(7), keep_gil))

        thread = threading.Thread(target=write)
        thread.start()
        assert read(there, 3) == b"abc"  # while the loop is held up right here
        thread.join()
        assert calls == [7, True]
        await end(outlet, transport, there)
        assert not outlet._at_once.data, "what was sent is kept no longer"

    run(loop, main())


@either_way
@pytest.mark.parametrize("loop", LOOPS)
def test_what_a_thread_cannot_write_comes_before_all_that_the_loop_writes_later(loop: str, keep_gil: bool) -> None:
    async def main() -> None:
        outlet, transport, there = await linked()
        sent = b""
        number = 0
        while outlet.write_at_once(piece := number.to_bytes(4, "little") * 50_000, lambda: None, keep_gil):
            sent += piece
            number += 1
        assert 0 < outlet.pending_bytes < 200_000  # the socket is full, and has taken a part
        outlet.write([b"later"])
        assert not outlet.write_at_once(b"never", lambda: pytest.fail("it is not written"))
        received = asyncio.get_running_loop().run_in_executor(None, read, there, len(sent) + 5)
        as_sent = await received == sent + b"later"  # pytest would look for long at how they differ
        assert as_sent
        await soon(lambda: not outlet.pending_bytes)
        assert outlet.write_at_once(b"again", lambda: None, keep_gil)
        assert read(there, 5) == b"again"
        await end(outlet, transport, there)

    run(loop, main())


class Interrupted:
    """A socket, and an interrupt that comes before it sends."""

    def __init__(self, real: socket.socket) -> None:
        self.close = real.close

    def send(self, data: bytes, flags: int) -> int:
        raise KeyboardInterrupt


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("wakes", [True, False], ids=["and the loop is woken", "and the loop is not woken any more"])
@pytest.mark.parametrize("partly", [False, True], ids=["before anything is sent", "when a part of it is sent"])
def test_what_a_thread_begins_to_write_leaves_once_and_as_a_whole_even_if_it_is_interrupted(
    loop: str, wakes: bool, partly: bool
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    async def main() -> None:
        outlet, transport, there = await linked()
        own, data = outlet._own, os.urandom(AT_ONCE)
        assert own is not None
        own.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, AT_ONCE // 8)
        with pytest.MonkeyPatch.context() as patch:
            if not partly:
                patch.setattr(outlet, "_own", Interrupted(own))
            if not wakes:
                patch.setattr(outlet, "_loop", SimpleNamespace(call_soon_threadsafe=interrupted))
            if partly and wakes:
                outlet.write_at_once(data, lambda: None)
            else:
                with pytest.raises(KeyboardInterrupt):
                    outlet.write_at_once(data, lambda: None)
        assert outlet.pending_bytes
        assert (outlet.pending_bytes < len(data)) is partly
        assert not outlet.write_at_once(b"never", lambda: pytest.fail("it is not written"))
        received = asyncio.get_running_loop().run_in_executor(None, read, there, len(data) + 5)
        await asyncio.sleep(0)
        outlet.write([b"later"])
        as_sent = await received == data + b"later"
        assert as_sent
        await end(outlet, transport, there)

    run(loop, main())


@either_way
@pytest.mark.parametrize("loop", LOOPS)
def test_what_a_thread_writes_to_a_link_that_has_broken_is_lost_with_it(loop: str, keep_gil: bool) -> None:
    async def main() -> None:
        outlet, _, there = await linked()
        there.close()
        assert outlet.write_at_once(b"abc", lambda: None, keep_gil)
        if not keep_gil:  # which does not hear why nothing was sent: the loop does
            assert outlet.pending_bytes == 0
        await soon(lambda: outlet._own is None)
        assert outlet.pending_bytes == 0

    run(loop, main())


def test_a_thread_does_not_write_what_is_large_or_to_what_is_closed_or_encrypted() -> None:
    async def main() -> None:
        outlet, transport, there = await linked()
        assert not outlet.write_at_once(bytes(AT_ONCE + 1), lambda: pytest.fail("it is not written"))
        transport.close()
        assert not outlet.write_at_once(b"abc", lambda: pytest.fail("it is not written"))
        await end(outlet, transport, there)
        assert not outlet.write_at_once(b"abc", lambda: pytest.fail("it is not written"))

    run("asyncio", main())
    outlet, fake = outlet_with(room=PIECE)
    fake.get_extra_info = lambda name, default=None: object()  # type: ignore[method-assign]
    assert not outlet.allow_threads()
    assert not outlet.write_at_once(b"abc", lambda: pytest.fail("it is not written"))


def test_a_thread_that_computes_on_loses_the_interpreter_to_nobody_while_it_sends() -> None:
    async def main() -> None:
        outlet, transport, there = await linked()
        outlet.write_at_once(b"first", lambda: None, keep_gil=True)  # which finds out how to send
        data = read(there, 5)
        turns, over, begun = 0, False, threading.Event()

        def compute() -> None:
            nonlocal turns
            while not over:
                turns += 1
                begun.set()
                time.sleep(1e-5)  # else it would have the interpreter for good

        other = threading.Thread(target=compute)
        switch_interval = sys.getswitchinterval()
        sys.setswitchinterval(1000)
        try:
            other.start()
            begun.wait()
            for _ in range(20):
                before = turns
                sent = [outlet.write_at_once(b"next!", lambda: None, keep_gil=True) for _ in range(100)]
                meanwhile = turns - before
                data += read(there, 500)
                assert all(sent)
                assert not meanwhile
        finally:
            over = True
            sys.setswitchinterval(switch_interval)
            other.join()
        assert data == b"first" + 2000 * b"next!"
        await end(outlet, transport, there)

    run("asyncio", main())
