from __future__ import annotations

import asyncio
import os
import signal
import sys

import pytest

from nbcluster.comm.loop import new_event_loop
from nbcluster.comm.signals import heeded

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="loops heed no signals there")


@pytest.fixture
def loop() -> asyncio.AbstractEventLoop:
    """As processes of ours have."""
    return new_event_loop()


def test_signals_are_heeded_during_the_block(loop: asyncio.AbstractEventLoop) -> None:
    async def main() -> None:
        heard = asyncio.Event()
        with heeded({signal.SIGUSR1: heard.set}):
            os.kill(os.getpid(), signal.SIGUSR1)
            await asyncio.wait_for(heard.wait(), 30)
        assert signal.getsignal(signal.SIGUSR1) == signal.SIG_DFL

    loop.run_until_complete(main())
    loop.close()


def test_what_a_forked_child_is_sent_is_not_meant_for_its_parent(loop: asyncio.AbstractEventLoop) -> None:
    async def main() -> None:
        heard: list[str] = []
        own = asyncio.Event()
        with heeded({signal.SIGTERM: lambda: heard.append("term"), signal.SIGUSR1: own.set}):
            reading, writing = os.pipe()
            child = os.fork()
            if child == 0:
                os.write(writing, b"x")
                signal.pause()
                os._exit(0)
            assert os.read(reading, 1) == b"x"
            os.kill(child, signal.SIGTERM)
            _, status = os.waitpid(child, 0)  # noqa: ASYNC222 (nothing else is to happen)
            assert os.WTERMSIG(status) == signal.SIGTERM
            os.kill(os.getpid(), signal.SIGUSR1)  # heard after all that was sent before
            await asyncio.wait_for(own.wait(), 30)
            os.close(reading)
            os.close(writing)
        assert heard == []

    loop.run_until_complete(main())
    loop.close()
