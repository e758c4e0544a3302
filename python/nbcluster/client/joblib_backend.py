"""A backend for joblib: what ``Parallel`` calls, scikit-learn's ``n_jobs`` among it, runs on the cluster.

    with joblib.parallel_config("nbcluster"):
        search.fit(X, y)

    Parallel ── batches of calls ──▶ submit ──▶ client.submit(_run_batch, calls)
             ◀── callback(future) ── the client's thread for callbacks

Large arrays among the arguments are shared once for a whole call of ``Parallel``, not once for each batch: as with
joblib's own processes, they must not be changed while it runs.
"""

from __future__ import annotations

import traceback
import uuid
from collections.abc import Callable
from typing import Any

from joblib.parallel import AutoBatchingMixin, ParallelBackendBase, parallel_config

from nbcluster.client.defaults import current
from nbcluster.client.future import Future
from nbcluster.protocol.serialize import SHARE_MIN
from nbcluster.protocol.sizeof import sizeof


class NbclusterBackend(AutoBatchingMixin, ParallelBackendBase):  # type: ignore[misc]
    """Runs joblib's batches as tasks.

    Args:
        client: whose cluster; by default the current client's.
        wait_for_workers_timeout: seconds to wait for a first worker, if there is none yet.
        nesting_level: how many calls of ``Parallel`` this one is within.
        submit_kwargs: options of every task, as for ``client.submit``: ``workers``, ``resources``, ``priority``…

    Raises:
        ValueError: there is no client.

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
        wait_for_workers_timeout: float = 10,
        nesting_level: int | None = None,
        **submit_kwargs: Any,
    ) -> None:
        super().__init__(nesting_level=nesting_level)
        client = client or current()
        if client is None:
            raise ValueError("joblib's backend 'nbcluster' needs a client; make one first: client = Client()")
        if client.asynchronous:
            raise ValueError("joblib waits for results, which a client with asynchronous=True cannot; make another one")
        self.client = client
        self._wait_for_workers_timeout = wait_for_workers_timeout
        self._submit_kwargs = submit_kwargs
        self._pending: set[Future] = set()
        self._shared: dict[int, tuple[Any, Future]] = {}
        """By id: large arguments, kept as long as their ids are used, and where they are."""

    # --- how many at a time ---

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """As many as there are threads, whatever ``n_jobs`` says: workers take what there is."""
        if n_jobs == 0:
            raise ValueError("n_jobs=0 is not allowed; give -1 for all threads of the cluster")
        threads = self._threads()
        if not threads and self._wait_for_workers_timeout:
            self.client.wait_for_workers(1, timeout=self._wait_for_workers_timeout)
            threads = self._threads()
        return threads

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
        if id(value) in self._shared:
            return self._shared[id(value)][1]
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
