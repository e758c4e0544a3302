"""What a task that does nothing costs a worker: `python -m tests.benchmarks.worker`.

CPU time per task, all threads together: decoding, core, queue, thread, unpickling, call, pickling, encoding.
"""

from __future__ import annotations

import asyncio
import operator
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from nbcluster.comm.loop import new_event_loop
from nbcluster.protocol.messages import Compute, ComputeTask, DefineFunctions, TasksDone
from nbcluster.protocol.serialize import dump_call, dump_function, load_call, token
from nbcluster.worker.server import WorkerServer
from tests.support.fake_scheduler import fake_scheduler, worker_of

N = 10_000
BATCH = 500
ROUNDS = 5


async def measure(worker: WorkerServer, first: int) -> float:
    """Microseconds per task of one round."""
    function, definition = dump_function(operator.index)
    worker.received([DefineFunctions({function: definition})])
    tasks = [
        ComputeTask(f"index-{i:032x}", i, function, dump_call((i,), {}).data, (0, i)) for i in range(first, first + N)
    ]
    encode = msgspec.msgpack.Encoder().encode
    decode = msgspec.msgpack.Decoder(Compute).decode
    wire = [encode(Compute(tasks[i : i + BATCH])) for i in range(0, N, BATCH)]
    sent = 0
    done = asyncio.Event()

    def heard(*messages: object) -> None:
        nonlocal sent
        for message in messages:
            encode(message)
            sent += len(message.items) if isinstance(message, TasksDone) else 0
        if sent == N:
            done.set()

    worker._connection.send = heard  # type: ignore[method-assign]
    start = time.process_time()
    for data in wire:
        worker.received([decode(data)])
        await asyncio.sleep(0)
    await done.wait()
    return (time.process_time() - start) / N * 1e6


async def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        async with (
            fake_scheduler(f"unix://{directory}/s.sock") as scheduler,
            worker_of(scheduler, Path(directory)) as worker,
        ):
            rounds = [await measure(worker, i * N) for i in range(ROUNDS)]
    print(f"worker            {min(rounds):6.2f} us per task (best of {ROUNDS} rounds of {N})")


def measure_serialization() -> None:
    function, _ = dump_function(operator.index)
    call = dump_call((5,), {})
    cases: dict[str, Callable[[], object]] = {
        "dump_call((5,))": lambda: dump_call((5,), {}),
        "token": lambda: token(function, call),
        "load_call": lambda: load_call(call.data, call.frames, {}),
        "dump_function": lambda: dump_function(operator.index),
    }
    for name, case in cases.items():
        start = time.process_time()
        for _ in range(100_000):
            case()
        print(f"{name:18}{(time.process_time() - start) / 100_000 * 1e6:6.2f} us")


if __name__ == "__main__":
    measure_serialization()
    loop = new_event_loop()
    loop.run_until_complete(main())
    loop.close()
