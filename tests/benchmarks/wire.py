"""How fast a link is, between two processes: ``python -m tests.benchmarks.wire [unix|tcp] [uvloop|asyncio]``.

Prints large frames in GB/s, small messages in microseconds each (for batches of several sizes), and a round trip.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

from nbcluster.comm.base import Connection
from nbcluster.comm.transports import connect, listen
from nbcluster.protocol.messages import ClientMessage as Request
from nbcluster.protocol.messages import DataItem, PutData, ReleaseKeys, Stopping, ToClient, WantKeys
from nbcluster.protocol.payload import Frame, Payload
from nbcluster.types import Role

TOKEN = bytes(range(32))
MIB = 1 << 20


class Counter:
    """Counts what arrives, and answers each ``WantKeys``."""

    def __init__(self, link: Connection) -> None:
        self.link = link
        self.messages = 0
        self.changed = asyncio.Event()
        link.start(self)

    def received(self, messages: list[Any]) -> None:
        self.messages += len(messages)
        self.changed.set()
        if type(messages[-1]) is WantKeys:
            self.link.send(Stopping(""))

    def lost(self, error: Exception | None) -> None:
        self.changed.set()

    async def answer(self) -> None:
        await self.changed.wait()
        self.changed.clear()


async def serve(address: str, write: int) -> None:
    over = asyncio.Event()

    class Server(Counter):
        def lost(self, error: Exception | None) -> None:
            over.set()

    def accept(link: Connection) -> None:
        Server(link)

    incoming = {Role.CLIENT: Request | PutData}
    listener = await listen(address, token=TOKEN, incoming=incoming, on_connection=accept)
    os.write(write, listener.address.encode())
    await over.wait()
    await listener.close()


async def measure(address: str) -> None:
    link = await connect(address, role=Role.CLIENT, token=TOKEN, incoming=ToClient, timeout=5)
    counter = Counter(link)

    async def finish() -> None:
        link.send(WantKeys([]))
        await counter.answer()

    for mib, count in ((100, 20), (1, 1000), (0.0625, 4000)):
        data = memoryview(os.urandom(int(mib * MIB)))
        rates = []
        for _ in range(5):
            start = time.perf_counter()
            for _ in range(count):
                link.send(PutData([DataItem("key-1", Payload(b"pickle", (Frame(data),)))]))
                await link.drain()
            await finish()
            rates.append(count * len(data) / (time.perf_counter() - start) / 1e9)
        print(f"frames of {mib:g} MiB: {statistics.median(rates):.2f} GB/s")

    message = ReleaseKeys(["increment-0123456789abcdef0123456789abcdef"])
    for batch in (1, 10, 100, 1000):
        times = []
        for _ in range(5):
            start = time.perf_counter()
            for _ in range(20_000 // batch):
                for _ in range(batch):
                    link.send(message)
                await asyncio.sleep(0)
            await finish()
            times.append((time.perf_counter() - start) / 20_000 * 1e6)
        print(f"small messages, {batch} per turn: {statistics.median(times):.2f} us each")

    times = []
    for _ in range(5000):
        start = time.perf_counter()
        await finish()
        times.append((time.perf_counter() - start) * 1e6)
    print(f"round trip: {statistics.median(times):.0f} us median, {sorted(times)[4950]:.0f} us p99")
    await link.close()


def main(transport: str = "unix", loop: str = "uvloop") -> None:
    new_loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
    if loop == "uvloop":
        import uvloop

        new_loop = uvloop.new_event_loop

    def run(work: Any) -> None:
        runner = new_loop()
        try:
            runner.run_until_complete(work)
        finally:
            runner.close()

    with tempfile.TemporaryDirectory() as directory:
        address = f"unix://{directory}/wire.sock" if transport == "unix" else "tcp://127.0.0.1:0"
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            run(serve(address, write))
            os._exit(0)
        print(f"--- {transport}, {loop}")
        run(measure(os.read(read, 1000).decode()))
        os.waitpid(child, 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
