"""A client that streams: it submits in batches, so many tasks ahead, and lets go of what nothing needs any more."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any

from nbcluster.client.generations import Generations
from nbcluster.protocol import messages as m
from nbcluster.protocol.payload import Payload
from nbcluster.protocol.records import Message
from nbcluster.types import Key
from tests.simulation.scale.network import Link
from tests.simulation.scale.workloads import SHARED_BYTES, SHARED_KEY, SMALL, StreamedTask, arguments

if TYPE_CHECKING:
    from tests.simulation.scale.cluster import Simulation

TURN = 0.001
"""Seconds between two looks at what has arrived."""

FIFO_TIMEOUT = 0.1
"""Seconds, as ``map`` has it."""


class StreamingClient:
    """Keeps at most ``window`` tasks under way; a batch is an eighth of that."""

    def __init__(self, simulation: Simulation, tasks: Iterator[StreamedTask], window: int) -> None:
        self.id = "client"
        self.done = 0
        self.recomputed = 0
        """Results that were there, and had to be computed again."""
        self._simulation = simulation
        self._tasks = tasks
        self._window = window
        self._batch = max(1, window // 8)
        self._generations = Generations(lambda: simulation.engine.now)
        self._dependents: dict[Key, int] = {}
        """Keys held, with how many tasks that need them have not been submitted yet."""
        self._dependencies: dict[Key, tuple[Key, ...]] = {}
        self._pending: set[Key] = set()
        self._inbox: deque[list[Any]] = deque()
        self._awake = False
        self._to_release: list[Key] = []
        self._exhausted = False
        self._waits_for_data = False
        self._down = Link(simulation.network, self._arrived)
        self._up = Link(simulation.network, simulation.client_says)

    def begin(self, *, shares_data: bool) -> None:
        """Scatter what is shared, if anything; then submit the first tasks."""
        if shares_data:
            self._dependents[SHARED_KEY] = 1  # until the end
            self._pending.add(SHARED_KEY)
            self._waits_for_data = True
            item = m.DataItem(SHARED_KEY, Payload(b"d" * SMALL), SHARED_BYTES, "bytes")
            self._up.send(self, [m.Scatter([item], broadcast=True)])
        else:
            self._go_on()

    def tell(self, messages: list[Any]) -> None:
        """Have the scheduler's messages arrive after a while."""
        self._down.send(messages)

    def _arrived(self, messages: list[Any]) -> None:
        self._inbox.append(messages)
        if not self._awake:
            self._awake = True
            self._simulation.engine.after(TURN, self._look)

    def _look(self) -> None:
        self._awake = False
        inbox, self._inbox = self._inbox, deque()
        for messages in inbox:
            for message in messages:
                if type(message) is m.KeysDone:
                    for item in message.items:
                        self._is_done(item.key)
                elif type(message) is m.KeysPending:
                    for key in message.keys:
                        if key in self._dependents and key not in self._pending:
                            self._pending.add(key)
                            self.done -= 1
                            self.recomputed += 1
                else:
                    raise AssertionError(f"the client was told {message}")
        self._go_on()

    def _is_done(self, key: Key) -> None:
        if key not in self._pending:
            return
        self._pending.discard(key)
        if key == SHARED_KEY:
            self._waits_for_data = False
            return
        self.done += 1
        self._release_if_unneeded(key)

    def _release_if_unneeded(self, key: Key) -> None:
        if self._dependents[key] <= 0 and key not in self._pending:
            del self._dependents[key]
            self._to_release.append(key)

    def _go_on(self) -> None:
        messages: list[Any] = []
        if not self._exhausted and not self._waits_for_data and len(self._pending) <= self._window - self._batch:
            batch = list(islice(self._tasks, self._window - len(self._pending)))
            self._exhausted = not batch
            messages += self._submissions(batch)
        over = self._exhausted and not self._pending
        if over and SHARED_KEY in self._dependents:
            self._dependents[SHARED_KEY] = 0
            self._release_if_unneeded(SHARED_KEY)
        if self._to_release and (over or len(self._to_release) >= self._batch):
            messages.append(m.ReleaseKeys(self._to_release))
            self._to_release = []
        if messages:
            self._up.send(self, messages)
        if over:
            self._simulation.workload_over()

    def _submissions(self, batch: list[StreamedTask]) -> list[Message]:
        """A message per function and level: so nothing is submitted before what it depends on."""
        messages: list[Message] = []
        kinds = sorted(batch, key=_kind)
        for (_, function, gpus), group in groupby(kinds, _kind):
            tasks = list(group)
            needs = {index: list(task.dependencies) for index, task in enumerate(tasks) if task.dependencies}
            options = m.TaskOptions(resources={"GPU": float(gpus)} if gpus else {})
            name = function.encode()
            messages.append(
                m.SubmitTasks(
                    name,
                    Payload(name),
                    [task.key for task in tasks],
                    [arguments(task) for task in tasks],
                    options,
                    needs,
                    line=self._generations.line(FIFO_TIMEOUT),
                )
            )
        for task in batch:
            self._dependents[task.key] = task.dependents
            self._pending.add(task.key)
        for task in batch:
            for key in task.dependencies:
                if key != SHARED_KEY:
                    self._dependents[key] -= 1
                    self._release_if_unneeded(key)
        return messages

    def leftovers(self) -> list[str]:
        """What it still holds."""
        held = len(self._dependents) + len(self._to_release)
        return [f"the client holds {held} futures"] if held else []


def _kind(task: StreamedTask) -> tuple[int, str, int]:
    return task.level, task.function, task.gpus
