"""The client: submit work to a cluster, and get results back.

One implementation, asynchronous, on an event loop; in synchronous use that loop runs in a background thread
and each method waits for its coroutine. What pickles or unpickles does so in the caller's thread, not on the
loop.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import uuid
import weakref
from collections.abc import Callable, Collection, Coroutine, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from html import escape
from queue import Queue
from types import TracebackType
from typing import Any, TypeVar

from nbcluster.client import defaults, submission
from nbcluster.client.cells import cells_of
from nbcluster.client.future import Future
from nbcluster.client.gathering import find_futures, replace_futures
from nbcluster.client.session import Session
from nbcluster.client.states import CANCELLED, ERROR, FINISHED, PENDING, FutureState
from nbcluster.client.target import ClusterLike, Target, of_address, of_cluster
from nbcluster.comm.loop import LoopThread, background, before_exit
from nbcluster.comm.peers import PeerPool
from nbcluster.comm.transports import connect
from nbcluster.commands import Close, GetView, View
from nbcluster.errors import ClosedClientError, TimeoutError, WorkerStartTimeoutError
from nbcluster.protocol.messages import CancelKeys, DataItem, Scatter, ToClient, WantKeys
from nbcluster.protocol.payload import Payload
from nbcluster.protocol.serialize import dump, load, set_future_factory, sizeof
from nbcluster.protocol.typenames import type_name
from nbcluster.snapshot import ClusterView
from nbcluster.types import Key, Role, Status
from nbcluster.units import format_bytes, parse_seconds

T = TypeVar("T")

_open: weakref.WeakSet[Client] = weakref.WeakSet()


class Client:
    """Connects to a cluster, submits functions to it and gathers their results.

    Without an address it starts a cluster on this machine (in a notebook: attaches to the one that the
    Jupyter server keeps for it), and passes all other keywords on to ``LocalCluster``. It becomes the default
    client.

    Args:
        address: a scheduler's address, e.g. ``"tcp://127.0.0.1:8786"``, or a cluster object.
        timeout: seconds to wait for the connection.
        set_as_default: make this the client that is used where none is named.
        asynchronous: use it with ``await``, on the running event loop.
        name: shows up in logs.
        cancel_on_interrupt: cancel what a cell has submitted and is pending when the cell is interrupted while it
            waits. By default in notebooks only; in a script, True means all that is pending.
        kwargs: for ``LocalCluster``; not allowed together with an address.

    Raises:
        ValueError: keywords together with an address.
        TypeError: ``address`` is neither an address nor a cluster.
        CommError: nobody answers there; says what to check.

    Example:
        >>> client = Client(n_workers=2, threads_per_worker=1)
        >>> client.submit(pow, 2, 10).result()
        1024
        >>> client.close()
    """

    def __init__(
        self,
        address: str | ClusterLike | None = None,
        loop: Any = None,
        timeout: float | str | None = 30,
        set_as_default: bool = True,
        *,
        asynchronous: bool = False,
        name: str | None = None,
        cancel_on_interrupt: bool | None = None,
        **kwargs: Any,
    ) -> None:
        if timeout is None:
            raise ValueError("timeout=None is not allowed for a client; give a number of seconds")
        if address is not None and kwargs:
            raise ValueError(f"Unexpected keyword arguments: {sorted(kwargs)}")
        if address is not None and not isinstance(address, (str, ClusterLike)):
            raise TypeError(
                f"address={address!r} is neither an address like 'tcp://127.0.0.1:8786' nor a cluster object"
            )
        self.id = f"Client-{name or 'nbcluster'}-{uuid.uuid4()}"
        self.name = name
        self.status = "connecting"
        self.asynchronous = asynchronous
        self.cluster: Any = None
        self._timeout = parse_seconds(timeout, "timeout")
        self._address = address
        self._cluster_kwargs = kwargs
        self._set_as_default = set_as_default
        self._loop_thread = background()
        self._cells = cells_of(cancel_on_interrupt)
        if self._cells is not None:
            self._cells.watch(self)
        self._session: Session
        self._owns_cluster = False
        if not asynchronous:
            self._loop_thread.start()
            try:
                target = self._target()
                self._loop_thread.sync(self._start, target)
            except BaseException:
                self.status = "closed"
                self._leave_loop_thread()
                raise

    # --- life ---

    def _target(self) -> Target:
        if isinstance(self._address, str):
            return of_address(self._address)
        if self._address is not None:
            return of_cluster(self._address, owned=False)
        from nbcluster.cluster.local import LocalCluster

        return of_cluster(LocalCluster(**self._cluster_kwargs), owned=True)

    async def _target_async(self) -> Target:
        if self._address is None:
            from nbcluster.cluster.local import LocalCluster

            cluster = await LocalCluster(asynchronous=True, **self._cluster_kwargs)
            return of_cluster(cluster, owned=True)
        if inspect.isawaitable(self._address) and getattr(self._address, "status", "") == Status.CREATED:
            await self._address  # a cluster that was not awaited yet starts now
        return self._target()

    async def _start(self, target: Target) -> None:
        self.cluster = target.cluster
        self._owns_cluster = target.owned
        try:
            connection = await connect(
                target.address,
                role=Role.CLIENT,
                token=target.token,
                incoming=ToClient,
                timeout=self._timeout,
            )
            self._session = Session(connection, PeerPool(target.token))
            self._welcome = await self._session.start(self._timeout)
            await self._session.subscribe(1.0)
        except BaseException:
            if target.owned:
                await target.cluster._detach()
            raise
        self.status = "running"
        if not self.asynchronous:
            _open.add(self)
        if self._set_as_default:
            defaults.push(self)

    async def _close(self) -> None:
        if self.status == "closed":
            return
        self.status = "closed"
        defaults.remove(self)
        await self._session.close("the client was closed")
        if self._owns_cluster:
            await self.cluster._detach()

    def close(self, timeout: float | str | None = None) -> Any:
        """Release all futures and disconnect; a cluster that this client made is closed too. Idempotent."""
        if self.asynchronous:
            return self._close()
        if self.status == "closed":
            return None
        try:
            self._loop_thread.sync(self._close, timeout=_seconds(timeout))
        finally:
            self._leave_loop_thread()
        return None

    def _leave_loop_thread(self) -> None:
        """Be no user of the background loop any more, nor the cluster if it was closed along with this client."""
        leave: Callable[[], None] | None = getattr(self.cluster, "_leave_loop_thread", None)
        if leave is not None:
            leave()
        self._loop_thread.stop()

    def shutdown(self) -> Any:
        """Close the cluster too, whoever made it."""
        if self.asynchronous:
            return self._shutdown()
        if self.status == "closed":
            if self.cluster is not None:
                self.cluster.close()
            return None
        try:
            self._loop_thread.sync(self._shutdown)
        finally:
            self._leave_loop_thread()
        return None

    async def _shutdown(self) -> None:
        if self.cluster is None:
            await self._session.call(Close(reason="a client asked for it"))
        else:
            self._owns_cluster = False
            await self.cluster._close()
        await self._close()

    def __enter__(self) -> Client:
        if self.asynchronous:
            raise TypeError("this client is asynchronous; use 'async with', not 'with'")
        self._current = self.as_current()
        self._current.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._current.__exit__(kind, error, tb)
        self.close()

    async def __aenter__(self) -> Client:
        await self
        self._current = self.as_current()
        self._current.__enter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._current.__exit__(kind, error, tb)
        await self._close()

    def __await__(self) -> Any:
        return self._started().__await__()

    async def _started(self) -> Client:
        if self.status == "connecting":
            await self._start(await self._target_async())
        return self

    def __del__(self) -> None:
        if getattr(self, "status", "closed") == "running" and not self.asynchronous:
            loop_thread = self._loop_thread
            if loop_thread.running:
                loop_thread.call_soon(_close_forgotten, self._session, loop_thread)

    # --- which client ---

    @classmethod
    def current(cls, allow_global: bool = True) -> Client:
        """The client that is meant when none is named.

        Raises:
            ValueError: there is none.
        """
        client = defaults.current(allow_global)
        if client is None:
            raise ValueError("No clients found. Start a client first: client = Client()")
        return client

    def as_current(self) -> AbstractContextManager[Client]:
        """Make this the current client in a ``with`` block, in this thread or task only."""
        return defaults.as_current(self)

    # --- running on the loop ---

    def _sync(
        self,
        function: Callable[..., Coroutine[Any, Any, T]],
        *args: Any,
        then: Callable[[T], Any] | None = None,
        timeout: float | None = None,
    ) -> Any:
        """Run a coroutine function on the loop; ``then`` runs in the caller's thread."""
        if self.asynchronous:
            return _then(function(*args), then, timeout)
        if self.status == "closed":
            raise ClosedClientError("This client is closed. Make a new Client().")
        try:
            result = self._loop_thread.sync(function, *args, timeout=timeout)
        except KeyboardInterrupt:
            self._interrupted()
            raise
        return result if then is None else then(result)

    def _cell(self) -> str | None:
        return None if self._cells is None else self._cells.current()

    def _interrupted(self) -> None:
        """The user interrupted this thread while it waited."""
        if self._cells is not None:
            self._cells.interrupted()

    def _cancel_cell(self, cell: str, reason: str, msg: str) -> None:
        if self.status == "running":
            self._session.cancel_cell(cell, reason, msg)

    def _call_on_loop(self, function: Callable[..., object], *args: Any) -> None:
        self._session.on_loop(function, *args)

    # --- submitting ---

    def submit(
        self,
        func: Callable[..., Any],
        *args: Any,
        key: Key | None = None,
        workers: object = None,
        resources: object = None,
        retries: int | None = None,
        priority: int = 0,
        fifo_timeout: float | str = "100 ms",
        allow_other_workers: bool = False,
        pure: bool = True,
        **kwargs: Any,
    ) -> Future:
        """Run ``func(*args, **kwargs)`` on a worker.

        Args:
            func: any function; lambdas and functions of the notebook too.
            args: its arguments. Futures in them (in lists, tuples, sets and dicts too) become their results.
            key: the task's name; by default the function's name and a hash of function and arguments.
            workers: names or addresses of the workers that may run it.
            resources: what it occupies on its worker, e.g. ``{"GPU": 1}``.
            retries: how often to run it again if it raises.
            priority: higher runs first.
            fifo_timeout: accepted for compatibility: tasks of equal priority always run first in, first out.
            allow_other_workers: ``workers`` is a preference, not a condition.
            pure: the same call gives the same future and runs once. False: run it each time.
            kwargs: its keyword arguments.

        Raises:
            TypeError: ``func`` cannot be called, or an option has the wrong type.
            SerializationError: something cannot be pickled; ``path`` says what.

        Example:
            >>> total = client.submit(sum, [1, 2, 3])
            >>> client.submit(lambda x: x + 1, total).result()
            7
        """
        options = submission.options(
            workers=workers,
            allow_other_workers=allow_other_workers,
            resources=resources,
            retries=retries,
            priority=priority,
        )
        parse_seconds(fifo_timeout, "fifo_timeout")
        if key is not None and (not isinstance(key, str) or not key):
            raise TypeError(f"key={key!r} is not a non-empty string")
        batch = submission.Batch(func, options, pure)
        name = batch.add(args, kwargs, key)
        [state] = self._session.add([name], contextvars.copy_context(), batch.message(), self._cell())
        return Future._of(state, self)

    def map(
        self,
        func: Callable[..., Any],
        *iterables: Any,
        key: Key | Iterable[Key] | None = None,
        workers: object = None,
        retries: int | None = None,
        resources: object = None,
        priority: int = 0,
        allow_other_workers: bool = False,
        fifo_timeout: float | str = "100 ms",
        pure: bool = True,
        batch_size: int | None = None,
        **kwargs: Any,
    ) -> list[Future]:
        """Run ``func`` on each element, or on each tuple of elements of several iterables, like ``map``.

        Args:
            func: any function.
            iterables: lists, ranges, arrays…; the shortest one ends it.
            key: a prefix for all keys, or one key for each task.
            batch_size: how many tasks travel in one message.
            kwargs: keyword arguments of every call.

        The other arguments are those of ``submit``.

        Returns:
            A list of futures, in the order of the elements.

        Raises:
            TypeError: an iterator or a queue was given: it could be read only once.

        Example:
            >>> client.gather(client.map(abs, [-1, 2, -3]))
            [1, 2, 3]
        """
        options = submission.options(
            workers=workers,
            allow_other_workers=allow_other_workers,
            resources=resources,
            retries=retries,
            priority=priority,
        )
        parse_seconds(fifo_timeout, "fifo_timeout")
        if not iterables:
            raise TypeError("map() needs at least one iterable after the function")
        for one in iterables:
            if isinstance(one, (Iterator, Queue)):
                raise TypeError(f"map() does not take iterators or queues ({one!r}); give a list of the elements")
        size = submission.MAP_BATCH if batch_size is None else batch_size
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise ValueError(f"batch_size={batch_size!r} is not allowed; give a whole number of at least 1")
        batch = submission.Batch(func, options, pure)
        keys: Iterator[Key] | None = None
        if isinstance(key, str):
            batch.name = key
        elif key is not None:
            keys = iter(key)
        context = contextvars.copy_context()
        futures: list[Future] = []
        for args in zip(*iterables, strict=False):
            batch.add(args, kwargs, None if keys is None else _next_key(keys))
            if len(batch.keys) >= size:
                futures += self._submit_batch(batch, context)
        if batch.keys:
            futures += self._submit_batch(batch, context)
        return futures

    def _submit_batch(self, batch: submission.Batch, context: contextvars.Context) -> list[Future]:
        message = batch.message()
        states = self._session.add(message.keys, context, message, self._cell())
        of = Future._of
        return [of(state, self) for state in states]

    def _want(self, key: Key) -> FutureState:
        [state] = self._session.add([key], contextvars.copy_context(), WantKeys([key]))
        return state

    # --- results ---

    def gather(
        self,
        futures: Any,
        errors: str = "raise",
        direct: bool | None = None,
        asynchronous: bool | None = None,
    ) -> Any:
        """Wait for futures and return their results.

        Args:
            futures: a future, or lists, tuples, sets and dicts with futures in them, nested at will.
            errors: ``"raise"`` raises the first error as soon as it is known; ``"skip"`` leaves out what
            erred. direct: accepted for compatibility: large results always come straight from the workers.

        Returns:
            The same structure, with results in place of futures.
        """
        if errors not in ("raise", "skip"):
            raise ValueError(f"errors={errors!r} is not allowed; give 'raise' or 'skip'")
        if isinstance(futures, Iterator):
            futures = list(futures)
        found = find_futures(futures)
        self._check_mine(found)
        states = [future._state for future in found]

        def finish(payloads: Mapping[Key, Payload]) -> Any:
            if errors == "raise":
                for state in states:
                    if state.status in (ERROR, CANCELLED):
                        raise state.exception() or RuntimeError(state.key)
            return replace_futures(futures, {key: load(payload) for key, payload in payloads.items()})

        if not self.asynchronous:
            ready = _payloads_at_hand(states)
            if ready is not None:
                return finish(ready)
        return self._sync(self._collect, states, errors == "raise", then=finish)

    async def _collect(self, states: Collection[FutureState], stop_early: bool) -> dict[Key, Payload]:
        return await self._session.collect(states, stop_early=stop_early)

    def _check_mine(self, futures: Iterable[Future]) -> None:
        for future in futures:
            if future.client is not self:
                raise ValueError(f"{future!r} belongs to another client ({future.client!r}); gather it there")

    def _result(self, future: Future, timeout: float | str | None) -> Any:
        state = future._state

        def finish(payloads: Mapping[Key, Payload]) -> Any:
            payload = payloads.get(state.key)
            if payload is not None:
                return load(payload)
            raise state.exception() or RuntimeError(f"{state.key} is {state.status}")

        if not self.asynchronous:
            ready = _payloads_at_hand((state,))
            if ready is not None:
                return finish(ready)
        seconds = _seconds(timeout)
        if not self.asynchronous and not self._loop_thread.is_current:
            try:
                done = state.wait_in_thread(seconds)
            except KeyboardInterrupt:
                self._interrupted()
                raise
            if not done:
                raise TimeoutError(f"{state.key} was not done after {seconds:g} s; it is still {state.status}")
            ready = _payloads_at_hand((state,))
            if ready is not None:
                return finish(ready)
        return self._sync(self._collect, (state,), True, then=finish, timeout=seconds)

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
        if future.done() and not self.asynchronous:
            return then()
        return self._sync(self._wait_for, (future._state,), None, then=lambda _: then(), timeout=_seconds(timeout))

    async def _wait_for(
        self, states: Collection[FutureState], enough: int | None = None, stop_early: bool = False
    ) -> None:
        await self._session.wait(states, enough=enough, stop_early=stop_early)

    # --- control ---

    def cancel(
        self,
        futures: Any,
        asynchronous: bool | None = None,
        force: bool = False,
        reason: str | None = None,
        msg: str | None = None,
    ) -> Any:
        """Cancel tasks that have not finished, and forget results; what depends on them is cancelled too.

        Args:
            futures: a future, or containers of futures.
            force: cancel them for other clients as well.
            reason: one word that the resulting ``FutureCancelledError`` carries; default ``"cancelled"``.
            msg: a sentence that it carries; by default it names this client.
        """
        keys = [future.key for future in find_futures(futures)]
        text = msg or f"Cancelled by {self.name or 'its client'} (client.cancel or future.cancel)."
        self._session.cancel(CancelKeys(keys, reason or "cancelled", text, force))
        return _nothing() if self.asynchronous else None

    def retry(self, futures: Any, asynchronous: bool | None = None) -> Any:
        """Run erred futures again."""
        found = [future for future in find_futures(futures) if future.status == ERROR]
        self._session.retry([future._state for future in found])
        return _nothing() if self.asynchronous else None

    # --- data ---

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
            hash: name it by its content, so that equal data is held once. False: a new name each time.
            timeout: seconds to wait for workers.

        Returns:
            Futures in the same structure.

        Example:
            >>> table = client.scatter([[1, 2], [3, 4]])
            >>> client.gather(client.map(sum, table))
            [3, 7]
        """
        names = submission.options(workers=workers).workers
        seconds = parse_seconds(timeout, "timeout")
        if isinstance(data, (Iterator, Queue)):
            raise TypeError(f"scatter() does not take iterators or queues ({data!r}); give a list of the elements")
        if isinstance(data, range):
            data = list(data)
        many = isinstance(data, (list, tuple, set, frozenset, dict))
        values = list(data.values() if isinstance(data, dict) else data) if many else [data]
        items = [self._data_item(value, hash) for value in values]
        if isinstance(data, dict):
            items = [
                DataItem(key if isinstance(key, str) else item.key, item.payload, item.nbytes, item.type_name)
                for key, item in zip(data, items, strict=True)
            ]
        message = Scatter(items, names, broadcast)
        states = self._session.add([item.key for item in items], None, message, self._cell())
        futures = [Future._of(state, self) for state in states]

        def finish(_: None) -> Any:
            if isinstance(data, dict):
                return dict(zip(data, futures, strict=True))
            return type(data)(futures) if many else futures[0]

        async def arrive() -> None:
            try:
                await asyncio.wait_for(self._session.wait(states), seconds)
            except asyncio.TimeoutError:
                raise TimeoutError(
                    f"no worker took the scattered data within {seconds:g} s; "
                    "are there workers? See client.cluster, or client.wait_for_workers()"
                ) from None

        return self._sync(arrive, then=finish)

    def _data_item(self, value: Any, by_content: bool) -> DataItem:
        name, kind = type(value).__name__, type_name(type(value))
        live = self._welcome.live and self._session.connection.in_process
        if live and not by_content:
            key = f"{name}-{submission.unique_token()}"
            return DataItem(key, Payload.of_live(value), sizeof(value), kind)
        payload = dump(value, "data", snapshot=True)
        token = submission.content_token(payload) if by_content else submission.unique_token()
        if live:
            payload = Payload.of_live(value)
        return DataItem(f"{name}-{token}", payload, sizeof(value), kind)

    # --- the cluster ---

    async def _view(self) -> ClusterView:
        answer = await self._session.call(GetView())
        assert isinstance(answer, View)
        return answer.cluster

    def scheduler_info(self, n_workers: int = -1) -> Any:
        """What the scheduler knows of itself and its workers, as plain dicts by worker address."""
        return self._sync(self._view, then=lambda view: info_of_view(view, n_workers))

    def nthreads(self, workers: list[str] | None = None) -> Any:
        """Threads per worker address."""

        def pick(view: ClusterView) -> dict[str, int]:
            return {w.address: w.nthreads for w in view.workers if workers is None or w.address in workers}

        return self._sync(self._view, then=pick)

    ncores = nthreads

    def wait_for_workers(self, n_workers: int, timeout: float | str | None = None) -> Any:
        """Wait until this many workers are there.

        Raises:
            ValueError: ``n_workers`` is not a positive number.
            WorkerStartTimeoutError: they did not arrive in time.
        """
        if isinstance(n_workers, bool) or not isinstance(n_workers, int) or n_workers < 1:
            raise ValueError(f"n_workers={n_workers!r} is not allowed; give a whole number of at least 1")
        return self._sync(self._wait_for_workers, n_workers, _seconds(timeout))

    async def _wait_for_workers(self, n_workers: int, timeout: float | None) -> None:
        loop = asyncio.get_running_loop()
        deadline = None if timeout is None else loop.time() + timeout
        while True:
            view = await self._view()
            there = sum(worker.status == Status.RUNNING for worker in view.workers)
            if there >= n_workers:
                return
            if deadline is not None and loop.time() > deadline:
                raise WorkerStartTimeoutError(there, n_workers, timeout or 0.0)
            await asyncio.sleep(0.02)

    @property
    def dashboard_link(self) -> str:
        """Where the dashboard is."""
        if self.cluster is not None:
            return str(self.cluster.dashboard_link)
        return self._welcome.dashboard_link

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop that the client's network side runs on."""
        return self._session.loop

    # --- how it looks ---

    def __repr__(self) -> str:
        if self.status != "running" or self._session.closed_because:
            return "<Client: No scheduler connected>"
        text = f"<Client: {self._welcome.address!r}"
        view = self._session.view
        if view is not None:
            running = [worker for worker in view.workers if worker.address]
            threads = sum(worker.nthreads for worker in running)
            text += f" processes={len(running)} threads={threads}"
            limits = [worker.memory_limit for worker in running]
            if limits and all(limits):
                text += f", memory={format_bytes(sum(limit or 0 for limit in limits))}"
        return text + ">"

    def _repr_html_(self) -> str:
        return f"<b>Client</b> {escape(repr(self)[1:-1])}"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Any:
        show = getattr(self.cluster, "_repr_mimebundle_", None)
        if show is not None and self.status == "running":
            return show(include, exclude)
        return {"text/plain": repr(self), "text/html": self._repr_html_()}


def _next_key(keys: Iterator[Key]) -> Key:
    try:
        key = next(keys)
    except StopIteration:
        raise ValueError("map() got fewer keys than elements; give one key for each element") from None
    if not isinstance(key, str):
        raise TypeError(f"key {key!r} is not a string")
    return key


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


def _seconds(timeout: float | str | None) -> float | None:
    return None if timeout is None else parse_seconds(timeout, "timeout")


async def _then(coroutine: Coroutine[Any, Any, T], then: Callable[[T], Any] | None, timeout: float | None) -> Any:
    result = await (coroutine if timeout is None else asyncio.wait_for(coroutine, timeout))
    return result if then is None else then(result)


async def _nothing() -> None:
    return None


def info_of_view(view: ClusterView, n_workers: int = -1) -> dict[str, Any]:
    """A cluster's view as the plain dicts of ``scheduler_info``."""
    workers = view.workers if n_workers < 0 else view.workers[:n_workers]
    return {
        "type": "Scheduler",
        "id": view.id,
        "address": view.address,
        "started": view.started,
        "n_workers": len(view.workers),
        "total_threads": sum(worker.nthreads for worker in view.workers),
        "total_memory": sum(worker.memory_limit or 0 for worker in view.workers),
        "workers": {
            worker.address: {
                "type": "Worker",
                "id": worker.name,
                "name": worker.name,
                "nthreads": worker.nthreads,
                "memory_limit": worker.memory_limit,
                "resources": worker.resources,
                "status": str(worker.status),
                "pid": worker.pid,
                "metrics": {
                    "cpu": worker.cpu,
                    "memory": worker.memory,
                    "managed_bytes": worker.stored,
                    "executing": worker.executing,
                },
            }
            for worker in workers
        },
    }


def _close_all() -> None:
    """What a script leaves open is closed when it ends."""
    for client in list(_open):
        try:
            client.close(timeout=10)
        except (RuntimeError, TimeoutError):
            continue  # the interpreter goes down, and the link with it


before_exit(_close_all)


def _close_forgotten(session: Session, loop_thread: LoopThread) -> None:
    session.close_soon("the client was forgotten")
    loop_thread.stop()


def _rebuild_future(key: Key) -> Future:
    return Future(key)


set_future_factory(_rebuild_future)
