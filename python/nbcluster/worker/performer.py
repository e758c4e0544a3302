"""Carries out what the core commands: each command is one step with threads, results, peers or the scheduler.

core ── commands ──▶ performer ──▶ executor · store · peer links · scheduler
 ▲                                                │
 └──── events: what was fetched, what was recalled ┘
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from nbcluster.comm.peers import PeerPool
from nbcluster.comm.sampling import Sampler
from nbcluster.comm.tasks import TaskOwner
from nbcluster.errors import CommError
from nbcluster.protocol.serialize import SHARE_MIN
from nbcluster.store.memory import Datum, MemoryStore
from nbcluster.types import Address, Key
from nbcluster.worker import commands as c
from nbcluster.worker.events import DataArrived, Event, FetchFailed, RunsRecalled
from nbcluster.worker.executor import Executor
from nbcluster.worker.idle_sharing import IdleSharing
from nbcluster.worker.run_queue import Inputs
from nbcluster.worker.state import WorkerTask
from nbcluster.worker.transfer_log import TransferLog

logger = logging.getLogger(__name__)


class Performer:
    """Of one worker, on its loop.

    Args:
        executor: runs tasks.
        store: has the results.
        peers: the links to other workers.
        received_log: notes what came over them.
        sampler: is told when there is something to look at.
        idle_sharing: hears of large results; None if they are never shared.
        owner: of the asyncio tasks in which data is fetched.
        tell: sends messages to the scheduler.
        handle: has the core handle what came of a command.

    Attributes:
        steps: what to call for each kind of command.
    """

    def __init__(
        self,
        executor: Executor,
        store: MemoryStore,
        peers: PeerPool,
        received_log: TransferLog,
        sampler: Sampler,
        idle_sharing: IdleSharing | None,
        owner: TaskOwner,
        *,
        tell: Callable[..., None],
        handle: Callable[[Event], None],
    ) -> None:
        self._executor = executor
        self._store = store
        self._peers = peers
        self._received_log = received_log
        self._sampler = sampler
        self._idle_sharing = idle_sharing
        self._owner = owner
        self._tell = tell
        self._handle = handle
        self.steps: Mapping[type, Callable[[Any], None]] = {
            c.Execute: self._execute,
            c.Capture: self._capture,
            c.KeepResults: self._keep_results,
            c.KeepData: self._keep_data,
            c.Drop: self._drop,
            c.Unqueue: self._unqueue,
            c.Recall: self._recall,
            c.Fetch: self._fetch,
            c.Send: self._send,
        }

    # --- runs ---

    def _execute(self, command: c.Execute) -> None:
        self._executor.submit([(run.task, self._fill(run)) for run in command.tasks])
        self._sampler.wake()

    def _capture(self, command: c.Capture) -> None:
        for run in command.tasks:
            self._fill(run)

    def _fill(self, run: WorkerTask) -> Inputs | None:
        inputs = run.inputs
        if inputs is not None:
            for key, source in inputs.items():
                if source is None:
                    inputs[key] = self._store.get(key)
        return inputs

    def _unqueue(self, command: c.Unqueue) -> None:
        self._executor.recall(command.run_ids)

    def _recall(self, command: c.Recall) -> None:
        recalled = self._executor.recall(command.run_ids)
        self._handle(RunsRecalled(command.request, recalled))

    # --- data ---

    def _keep_results(self, command: c.KeepResults) -> None:
        results = command.results
        done = [result.done for result in results]
        sizes = [one.nbytes for one in done]
        data = map(Datum, [result.value for result in results], sizes, [one.type_name for one in done])
        self._store.put_all([one.key for one in done], list(data))
        if self._idle_sharing is not None and max(sizes) >= SHARE_MIN:
            for result in results:
                if result.done.nbytes >= SHARE_MIN:
                    self._idle_sharing.note(result.done.key, result.value, result.done.nbytes)

    def _keep_data(self, command: c.KeepData) -> None:
        for item in command.items:
            nbytes = item.nbytes or item.payload.nbytes
            self._store.put(item.key, Datum.pickled(item.payload, nbytes, item.type_name))

    def _drop(self, command: c.Drop) -> None:
        self._store.drop_all(command.keys)

    # --- others ---

    def _fetch(self, command: c.Fetch) -> None:
        self._owner.start(self._fetch_from(command.holder, command.keys), f"fetch from {command.holder}")

    async def _fetch_from(self, holder: Address, keys: list[Key]) -> None:
        began = time.time()
        try:
            items, _ = await self._peers.fetch(holder, keys)
        except CommError as error:
            logger.info("Could not fetch %d results from %s: %s", len(keys), holder, error)
            self._handle(FetchFailed(holder))
        else:
            self._received_log.note(holder, items, began)
            self._handle(DataArrived(holder, items))

    def _send(self, command: c.Send) -> None:
        self._tell(*command.messages)
