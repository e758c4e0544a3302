from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nbcluster.comm.base import Connection
from nbcluster.comm.blocking import BlockingLink
from nbcluster.comm.loop import new_event_loop
from nbcluster.comm.transports import listen
from nbcluster.errors import CommClosedError, CommError, HandshakeError
from nbcluster.protocol.delivery import Deliver, Delivered, SenderReply, SenderRequest, TakeBack
from nbcluster.protocol.messages import Data, PeerReply
from nbcluster.protocol.payload import Frame
from nbcluster.types import Role
from tests.support.eventually import eventually
from tests.support.links import DEADLINE, TOKEN, tls_contexts

MIB = 1 << 20


class Taker:
    """The other end, on a loop in a thread: takes what is delivered, and answers with how many there were."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []
        self.taken_back: list[int] = []
        self.ends: list[Exception | None] = []
        self.link: Connection
        self.on_request: Callable[[Any], None] = self.answer

    def accept(self, link: Connection) -> None:
        self.link = link
        link.start(self)

    def received(self, messages: list[Any]) -> None:
        for message in messages:
            if isinstance(message, TakeBack):
                self.taken_back += message.blobs
            else:
                self.on_request(message)

    def answer(self, message: Deliver) -> None:
        self.taken.append(bytes(message.frame.open()))
        self.link.send(Delivered(message.request, len(self.taken)))

    def lost(self, error: Exception | None) -> None:
        self.ends.append(error)


@pytest.fixture(params=["tcp", "tls", "unix"])
def address(request: pytest.FixtureRequest, taker: Taker, tmp_path: Path) -> Iterator[str]:
    loop = new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def on_loop(coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result(DEADLINE)

    where = f"unix://{tmp_path}/s.sock" if request.param == "unix" else f"{request.param}://127.0.0.1:0"
    listener = on_loop(
        listen(
            where,
            token=TOKEN,
            incoming={Role.SENDER: SenderRequest},
            on_connection=taker.accept,
            ssl=tls_contexts().listener if request.param == "tls" else None,
        )
    )
    yield listener.address
    on_loop(listener.close())
    if hasattr(taker, "link"):
        on_loop(taker.link.close())
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture
def taker() -> Taker:
    return Taker()


def connected(address: str, token: bytes = TOKEN, **options: Any) -> BlockingLink:
    context = tls_contexts().connector if address.startswith("tls") else None
    return BlockingLink(address, role=Role.SENDER, token=token, incoming=SenderReply, context=context, **options)


@pytest.mark.parametrize("nbytes", [0, 10, 100_000, 9 * MIB + 1])
def test_what_is_sent_arrives_and_is_answered(address: str, taker: Taker, nbytes: int) -> None:
    link = connected(address)
    data = os.urandom(nbytes)
    assert link.ask(Deliver(1, Frame(memoryview(data)))) == Delivered(1, 1)
    assert link.ask(Deliver(2, Frame(memoryview(data)))) == Delivered(2, 2)
    assert taker.taken == [data, data]
    assert nbytes * 2 <= link.sent_bytes < nbytes * 2 + 200
    link.tell(TakeBack([5]))
    eventually(lambda: taker.taken_back == [5])
    link.close()
    link.close()
    eventually(lambda: taker.ends == [None], "it said good-bye")


def test_who_holds_another_token_is_refused(address: str) -> None:
    with pytest.raises(HandshakeError):
        connected(address, b"x" * 32)


def test_where_nobody_listens_is_told_at_once() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        with pytest.raises(CommError, match="nobody answers"):
            connected(f"tcp://127.0.0.1:{nobody.getsockname()[1]}")
    with pytest.raises(CommError, match="within one process"):
        connected("inproc://somewhere")


def test_a_listener_that_says_nothing_is_given_up() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with pytest.raises(CommError, match="handshake failed"):
            connected(f"tcp://127.0.0.1:{silent.getsockname()[1]}", connect_timeout=0.05)


def test_an_end_that_comes_before_the_answer_is_an_error_and_ends_the_link(address: str, taker: Taker) -> None:
    link = connected(address)
    taker.on_request = lambda message: taker.link.abort()
    with pytest.raises(CommClosedError):
        link.ask(Deliver(1, Frame(memoryview(bytes(MIB)))))
    assert link.closed
    with pytest.raises(CommClosedError):
        link.ask(Deliver(2, Frame(memoryview(b"more"))))


def test_a_peer_that_does_not_answer_is_not_waited_for_forever(address: str, taker: Taker) -> None:
    link = connected(address, timeout=0.05)
    taker.on_request = lambda message: None
    with pytest.raises(CommClosedError, match="timed out"):
        link.ask(Deliver(1, Frame(memoryview(b"data"))))
    assert link.closed


def test_an_answer_that_is_none_ends_the_link(address: str, taker: Taker) -> None:
    link = connected(address)
    taker.on_request = lambda message: taker.link.send(Data(1, [], []))
    assert PeerReply is not SenderReply
    with pytest.raises(CommError, match="decoded"):
        link.ask(Deliver(1, Frame(memoryview(b"data"))))
    assert link.closed


def test_an_interrupt_in_the_midst_of_a_frame_ends_the_link(
    address: str, taker: Taker, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = connected(address)
    write = link._write

    def interrupted(buffer: Any) -> None:
        if len(buffer) > MIB:
            write(memoryview(buffer)[: MIB // 2])
            raise KeyboardInterrupt
        write(buffer)

    monkeypatch.setattr(link, "_write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        link.ask(Deliver(1, Frame(memoryview(bytes(2 * MIB)))))
    assert link.closed
    eventually(lambda: taker.ends)
    assert taker.taken == [], "no half data"
