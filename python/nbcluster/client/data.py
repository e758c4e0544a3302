"""Data: results of futures to here, and data from here to the workers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from queue import Queue
from typing import Any

from nbcluster.arguments import check_choice, check_flag, check_key, check_optional_flag
from nbcluster.client import submission
from nbcluster.client.connected import seconds_or_none
from nbcluster.client.explaining import ExplainingClient
from nbcluster.client.future import Future
from nbcluster.client.gathering import futures_within, replace_futures
from nbcluster.client.large_arguments import LargeArguments
from nbcluster.client.loaded_ahead import LoadedAhead
from nbcluster.client.short_tracebacks import shortened
from nbcluster.client.states import CANCELLED, ERROR, FINISHED, PENDING, FutureState
from nbcluster.deadlines import within
from nbcluster.errors import SerializationError, SharedDataGoneError, TimeoutError
from nbcluster.protocol.messages import DataItem, Scatter
from nbcluster.protocol.payload import Payload
from nbcluster.protocol.serialize import detach, dump, load, sizeof
from nbcluster.protocol.typenames import type_name
from nbcluster.types import Key
from nbcluster.units import parse_seconds


class DataClient(ExplainingClient):
    """Brings data from the cluster, and to it."""

    # --- from the cluster ---

    def gather(
        self,
        futures: Any,
        errors: str = "raise",
        direct: bool | None = None,
        asynchronous: bool | None = None,
    ) -> Any:
        """Wait for futures and return their results.

        Args:
            futures: a future, or lists, tuples, sets and dicts with futures in them, nested at will; or an iterator
                over such things.
            errors: ``"raise"`` raises the first error as soon as it is known; ``"skip"`` leaves what erred out
                of a list, and has None for it anywhere else.
            direct: accepted for compatibility: data takes the shortest way there is, whatever this says.
            asynchronous: True returns something to be awaited, on any event loop.

        Returns:
            The same structure, with results in place of futures. For an iterator: another one, which waits for each
            when it is asked for it.
        """
        check_optional_flag("direct", direct)
        check_optional_flag("asynchronous", asynchronous)
        check_choice("errors", errors, "raise", "skip")
        if isinstance(futures, Queue):
            raise TypeError(f"gather() does not take queues ({futures!r}); gather a list of what is in it")
        if isinstance(futures, Iterator):
            return (self.gather(one, errors, direct, asynchronous) for one in futures)
        try:
            return self._gather(futures, errors, asynchronous)
        except Exception as error:
            raise shortened(error)  # noqa: B904 (it is the same)

    def _gather(self, futures: Any, errors: str, asynchronous: bool | None) -> Any:
        found = futures_within(futures)
        states = self._states(found)
        is_plain = type(futures) is list and len(states) == len(found) and found == futures
        ahead = LoadedAhead(states)
        stop_early = errors == "raise"

        def finish(payloads: Mapping[Key, Payload]) -> Any:
            rest = ahead.rest
            there = [state for state in rest if state.key in payloads]
            if stop_early and len(there) < len(rest):
                for state in states:
                    if state.status in (ERROR, CANCELLED):
                        raise state.exception() or RuntimeError(state.key)
            values = ahead.values + [load(payloads[state.key]) for state in there]
            if is_plain:
                return values
            loaded = states[: len(ahead.values)]
            return replace_futures(futures, {s.key: value for s, value in zip(loaded + there, values, strict=True)})

        if self.asynchronous or asynchronous:
            return self._sync(self._collect, states, stop_early, then=finish, asynchronous=asynchronous)
        if any(state.status == PENDING for state in reversed(states)):  # most often the last one is
            self._sync(self._wait_loading, states, stop_early, ahead, meanwhile=ahead.load)
        elif stop_early and any(state.status != FINISHED for state in states):
            ahead.end()
        ahead.load()
        ready = _payloads_at_hand(ahead.rest)
        if ready is not None:
            with contextlib.suppress(SharedDataGoneError):  # then `collect` asks where it is by now
                return finish(ready)
        return self._sync(self._collect, ahead.rest, stop_early, then=finish)

    async def _wait_loading(
        self,
        states: Collection[FutureState],
        stop_early: bool,
        ahead: LoadedAhead,
        nudge: Callable[[], object] | None = None,
    ) -> None:
        """Wait until all are done, and the caller loads what is; or until one has failed, which is to be known."""
        session = self._session
        if session.connection.in_process:
            nudge = None  # the scheduler would only wait meanwhile: it wants the same interpreter lock
        if not await session.wait(states, stop_early=stop_early, nudge=nudge):
            ahead.end()

    async def _collect(self, states: Collection[FutureState], stop_early: bool) -> dict[Key, Payload]:
        return await self._session.results.collect(states, stop_early=stop_early)

    def _states(self, futures: list[Future]) -> list[FutureState]:
        """The states of this client's futures, each once."""
        this = self._this
        states = [future._state for future in futures if future._client is this]
        if len(states) < len(futures):
            self._check_mine(futures)
            states = [future._state for future in futures]
        return states if len(set(states)) == len(states) else list(dict.fromkeys(states))

    def _check_mine(self, futures: Iterable[Future]) -> None:
        for future in futures:
            other = future.client
            if other._session is self._session:
                continue
            if other._of_tasks and other._welcome.cluster_id == self._welcome.cluster_id:
                future.bind_client(self._this)  # a task that ran in this process has returned it
            else:
                raise ValueError(f"{future!r} belongs to another client ({future.client!r}); gather it there")

    def _result(self, future: Future, timeout: float | str | None) -> Any:
        state = future._state
        seconds = seconds_or_none(timeout)

        def finish(payloads: Mapping[Key, Payload]) -> Any:
            payload = payloads.get(state.key)
            if payload is not None:
                return load(payload)
            raise state.exception() or RuntimeError(f"{state.key} is {state.status}")

        if not self.asynchronous:
            ready = _payloads_at_hand((state,))
            if ready is not None:
                with contextlib.suppress(SharedDataGoneError):  # then `collect` asks where it is by now
                    return finish(ready)
        if not self.asynchronous and not self._loop_thread.is_current:
            try:
                done = self._wait_for_one(state, seconds)
            except KeyboardInterrupt:
                self._interrupted()
                raise
            if not done:
                why = self._why_late_in_thread((state,))
                raise _late(state, seconds, why)
            ready = _payloads_at_hand((state,))
            if ready is not None:
                with contextlib.suppress(SharedDataGoneError):  # then `collect` asks where it is by now
                    return finish(ready)
        if self.asynchronous and seconds is not None:
            return self._sync(self._collect_in_time, state, seconds, then=finish)
        return self._sync(self._collect, (state,), True, then=finish, timeout=seconds)

    async def _collect_in_time(self, state: FutureState, seconds: float) -> dict[Key, Payload]:
        try:
            return await within(self._collect((state,), True), seconds)
        except asyncio.TimeoutError:
            raise _late(state, seconds, await self._why_late((state,))) from None

    def _result_in_thread(self, future: Future) -> Any:
        """The result of a future that is done; in a thread, also of an asynchronous client's."""
        if not self.asynchronous:
            return future.result()
        return asyncio.run_coroutine_threadsafe(self._await_result(future), self._session.wants.loop).result()

    async def _await_result(self, future: Future) -> Any:
        state = future._state
        payloads = await self._collect_here((state,))
        if state.key in payloads:
            return load(payloads[state.key])
        raise state.exception() or RuntimeError(f"{state.key} is {state.status}")

    async def _collect_here(self, states: Collection[FutureState]) -> dict[Key, Payload]:
        """Collect from whichever loop the caller runs on."""
        if self.asynchronous:
            return await self._collect(states, True)
        on_loop = asyncio.run_coroutine_threadsafe(self._collect(states, True), self._loop_thread.loop)
        return await asyncio.wrap_future(on_loop)

    def _when_done(self, future: Future, timeout: float | str | None, then: Callable[[], Any]) -> Any:
        seconds = seconds_or_none(timeout)
        if future.done() and not self.asynchronous:
            return then()
        return self._sync(self._done_in_time, future._state, seconds, then=lambda _: then())

    async def _done_in_time(self, state: FutureState, seconds: float | None) -> None:
        try:
            await within(self._wait_for((state,)), seconds)
        except asyncio.TimeoutError:
            raise _late(state, seconds, await self._why_late((state,))) from None

    async def _wait_for(
        self, states: Collection[FutureState], enough: int | None = None, stop_early: bool = False
    ) -> None:
        await self._session.wait(states, enough=enough, stop_early=stop_early)

    # --- to the cluster ---

    def scatter(
        self,
        data: Any,
        workers: object = None,
        broadcast: bool = False,
        direct: bool | None = None,
        hash: bool = True,
        timeout: float | str = 30,
        asynchronous: bool | None = None,
    ) -> Any:
        """Put data on the workers once, to be used by many tasks.

        Args:
            data: a list, tuple, set, range or dict scatters its elements; anything else is one piece.
            workers: names or addresses of the workers to hold it.
            broadcast: put it on every worker.
            direct: accepted for compatibility: data takes the shortest way there is, whatever this says.
            hash: name it by its content, so that equal data is held once. False: a new name each time.
            timeout: seconds to wait for workers.
            asynchronous: True returns something to be awaited, on any event loop.

        Returns:
            Futures in the same structure.

        Example:
            >>> table = client.scatter([[1, 2], [3, 4]])
            >>> client.gather(client.map(sum, table))
            [3, 7]
        """
        names = submission.options(workers=workers).workers
        seconds = parse_seconds(timeout, "timeout")
        for flag, value in (("direct", direct), ("asynchronous", asynchronous)):
            check_optional_flag(flag, value)
        for flag, value in (("broadcast", broadcast), ("hash", hash)):
            check_flag(flag, value)
        if isinstance(data, (Iterator, Queue)):
            raise TypeError(f"scatter() does not take iterators or queues ({data!r}); give a list of the elements")
        if isinstance(data, range):
            data = list(data)
        many = isinstance(data, (list, tuple, set, frozenset, dict))
        values = list(data.values() if isinstance(data, dict) else data) if many else [data]
        items = [self._data_item(value, hash) for value in values]
        if isinstance(data, dict):
            items = [
                DataItem(
                    check_key("a key of data", key) if isinstance(key, str) else item.key,
                    item.payload,
                    item.nbytes,
                    item.type_name,
                )
                for key, item in zip(data, items, strict=True)
            ]
        message = Scatter(items, names, broadcast)
        states = self._session.wants.add([item.key for item in items], None, message, self._cell())
        futures = self._futures(states)

        def finish(_: None) -> Any:
            if isinstance(data, dict):
                return dict(zip(data, futures, strict=True))
            return type(data)(futures) if many else futures[0]

        async def arrive() -> None:
            try:
                await within(self._session.wait(states), seconds)
            except asyncio.TimeoutError:
                which = "worker" if names is None else f"of workers={workers!r}"
                raise TimeoutError(
                    f"no {which} took the scattered data within {seconds:g} s; "
                    "are there workers? See client.cluster, or client.wait_for_workers()"
                ) from None

        return self._sync(arrive, then=finish, asynchronous=asynchronous)

    def _data_item(self, value: Any, by_content: bool) -> DataItem:
        name, kind = type(value).__name__, type_name(type(value))
        live = self._welcome.live and self._session.connection.in_process
        if live:
            return DataItem(f"{name}-{_live_token(value, by_content)}", Payload.of_live(value), sizeof(value), kind)
        payload = dump(value, "data")
        if payload.frames:  # detached before they are named: so each is read once
            share = self._session.share
            frames = detach(payload.frames, LargeArguments(share, named=by_content).share if share else None)
            payload = Payload(payload.data, tuple(frames))
        token = submission.content_token(payload) if by_content else submission.unique_token()
        return DataItem(f"{name}-{token}", payload, sizeof(value), kind)


def _live_token(value: Any, by_content: bool) -> str:
    """What names data that is handed on as it is: its content, unless that cannot be pickled."""
    if by_content:
        try:
            return submission.content_token(dump(value, "data"))
        except SerializationError:
            pass  # it need not be: it stays in this process
    return submission.unique_token()


def _payloads_at_hand(states: Collection[FutureState]) -> dict[Key, Payload] | None:
    """The payloads of all these states if nothing has to be waited for or fetched, else None."""
    payloads = {}
    for state in states:
        if state.status == PENDING:
            return None
        if state.status == FINISHED:
            payload = state.payload
            if payload is None:
                return None
            payloads[state.key] = payload
    return payloads


def _late(state: FutureState, seconds: float | None, why: str) -> TimeoutError:
    return TimeoutError(f"{state.key} was not done after {seconds:g} s; it is still {state.status}{why}")
