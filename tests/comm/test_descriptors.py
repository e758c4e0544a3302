"""Sockets that carry descriptors: who gets in, what is asked and answered, and what happens when either side goes."""

from __future__ import annotations

import asyncio
import os
import socket
import tempfile
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from nbcluster.comm.descriptors import RELEASES
from nbcluster.errors import CommClosedError, CommError, ProtocolError
from nbcluster.protocol.sharing import (
    Open,
    Opened,
    Publish,
    Published,
    Release,
    Tidy,
    Unused,
)
from tests.support.descriptor_office import Office, Place, held_up, placed
from tests.support.eventually import soon

# --- questions and answers ---


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_descriptors_go_both_ways(loop: str) -> None:
    async def test(place: Place) -> None:
        link = place.link()
        fd = os.memfd_create("question")
        os.ftruncate(fd, 1234)
        assert await place.call(link, Publish(5), fd) == (Published(1234, 0), None)
        reply, received = await place.call(link, Open(77))
        assert reply == Opened(0, 77)
        assert "answer" in os.readlink(f"/proc/self/fd/{received}")
        assert not os.get_inheritable(received)
        os.close(received)
        assert await place.call(link, Tidy()) == (Unused([]), None)
        assert place.office.there == link.connections == 1

    placed(test, loop)


def test_many_threads_get_each_its_own_answer() -> None:
    async def test(place: Place) -> None:
        link = place.link()

        def ask(number: int) -> bool:
            reply, fd = link.call(Open(number))
            assert fd is not None
            os.close(fd)
            return reply == Opened(0, number)

        assert all(await asyncio.gather(*(asyncio.to_thread(ask, number) for number in range(100))))

    placed(test)


def test_what_is_let_go_of_is_told_in_order_and_without_waiting() -> None:
    async def test(place: Place) -> None:
        link = place.link()
        link.release(1, False)  # before there was a connection, there was nothing to let go of
        await place.call(link, Tidy())
        many = 200 * RELEASES

        def let_go() -> None:
            for number in range(many):
                link.release(number, number % 2 == 0)

        let_go()  # on the server's own loop: nobody reads meanwhile, and the socket is full long before
        await place.call(link, Tidy())
        told = [request for request in place.office.asked if isinstance(request, Release)]
        assert [blob for message in told for blob in message.blobs] == list(range(many))
        assert [blob for message in told for blob in message.untold] == list(range(0, many, 2))
        assert isinstance(place.office.asked[-1], Tidy), "what was let go of before a question is told before it"

    placed(test)


def test_what_dies_while_another_thread_asks_is_told_after_its_answer() -> None:
    async def test(place: Place) -> None:
        link = place.link()
        await place.call(link, Tidy())
        asking, go_on = await held_up(place, link)
        link.release(5, False)
        assert not any(isinstance(request, Release) for request in place.office.asked)
        go_on.set()
        await asking
        await soon(lambda: Release([5]) in place.office.asked)

    placed(test)


def test_what_dies_in_the_midst_of_a_question_is_told_after_its_answer() -> None:
    async def test(place: Place) -> None:
        link = place.link()
        await place.call(link, Tidy())
        real = link._exchange

        def collecting(*args: Any) -> Any:
            link.release(6, True)
            with pytest.raises(CommError, match="in the midst"):
                link.call(Tidy())
            return real(*args)

        link._exchange = collecting  # type: ignore[assignment, method-assign]
        assert await place.call(link, Tidy()) == (Unused([]), None)
        await soon(lambda: Release([6], [6]) in place.office.asked)

    placed(test)


def test_an_answer_that_is_nonsense_is_an_error_and_its_descriptor_is_closed(tmp_path: Path) -> None:
    async def test(place: Place) -> None:
        place.office.answer_with = lambda _: (Release([1]), os.memfd_create("answer"))  # type: ignore[assignment, return-value]
        with pytest.raises(ProtocolError, match="nonsense"):
            await place.call(place.link(), Open(1))

    placed(test)


# --- the end ---


def test_the_server_may_go_in_the_midst_of_a_question() -> None:
    async def test(place: Place) -> None:
        link = place.link()
        await place.call(link, Tidy())
        place.office.answer_with = lambda _: (None, None)
        asking = asyncio.ensure_future(place.call(link, Open(1)))
        await soon(lambda: Open(1) in place.office.asked)
        place.server.close()
        with pytest.raises(CommClosedError):
            await asking
        with pytest.raises(CommClosedError):
            await place.call(link, Open(1))
        link.release(1, False)

    placed(test)


def test_after_a_bad_end_the_next_question_makes_a_new_connection() -> None:
    async def test(place: Place) -> None:
        link = place.link()
        real = link._exchange

        def interrupted(sock: socket.socket, *args: Any) -> Any:
            sock.settimeout(0.0)

            class Interrupted:
                def __getattr__(self, name: str) -> Any:
                    if name == "recvmsg":
                        raise KeyboardInterrupt
                    return getattr(sock, name)

            return real(Interrupted(), *args)  # type: ignore[arg-type]

        link._exchange = interrupted  # type: ignore[assignment, method-assign]
        with pytest.raises(KeyboardInterrupt):
            link.call(Open(1))
        link._exchange = real  # type: ignore[method-assign]
        reply, fd = await place.call(link, Open(2))
        os.close(fd)
        assert reply == Opened(0, 2), "not the answer to the interrupted question"
        assert link.connections == 2

    # The first call blocks this thread until the handshake is done, so the server needs a loop of its own.
    served_elsewhere(test)


def served_elsewhere(test: Callable[[Place], Awaitable[None]]) -> None:
    with tempfile.TemporaryDirectory(prefix="nb-") as directory:
        office, loop = Office(), asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever)
        thread.start()

        async def open_place() -> Place:
            return Place(Path(directory) / "store", office)

        place = asyncio.run_coroutine_threadsafe(open_place(), loop).result()

        async def close_place() -> None:
            for link in place.links:
                link.close()
            place.server.close()

        try:
            asyncio.run(asyncio.wait_for(test(place), 20))
        finally:
            asyncio.run_coroutine_threadsafe(close_place(), loop).result()
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()


def test_a_closed_link_says_so_and_closes_the_descriptor_that_it_was_given() -> None:
    async def test(place: Place) -> None:
        link = place.link()
        link.close()
        link.close()
        with pytest.raises(CommClosedError, match="closed"):
            link.call(Publish(1), os.memfd_create("question"))

    placed(test)


def test_closing_waits_for_no_question_and_takes_effect_after_it() -> None:
    async def test(place: Place) -> None:
        link = place.link()
        await place.call(link, Tidy())
        asking, go_on = await held_up(place, link)
        link.close()
        go_on.set()
        assert await asking == (Unused([]), None)
        await soon(lambda: place.office.left == 1)

    placed(test)


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_is_told_that_the_link_is_its_parents() -> None:
    async def test(place: Place) -> None:
        link = place.link()
        await place.call(link, Tidy())
        link._lock.acquire()  # as if another thread was asking when it forked
        child = os.fork()
        if child == 0:
            try:
                link.release(1, False)
                link.close()
                link.call(Tidy())
            except CommError as error:
                os._exit(0 if "forked" in str(error) else 1)
            finally:
                os._exit(2)
        link._lock.release()
        _, status = await asyncio.to_thread(os.waitpid, child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        assert await place.call(link, Tidy()) == (Unused([]), None)

    placed(test)
