"""Which peer is asked for what. Part of the core: no I/O.

One fetch per key, however many runs wait for it; one request per peer at a time, with as many keys as are
queued for that peer by then. A holder that fails is followed by the next one; when none is left, whoever
waits is told which holders were tried.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from nbcluster.protocol.messages import MissingData
from nbcluster.types import Address, Key
from nbcluster.worker.commands import Batches, Fetch
from nbcluster.worker.state import KeyFetch, Peer, WorkerState, WorkerTask

REQUEST_BYTES = 64 * 2**20
"""About how much is asked of a peer at once."""


class Settled(NamedTuple):
    """Fetches that a peer's answer ended, well or badly."""

    arrived: list[KeyFetch]
    failed: list[KeyFetch]


class Fetching:
    """Changes ``fetches`` and ``peers``, and nothing else."""

    def __init__(self, state: WorkerState, batches: Batches, address: Address) -> None:
        self._state = state
        self._batches = batches
        self._address = address

    def want(self, key: Key, nbytes: int, holders: Iterable[Address], waiter: WorkerTask | None) -> KeyFetch | None:
        """Have a key fetched, for a run or (None) for its own sake.

        Returns:
            The fetch; None if there is nobody to ask.
        """
        fetch = self._state.fetches.get(key)
        candidates = [holder for holder in holders if holder != self._address]
        if fetch is None:
            if not candidates:
                return None
            fetch = self._state.fetches[key] = KeyFetch(key, nbytes)
            fetch.untried = candidates
            self._queue(fetch)
        else:
            known = {fetch.holder, *fetch.untried, *(missing.holder for missing in fetch.tried)}
            fetch.untried += [holder for holder in candidates if holder not in known]
        if waiter is None:
            fetch.replica = True
        else:
            fetch.waiters[waiter] = None
        return fetch

    def unwant(self, fetch: KeyFetch, waiter: WorkerTask) -> None:
        """A run no longer waits for it."""
        fetch.waiters.pop(waiter, None)
        self._cancel_unwanted(fetch)

    def forget(self, key: Key) -> None:
        """The key was freed: what is under way is no longer what it means."""
        fetch = self._state.fetches.get(key)
        if fetch is None:
            return
        fetch.replica = False
        if fetch.asked:
            fetch.detached = True
            del self._state.fetches[key]
        else:
            self._cancel_unwanted(fetch)

    def obtained(self, key: Key) -> KeyFetch | None:
        """The key is here by other means. Returns the fetch that this ends."""
        fetch = self._state.fetches.pop(key, None)
        if fetch is not None and fetch.asked:
            fetch.detached = True
        elif fetch is not None:
            self._leave_queue(fetch)
        return fetch

    def answered(self, holder: Address, keys: Iterable[Key]) -> Settled:
        """A peer sent these of the keys that it was asked for; none, if it failed."""
        peer = self._state.peers[holder]
        asked, peer.asked = peer.asked, {}
        sent = set(keys)
        settled = Settled([], [])
        for key, fetch in asked.items():
            fetch.asked = False
            if key in sent:
                self._end(fetch)
                settled.arrived.append(fetch)
                continue
            fetch.tried.append(MissingData(key, holder))
            if not fetch.wanted:
                self._end(fetch)
            elif fetch.untried:
                self._queue(fetch)
            else:
                self._end(fetch)
                settled.failed.append(fetch)
        return settled

    def ask(self) -> None:
        """Ask idle peers for what is queued. Called at the end of each event, so that requests are large."""
        peers = self._state.peers
        for holder in [holder for holder, peer in peers.items() if not peer.asked]:
            peer = peers[holder]
            if not peer.queued:
                del peers[holder]
                continue
            size = 0
            for fetch in list(peer.queued):
                if fetch.key in peer.asked:  # a detached one and its successor: one after the other
                    continue
                size += fetch.nbytes
                if peer.asked and size > REQUEST_BYTES:
                    break
                del peer.queued[fetch]
                peer.asked[fetch.key] = fetch
                fetch.asked = True
            self._batches.command(Fetch(holder, list(peer.asked)))

    def _queue(self, fetch: KeyFetch) -> None:
        peers = self._state.peers
        holder = min(fetch.untried, key=self._load)
        fetch.untried.remove(holder)
        fetch.holder = holder
        peers.setdefault(holder, Peer()).queued[fetch] = None

    def _load(self, holder: Address) -> int:
        peer = self._state.peers.get(holder)
        return len(peer.asked) + len(peer.queued) if peer else 0

    def _leave_queue(self, fetch: KeyFetch) -> None:
        del self._state.peers[fetch.holder].queued[fetch]

    def _cancel_unwanted(self, fetch: KeyFetch) -> None:
        if not fetch.wanted and not fetch.asked:
            self._leave_queue(fetch)
            self._end(fetch)

    def _end(self, fetch: KeyFetch) -> None:
        if not fetch.detached:
            del self._state.fetches[fetch.key]
