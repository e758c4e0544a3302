"""A future: the handle to one result."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context, copy_context
from types import TracebackType
from typing import TYPE_CHECKING, Any

from nbcluster.client.short_tracebacks import shortened
from nbcluster.client.states import CANCELLED, FINISHED, PENDING, FutureState
from nbcluster.markup import escape
from nbcluster.protocol.serialize import are_noted, reduce_future
from nbcluster.protocol.typenames import find_type
from nbcluster.types import Key

if TYPE_CHECKING:
    from nbcluster.client.client import Client

_callbacks: ThreadPoolExecutor | None = None
_callbacks_lock = threading.Lock()
_callbacks_due: dict[int, tuple[Callable[[Future], Any], Future]] = {}


class Future:
    """A result that is being computed on the cluster, or is there already.

    The result stays on the cluster as long as a future for it lives. Pass futures as arguments to other
    tasks: the data goes from worker to worker, not through this process.

    Example:
        >>> future = client.submit(sum, [1, 2, 3])
        >>> future.result()
        6
    """

    __slots__ = ("__weakref__", "_client", "_context", "_state")

    __dask_future__ = True
    """Dask takes it for a task that is in the graph already."""

    def __init__(self, key: Key | Future, client: Client | None = None) -> None:
        from nbcluster.client.defaults import check_client, default_client

        if isinstance(key, Future):
            client, state = key._client, key._state
        else:
            client = default_client(None if client is None else check_client("client", client))
            context = copy_context()
            state = client._want(key, context)
        self._client: Client = client
        self._state: FutureState = state
        self._context: Context | None = state.context
        """Held here for the state; see there."""

    @classmethod
    def _of(cls, state: FutureState, client: Client) -> Future:
        [future] = cls._of_all((state,), client)
        return future

    @classmethod
    def _of_all(cls, states: Iterable[FutureState], client: Client) -> list[Future]:
        futures = []
        new, origin, context = cls.__new__, None, None
        for state in states:
            if state.origin is not origin:  # most have the same
                origin, context = state.origin, state.context
            future = new(cls)
            future._client = client
            future._state = state
            future._context = context
            futures.append(future)
        return futures

    # --- what is known ---

    @property
    def key(self) -> Key:
        """Its name on the cluster."""
        return self._state.key

    @property
    def client(self) -> Client:
        """The client it belongs to."""
        return self._client

    @property
    def status(self) -> str:
        """``"pending"``, ``"finished"``, ``"error"`` or ``"cancelled"``."""
        return self._state.status

    @property
    def executor(self) -> Client:
        """The client, by another name."""
        return self._client

    @property
    def type(self) -> type | None:
        """The result's type, once it is there; None also if its class cannot be found in this process."""
        return find_type(self._state.type_name) if self._state.type_name else None

    def done(self) -> bool:
        """True if it is not pending: there is a result, an error, or it was cancelled."""
        return self._state.status != PENDING

    def cancelled(self) -> bool:
        """True if it was cancelled."""
        return self._state.status == CANCELLED

    # --- results ---

    def result(self, timeout: float | str | None = None) -> Any:
        """Wait for the result and return it.

        Args:
            timeout: seconds to wait (or ``"500 ms"``); None waits for ever.

        Raises:
            TimeoutError: it is not there yet.
            FutureCancelledError: it was cancelled; says by whom and why.
            KilledWorker: workers died while they ran it.
            Exception: what the task raised, with the remote traceback.
        """
        try:
            return self._client._result(self, timeout)
        except Exception as error:
            raise shortened(error)  # noqa: B904 (it is the same)

    def exception(self, timeout: float | str | None = None) -> Any:
        """Wait until it is done; return what the task raised, or None."""
        return self._client._when_done(self, timeout, self._state.exception)

    def traceback(self, timeout: float | str | None = None) -> Any:
        """Wait until it is done; return the remote traceback of what the task raised, or None."""
        return self._client._when_done(self, timeout, self._traceback)

    def _traceback(self) -> TracebackType | None:
        error = self._state.exception()
        return None if error is None else error.__traceback__

    def __await__(self) -> Generator[Any, None, Any]:
        return self._client._await_result(self).__await__()

    def add_done_callback(self, fn: Callable[[Future], Any]) -> None:
        """Call ``fn(self)`` once it is done, in a thread of its own (one for all callbacks).

        Until then the future is kept, even if nobody else holds it.
        """
        if not callable(fn):
            raise TypeError(f"fn={fn!r} cannot be called; give a function of one argument, the future")
        callback = (fn, self)
        _callbacks_due[id(callback)] = callback

        def due(_state: FutureState) -> None:
            del _callbacks_due[id(callback)]
            _callback_thread().submit(_call, *callback)

        self._client._call_on_loop(self._state.when_done, due)

    # --- control ---

    def cancel(self, reason: str | None = None, msg: str | None = None, *, force: bool = False) -> Any:
        """Cancel it, and what depends on it."""
        return self._client.cancel([self], reason=reason, msg=msg, force=force)

    def retry(self) -> Any:
        """Run it again, if it erred."""
        return self._client.retry([self])

    def bind_client(self, client: Client) -> None:
        """Make it a future of another client, for the same key."""
        from nbcluster.client.defaults import check_client

        check_client("client", client)
        self._context = copy_context()
        self._client, self._state = client, client._want(self.key, self._context)

    def release(self) -> None:
        """Let go of the result before this object dies; the future is of no use afterwards."""
        key = self._state.key
        self._state = FutureState(key)
        self._state.cancel("released", "This future was released.")
        self._context = None

    # --- the object ---

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        if self._state.status == PENDING and not are_noted():
            self._client._make_known()
        return reduce_future(self)

    def __dask_tokenize__(self) -> tuple[str, Key]:
        return type(self).__name__, self.key

    def __repr__(self) -> str:
        name = self._state.type_name
        kind = f" type: {name}," if name and self._state.status == FINISHED else ""
        return f"<Future: {self.status},{kind} key: {self.key}>"

    def _repr_html_(self) -> str:
        name = self._state.type_name
        kind = f", <b>type:</b> {escape(name)}" if name else ""
        return f"<b>Future: {escape(self.key)}</b> <b>status:</b> {self.status}{kind}"


def _callback_thread() -> ThreadPoolExecutor:
    global _callbacks
    with _callbacks_lock:
        if _callbacks is None:
            _callbacks = ThreadPoolExecutor(1, thread_name_prefix="nbcluster-callbacks")
        return _callbacks


def _call(fn: Callable[[Future], Any], future: Future) -> None:
    try:
        fn(future)
    except Exception:
        import logging

        logging.getLogger("nbcluster.client").exception("A done-callback of %s failed", future.key)
