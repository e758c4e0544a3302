"""Submitting calls: each becomes a task, and the caller gets a future; and taking them back."""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import islice
from queue import Queue
from typing import Any

from nbcluster.arguments import check_flag, check_key, check_optional_flag, check_several, check_text, check_whole
from nbcluster.client import others, submission
from nbcluster.client.annotating import Annotated, in_force
from nbcluster.client.connected import ConnectedClient, nothing
from nbcluster.client.future import Future
from nbcluster.client.gathering import futures_in
from nbcluster.client.generations import following
from nbcluster.client.states import ERROR, FutureState
from nbcluster.garbage import collector_paused
from nbcluster.protocol.messages import CancelKeys, Line, TaskOptions, WantKeys
from nbcluster.types import Key
from nbcluster.units import parse_seconds

_PAUSED = 16
"""Messages of a ``map`` for which Python's garbage collector pauses, one pause for all of them."""


class SubmittingClient(ConnectedClient):
    """Turns calls into tasks."""

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
        actor: bool = False,
        actors: bool = False,
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
            fifo_timeout: a task that needs others takes their place in line if it is submitted so soon after them: so
                each chain of tasks is finished before the next begins. Otherwise tasks of equal priority run first in,
                first out.
            allow_other_workers: ``workers`` is a preference, not a condition.
            actor: what ``func``, a class, makes stays on its worker; the result is an ``Actor``, whose methods can be
                called. Each call makes another one, whatever ``pure`` says.
            actors: the same.
            pure: the same call gives the same future and runs once. False: run it each time.
            kwargs: its keyword arguments.

        What ``dask.annotate`` says where it is called holds too, but for what these say.

        Raises:
            TypeError: ``func`` cannot be called, or an option has the wrong type.
            SerializationError: something cannot be pickled; ``path`` says what.

        Example:
            >>> total = client.submit(sum, [1, 2, 3])
            >>> client.submit(lambda x: x + 1, total).result()
            7
        """
        options = submission.options(workers, allow_other_workers, resources, retries, priority, actor, actors)
        interval = parse_seconds(fifo_timeout, "fifo_timeout")
        if key is not None:
            check_key("key", key)
        said = in_force()
        annotated = Annotated(options, said) if said else None
        if annotated is not None:
            options = annotated.options
        foreign: list[Future] = []
        batch = self._batch(func, options, pure, foreign)
        name = batch.add(args, kwargs, key)
        if annotated is not None:
            batch.options = annotated.of(name)
        message = batch.message(self._line(interval))
        context = contextvars.copy_context()
        [state] = self._session.wants.add([name], context, message, self._cell())
        if foreign:
            others.hold(self, foreign)
        return Future._of(state, self._this)

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
        actor: bool = False,
        actors: bool = False,
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
        options = submission.options(workers, allow_other_workers, resources, retries, priority, actor, actors)
        interval = parse_seconds(fifo_timeout, "fifo_timeout")
        _check_iterables(iterables)
        most = submission.MAP_BATCH if batch_size is None else check_whole("batch_size", batch_size, least=1)
        size = submission.FIRST_BATCH if batch_size is None else most
        annotated = Annotated(options, in_force())
        if annotated.differ:
            size = most = 1  # tasks of one message have the same options
        foreign: list[Future] = []
        batch = self._batch(func, annotated.options, pure, foreign)
        keys: Iterator[Key] | None = None
        if isinstance(key, str):
            batch.name = check_key("key", key)
        elif key is not None:
            keys = iter(check_several("key", key, "keys, one for each task"))
        context = contextvars.copy_context()
        line = self._line(interval)
        futures: list[Future] = []
        calls, full = zip(*iterables, strict=False), True
        while full:
            with collector_paused():
                for _ in range(_PAUSED):
                    _add_all(batch, islice(calls, size), kwargs, keys, annotated)
                    full = len(batch.keys) == size
                    if batch.keys:
                        more = full and size >= submission.FIRST_BATCH  # smaller ones wait, and leave together
                        futures += self._submit_batch(batch, context, line, more)
                        line = following(line)
                        size = min(2 * size, most)
                    if not full:
                        break
        if foreign:
            others.hold(self, foreign)
        return futures

    def _batch(
        self, func: Callable[..., Any], options: TaskOptions, pure: bool, foreign: list[Future]
    ) -> submission.Batch:
        """For calls of a function. Futures of other clients among their arguments are added to ``foreign``."""
        named_by_call = check_flag("pure", pure) and not options.actor
        return submission.Batch(func, options, named_by_call, self._session.share, partial(self._admit, foreign))

    def _admit(self, foreign: list[Future], future: Any) -> None:
        """A future is to be an argument. Those of other clients are noted: they must not die before we are heard.

        Raises:
            ValueError: it is of another cluster.
            FutureCancelledError: it was cancelled or released, and will have no result.
        """
        if not isinstance(future, Future):  # an actor: it is where it is
            return
        self._check_cluster(future, "pass its result on instead: future.result()")
        error = future._state.exception() if future.cancelled() else None
        if error is not None:
            raise error
        if future.client is not self:
            others.submit_after(self, future.client)
            foreign.append(future)

    def _check_cluster(self, future: Future, instead: str) -> None:
        theirs = future.client
        if theirs is not self and theirs._welcome.cluster_id != self._welcome.cluster_id:
            raise ValueError(f"{future!r} belongs to another cluster ({theirs!r}); {instead}")

    def _submit_batch(
        self, batch: submission.Batch, context: contextvars.Context, line: Line, more: bool = False
    ) -> list[Future]:
        message = batch.message(line)
        return self._futures(self._session.wants.add(message.keys, context, message, self._cell(), more))

    def _want(self, key: Key, context: contextvars.Context) -> FutureState:
        check_key("key", key)
        [state] = self._session.wants.add([key], context, WantKeys([key]))
        return state

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
        check_optional_flag("asynchronous", asynchronous)
        check_flag("force", force)
        for name, value in (("reason", reason), ("msg", msg)):
            if value is not None:
                check_text(name, value)
        found = futures_in("futures", futures)
        for future in found:
            self._check_cluster(future, "cancel it by that client, or by future.cancel()")
        text = msg or f"Cancelled by {self.name or 'its client'} (client.cancel or future.cancel)."
        self._cancel_soon(found, reason or "cancelled", text, force)
        if not (self.asynchronous or asynchronous) and self._loop_thread.is_current:
            return None
        return self._sync(nothing, asynchronous=asynchronous)  # by then they say that they are cancelled

    def _cancel_soon(self, futures: Iterable[Future], reason: str, msg: str, force: bool = False) -> None:
        """Cancel futures, from any thread, and wait for nothing."""
        self._session.wants.cancel(CancelKeys([future.key for future in futures], reason, msg, force))

    def retry(self, futures: Any, asynchronous: bool | None = None) -> Any:
        """Run erred futures again."""
        check_optional_flag("asynchronous", asynchronous)
        found = futures_in("futures", futures)
        for future in found:
            self._check_cluster(future, "retry it by that client, or by future.retry()")
        found = [future for future in found if future.status == ERROR]
        self._session.wants.retry([future._state for future in found])
        if not (self.asynchronous or asynchronous) and self._loop_thread.is_current:
            return None
        return self._sync(nothing, asynchronous=asynchronous)  # by then they are pending


def _check_iterables(iterables: tuple[Any, ...]) -> None:
    if not iterables:
        raise TypeError("map() needs at least one iterable after the function")
    for one in iterables:
        if isinstance(one, (Iterator, Queue)):
            raise TypeError(f"map() does not take iterators or queues ({one!r}); give a list of the elements")
        if isinstance(one, Future):
            raise TypeError(f"map() takes lists after the function, and {one!r} may become one: give its result()")
        if not isinstance(one, Iterable) and not hasattr(type(one), "__getitem__"):
            raise TypeError(f"map() takes lists or the like after the function, and {one!r} has no elements")


def _add_all(
    batch: submission.Batch,
    calls: Iterable[tuple[Any, ...]],
    kwargs: Mapping[str, Any],
    keys: Iterator[Key] | None,
    annotated: Annotated,
) -> None:
    for args in calls:
        name = batch.add(args, kwargs, None if keys is None else _next_key(keys))
        if annotated.differ:
            batch.options = annotated.of(name)


def _next_key(keys: Iterator[Key]) -> Key:
    try:
        key = next(keys)
    except StopIteration:
        raise ValueError("map() got fewer keys than elements; give one key for each element") from None
    return check_key("key", key)
