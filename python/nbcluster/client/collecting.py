"""The results of futures, brought here: small ones have come along, large ones are fetched, or are in shared memory."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from typing import Protocol

from nbcluster import errors
from nbcluster.client.states import FINISHED, PENDING, FutureState
from nbcluster.protocol.messages import DataItem, Location, MissingData, ReportMissing
from nbcluster.protocol.payload import Payload
from nbcluster.types import Address, Key

logger = logging.getLogger("nbcluster.client")

_ATTEMPTS = 5
"""How often a result is looked for that is gone from where it was said to be."""


class Wait(Protocol):
    """What ``Session.wait`` does."""

    async def __call__(self, states: Collection[FutureState], *, stop_early: bool = ...) -> object:
        """Wait until all are done; ``stop_early``: or one fails."""


class Collector:
    """Of one session, on its loop.

    Args:
        wait: waits until states are done.
        locate: asks the scheduler where data is.
        fetch: asks a worker for data; returns what it has, and the keys of what it has not.
        tell: says something to the scheduler.
    """

    def __init__(
        self,
        wait: Wait,
        locate: Callable[[list[Key]], Awaitable[list[Location]]],
        fetch: Callable[[Address, list[Key]], Awaitable[tuple[list[DataItem], list[Key]]]],
        tell: Callable[[ReportMissing], object],
    ) -> None:
        self._wait = wait
        self._locate = locate
        self._fetch_items = fetch
        self._tell = tell

    async def collect(
        self,
        states: Collection[FutureState],
        *,
        stop_early: bool,
    ) -> dict[Key, Payload]:
        """The payloads of those states that finish; large ones come from the workers that hold them.

        Args:
            states: which.
            stop_early: return when one has failed.
        """
        await self._wait(states, stop_early=stop_early)
        collected: dict[Key, Payload] = {}
        attempts, gone = 0, len(states) + 1
        while True:
            missing, pending = list[FutureState](), False
            for state in states:  # once over all: what there are so many of is in no cache
                status = state.status
                if status == PENDING:
                    pending = True
                elif status != FINISHED:
                    if stop_early:
                        return collected
                elif state.payload is None:
                    if state.key not in collected:
                        missing.append(state)
                elif state.key not in collected:
                    collected[state.key] = state.payload
            if missing:
                await self._fetch(missing, collected)
            elif not pending:
                before, gone = gone, await self._open(states, collected, last=attempts + 1 == _ATTEMPTS)
                if not gone:
                    return collected
                attempts = attempts + 1 if gone >= before else 0  # what has been opened stays
            await self._wait(states, stop_early=stop_early)

    async def _open(self, states: Collection[FutureState], collected: dict[Key, Payload], last: bool) -> int:
        """Have a look at what is said to be in shared memory. Returns how many are gone: they have to be asked for."""
        gone = 0
        if not any(payload.frames for payload in collected.values()):
            return 0  # as it is for small ones, of which there may be very many
        for state in states:
            payload = collected.get(state.key)
            if payload is None or not payload.is_shared:
                continue
            try:
                collected[state.key] = await asyncio.to_thread(payload.open)
            except errors.SharedDataGoneError:
                if last:
                    raise
                gone += 1
                del collected[state.key]
                if state.payload is payload:
                    state.payload = None
        return gone

    async def _fetch(self, states: list[FutureState], collected: dict[Key, Payload]) -> None:
        """Fetch what is in memory somewhere; report what turns out not to be: it will be pending again.

        What turns out to be in memory that is shared is noted: whoever wants it again looks there.
        """
        found: dict[Key, Payload] = {}
        by_holder: dict[Address, list[Key]] = {}
        for location in await self._locate([state.key for state in states]):
            if location.payload is not None:
                found[location.key] = location.payload
            elif location.holders:
                by_holder.setdefault(location.holders[0], []).append(location.key)
        fetching = [self._fetch_from(holder, keys) for holder, keys in by_holder.items()]
        missing = []
        for payloads, not_there in await asyncio.gather(*fetching):
            found.update(payloads)
            missing += not_there
        if missing:
            self._tell(ReportMissing(missing))
        collected.update(found)
        for state in states:
            payload = found.get(state.key)
            if payload is not None and payload.is_only_named and state.payload is None and state.status == FINISHED:
                state.payload = payload

    async def _fetch_from(self, holder: Address, keys: list[Key]) -> tuple[dict[Key, Payload], list[MissingData]]:
        try:
            items, missing = await self._fetch_items(holder, keys)
        except errors.CommError as error:
            logger.info("Could not fetch %d results from %s: %s", len(keys), holder, error)
            return {}, [MissingData(key, holder) for key in keys]
        return {item.key: item.payload for item in items}, [MissingData(key, holder) for key in missing]
