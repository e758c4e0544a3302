"""A backend for joblib: what ``Parallel`` calls, scikit-learn's ``n_jobs`` among it, runs on the cluster.

    with joblib.parallel_config("nbcluster"):
        search.fit(X, y)

    Parallel ── batches of calls ──▶ submit ──▶ client.submit(_run_batch, calls)
             ◀── callback(future) ── the client's thread for callbacks

Large arrays among the arguments are shared once for a whole call of ``Parallel``, not once for each batch: as with
joblib's own processes, they must not be changed while it runs.

A call of ``Parallel`` within a batch runs on the cluster too, and has all of its threads: the batch gives up its own
while it waits.
"""

from __future__ import annotations

import traceback
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Final

from joblib.parallel import AutoBatchingMixin, ParallelBackendBase, parallel_config

from nbcluster.client import submission
from nbcluster.client.defaults import check_client, current
from nbcluster.client.future import Future
from nbcluster.errors import TimeoutError
from nbcluster.protocol.serialize import SHARE_MIN
from nbcluster.protocol.sizeof import sizeof
from nbcluster.units import parse_seconds

if TYPE_CHECKING:
    from nbcluster.client.client import Client

OPTIONS = frozenset({"allow_other_workers", "fifo_timeout", "priority", "resources", "retries", "workers"})
"""Keywords of ``client.submit`` that all tasks of a backend can have."""

_LATER: Final = object()
"""Which client it is shows when it is first used: it may never be, and a task's client would be made for nothing."""


class NbclusterBackend(AutoBatchingMixin, ParallelBackendBase):  # type: ignore[misc]
    """Runs joblib's batches as tasks.

    Args:
        client: whose cluster; by default the current client's.
        scatter: a list of objects that are among the arguments of many calls: they are brought to all workers now, and
            not again. Large arrays are shared without being asked for.
        wait_for_workers_timeout: seconds to wait for a first worker, if there is none yet.
        nesting_level: how many calls of ``Parallel`` this one is within.
        submit_kwargs: options of every task, as for ``client.submit``: ``workers``, ``resources``, ``priority``…

    Raises:
        ValueError: there is no client.
        TypeError: ``scatter`` is no list, or there is no such option.

    Example:
        >>> from joblib import Parallel, delayed, parallel_config
        >>> with parallel_config("nbcluster"):
        ...     Parallel()(delayed(pow)(n, 2) for n in range(4))
        [0, 1, 4, 9]
    """

    supports_retrieve_callback = True
    default_n_jobs = -1
    # Tasks are cheap here: small batches keep all workers busy until the end.
    MIN_IDEAL_BATCH_DURATION = 0.05
    MAX_IDEAL_BATCH_DURATION = 0.5

    def __init__(
        self,
        client: Any = None,
        scatter: Any = None,
        wait_for_workers_timeout: float = 10,
        nesting_level: int | None = None,
        **submit_kwargs: Any,
    ) -> None:
        super().__init__(nesting_level=nesting_level)
        unknown = sorted(set(submit_kwargs) - OPTIONS)
        if unknown:
            raise TypeError(
                f"{unknown[0]}={submit_kwargs[unknown[0]]!r} is no option of joblib's backend 'nbcluster'; there are "
                f"client, scatter, wait_for_workers_timeout and, for all tasks, {', '.join(sorted(OPTIONS))}"
            )
        if scatter is not None and not isinstance(scatter, (list, tuple)):
            raise TypeError(f"scatter={scatter!r} is not a list of objects")
        if client is not None and client is not _LATER:
            check_client("client", client)
        options = {name: value for name, value in submit_kwargs.items() if name != "fifo_timeout"}
        submission.options(**options)
        parse_seconds(submit_kwargs.get("fifo_timeout", 0), "fifo_timeout")
        self._client: Client | None = None if client is _LATER else client
        self._wait_for_workers_timeout = parse_seconds(wait_for_workers_timeout, "wait_for_workers_timeout")
        self._submit_kwargs = submit_kwargs
        self._pending: set[Future] = set()
        self._shared: dict[int, tuple[Any, Future]] = {}
        """By id: large arguments, kept as long as their ids are used, and where they are."""
        self._scattered: dict[int, tuple[Any, Future]] = {}
        """The same of what was to be scattered: it is for all calls of ``Parallel``."""
        if client is not _LATER:
            self._client = self.client
        if scatter:
            futures = self.client.scatter(list(scatter), broadcast=True)
            self._scattered = {id(one): (one, future) for one, future in zip(scatter, futures, strict=True)}

    @property
    def client(self) -> Client:
        """The client by which it submits.

        Raises:
            ValueError: there is none, or it is asynchronous.
        """
        client = self._client or current()
        if client is None:
            raise ValueError("joblib's backend 'nbcluster' needs a client; make one first: client = Client()")
        if client.asynchronous:
            raise ValueError("joblib waits for results, which a client with asynchronous=True cannot; make another one")
        self._client = client
        return client

    def get_nested_backend(self) -> tuple[NbclusterBackend, int]:
        """Where calls of ``Parallel`` within a batch run: there too, by the client that the batch finds."""
        return _load(self._wait_for_workers_timeout, self._submit_kwargs), -1

    def retrieval_context(self) -> AbstractContextManager[None]:
        """While joblib waits for results: a task that does so gives its thread to those that it waits for."""
        return self.client._elsewhere_for_a_while()

    def __reduce__(self) -> tuple[Any, ...]:
        return _load, (self._wait_for_workers_timeout, self._submit_kwargs)

    # --- how many at a time ---

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """As many as there are threads, whatever ``n_jobs`` says: workers take what there is."""
        if n_jobs == 0:
            raise ValueError("n_jobs=0 is not allowed; give -1 for all threads of the cluster")
        threads = self._threads()
        if not threads and self._wait_for_workers_timeout:
            self._wait_for_workers()
            threads = self._threads()
        return threads

    def _wait_for_workers(self) -> None:
        """Wait for a task: one that waits is what makes an adaptive cluster grow."""
        probe = self.client.submit(_probe, pure=False, **self._submit_kwargs)
        try:
            probe.result(timeout=self._wait_for_workers_timeout)
        except TimeoutError as error:
            probe.cancel(reason="joblib-aborted", msg="joblib did not wait any longer for a worker.")
            raise TimeoutError(
                f"there was no worker after {self._wait_for_workers_timeout:g} s: start some (cluster.scale), or give "
                f"wait_for_workers_timeout= to parallel_config. {error}"
            ) from error

    def _threads(self) -> int:
        return sum(self.client.nthreads().values())

    def configure(self, n_jobs: int | None = 1, parallel: Any = None, **_: Any) -> int:
        """Called by ``Parallel`` before it begins."""
        self.parallel = parallel
        return self.effective_n_jobs(n_jobs)

    # --- tasks ---

    def submit(self, func: Any, callback: Callable[[Future], Any] | None = None) -> Future:
        """Run a batch of calls."""
        calls = [
            (function, tuple(map(self._share, args)), {name: self._share(value) for name, value in kwargs.items()})
            for function, args, kwargs in func.items
        ]
        future: Future = self.client.submit(
            _run_batch, calls, self.get_nested_backend(), key=_key(calls), pure=False, **self._submit_kwargs
        )
        self._pending.add(future)

        def done(future: Future) -> None:
            self._pending.discard(future)
            if callback is not None:
                callback(future)

        future.add_done_callback(done)
        return future

    def retrieve_result_callback(self, out: Future) -> Any:
        """The results of a batch, or what it raised; joblib drops its traceback, so that goes along as its cause."""
        error = out.exception()
        if error is None:
            return out.result()
        if error.__cause__ is None:
            error.__cause__ = RemoteTraceback(
                "".join(traceback.format_exception(type(error), error, error.__traceback__))
            )
        raise error

    def _share(self, value: Any) -> Any:
        """A large argument as a future of it: it is on its way to the workers once, not with each batch."""
        for shared in (self._scattered, self._shared):
            if id(value) in shared:
                return shared[id(value)][1]
        if isinstance(value, Future) or not _may_be_large(value) or sizeof(value) < SHARE_MIN:
            return value
        future = self.client.scatter(value, hash=False)
        self._shared[id(value)] = (value, future)
        return future

    # --- the end ---

    def stop_call(self) -> None:
        """The call of ``Parallel`` is over."""
        self._shared.clear()

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """Nobody wants the rest: a batch raised, or the user interrupted."""
        pending = list(self._pending)
        self._pending.clear()
        if pending and self.client.status == "running":
            self.client.cancel(pending, reason="joblib-aborted", msg="joblib gave up this call of Parallel.")
        self._shared.clear()


class RemoteTraceback(Exception):
    """Where on the cluster something was raised, as text."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


def _probe() -> None:
    """Runs as soon as there is a worker."""


def _load(timeout: float, options: dict[str, Any]) -> NbclusterBackend:
    return NbclusterBackend(_LATER, wait_for_workers_timeout=timeout, **options)


def _may_be_large(value: Any) -> bool:
    """Data, that is: functions and estimators are pickled with their batch."""
    return hasattr(value, "nbytes") or hasattr(value, "memory_usage") or isinstance(value, (bytes, bytearray, str))


def _key(calls: list[Any]) -> str:
    function = calls[0][0]
    inner = getattr(function, "function", function)  # scikit-learn wraps its functions
    return f"{getattr(inner, '__name__', type(inner).__name__).strip('_')}-batch-{uuid.uuid4().hex}"


def _run_batch(calls: list[Any], nested: tuple[Any, int | None]) -> list[Any]:
    """On a worker: what joblib's own processes would do. ``nested`` is how calls of ``Parallel`` in there run."""
    backend, n_jobs = nested
    with parallel_config(backend=backend, n_jobs=n_jobs):
        return [function(*args, **kwargs) for function, args, kwargs in calls]
