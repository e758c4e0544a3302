"""What a task can do with the cluster that runs it: composition root of worker and client, for use inside tasks.

A worker has one client for all its tasks, made when the first of them asks for it (``WorkerClients``), and closed with
the worker. Nothing of the client is imported before.
"""

from __future__ import annotations

import sys
import types
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

from nbcluster.arguments import check_flag, check_whole
from nbcluster.client import defaults
from nbcluster.client.joblib_default import register_when_imported
from nbcluster.protocol import serialize
from nbcluster.protocol.tls import TlsIdentity
from nbcluster.types import Address, Key
from nbcluster.units import parse_seconds
from nbcluster.worker import context
from nbcluster.worker.current import CurrentWorker

if TYPE_CHECKING:
    from nbcluster.client.client import Client


class WorkerClients:
    """Makes the clients of workers: fills the port of ``worker.ports``."""

    def open(
        self, scheduler: Address, token: bytes, name: str, timeout: float, tls: TlsIdentity | None = None
    ) -> Client:
        """A client of this scheduler, connected."""
        from nbcluster.client.target import Target
        from nbcluster.client.task_client import TaskClient

        target = Target(scheduler, token, tls=tls)
        return TaskClient(target, context.current_seat, name=f"worker-{name}", timeout=timeout)

    def actor(self, cls: type, address: Address, key: Key, instance: Any) -> Any:
        """What stands for an object that lives on the worker at this address."""
        from nbcluster.client.actors import Actor, set_finder

        set_finder(_find_actor)
        return Actor(cls, address, key, instance)

    async def close(self, client: Any) -> None:
        """Close it."""
        await client.end()


def get_client(address: Any = None, timeout: float | str | None = None, resolve_address: bool = True) -> Client:
    """The client to use here: inside a task, that of its worker; elsewhere the current one.

    Args:
        address: a scheduler's address. Where the client at hand is connected to another one, a new client is made.
        timeout: seconds to wait for a connection.
        resolve_address: find out whether two spellings of an address mean the same scheduler.

    Raises:
        ValueError: there is no client here, and no address to connect to.

    Example:
        >>> def total(n):
        ...     client = get_client()
        ...     return sum(client.gather(client.map(abs, range(-n, 0))))
        >>> client.submit(total, 3).result()
        6
    """
    seconds = None if timeout is None else parse_seconds(timeout, "timeout")
    check_flag("resolve_address", resolve_address)
    if address is not None and not isinstance(getattr(address, "scheduler_address", address), str):
        raise TypeError(f"address={address!r} is neither an address like 'tcp://127.0.0.1:8786' nor a cluster object")
    client: Client | None
    worker = context.current_worker()
    if worker is not None:
        client = worker.get_client(seconds)
        if address is None or _means(address, client, worker.scheduler_address, resolve_address):
            return client
    else:
        client = defaults.current()
        if client is not None and (address is None or _means(address, client, None, resolve_address)):
            return client
    if address is None:
        raise ValueError("No global client found and no address provided")
    from nbcluster.client.client import Client

    return Client(address) if seconds is None else Client(address, timeout=seconds)


def _means(address: Any, client: Client, also: Address | None, resolve: bool) -> bool:
    named = address if isinstance(address, str) else getattr(address, "scheduler_address", None)
    mine = client._welcome.address
    if named in (mine, also):
        return True
    if not resolve or not isinstance(named, str):
        return False
    return named.replace("//localhost:", "//127.0.0.1:") == mine


def get_worker() -> CurrentWorker:
    """The worker that runs this task.

    Raises:
        ValueError: this is not a task.

    Example:
        >>> client.submit(lambda: get_worker().nthreads).result()
        1
    """
    worker = context.current_worker()
    if worker is None:
        raise ValueError("No worker found: get_worker() works inside of tasks")
    return worker


def warn(
    message: str | Warning, category: type[Warning] = UserWarning, stacklevel: int = 1, source: Any = None
) -> None:
    """Warn, from a task: the warning is shown where the task was submitted, each time. Elsewhere: ``warnings.warn``.

    Args:
        message: what to say, or a warning.
        category: of which kind it is, if ``message`` is text.
        stacklevel: whose line is named: 1 is the caller's, 2 its caller's.
        source: passed on to ``warnings.warn``.

    Raises:
        TypeError: ``category`` is no kind of warning.

    Example:
        >>> client.submit(warn, "close to the limit").result()
    """
    if not isinstance(message, (str, Warning)):
        raise TypeError(f"message={message!r} is neither text nor a Warning")
    if not (isinstance(category, type) and issubclass(category, Warning)):
        raise TypeError(f"category={category!r} is not a subclass of Warning")
    stacklevel = check_whole("stacklevel", stacklevel)
    if context.current_key() is None:
        warnings.warn(message, category, stacklevel + 1, source)
        return
    frame: types.FrameType | None = sys._getframe(1)
    while frame is not None and stacklevel > 1:
        frame, stacklevel = frame.f_back, stacklevel - 1
    where = ("<unknown>", 0) if frame is None else (frame.f_code.co_filename, frame.f_lineno)
    kind = type(message) if isinstance(message, Warning) else category
    sys.stderr.write(warnings.formatwarning(message, kind, *where))


def secede() -> None:
    """Give this task's thread to others, for the rest of the task or until ``rejoin()``.

    A task that waits for futures does so by itself. This is for one that waits for something else, such as a device.

    Raises:
        ValueError: this is not a task.

    Example:
        >>> def listen():
        ...     secede()          # other tasks run meanwhile
        ...     return "heard it"
        >>> client.submit(listen).result()
        'heard it'
    """
    _seat("secede").secede()


def rejoin() -> None:
    """Take part again after ``secede()``: waits until one of the worker's threads is free.

    Raises:
        ValueError: this is not a task.

    Example:
        >>> def listen_and_compute():
        ...     secede()
        ...     heard = "what came meanwhile"
        ...     rejoin()          # it counts as one of the worker's tasks again
        ...     return len(heard)
        >>> client.submit(listen_and_compute).result()
        19
    """
    _seat("rejoin").rejoin()


def _seat(what: str) -> Any:
    seat = context.current_seat()
    if seat is None:
        raise ValueError(f"No worker found: {what}() works inside of tasks")
    return seat


@contextmanager
def worker_client(timeout: float | str | None = None, separate_thread: bool = True) -> Iterator[Client]:
    """The client of this task's worker, in a ``with`` block during which the task does not count as running.

    Args:
        timeout: seconds to wait for the connection.
        separate_thread: give the task's thread to others during the block. False: it keeps it, except while it waits
            for futures.

    Raises:
        ValueError: this is not a task.

    Example:
        >>> def total(n):
        ...     with worker_client() as client:
        ...         return sum(client.gather(client.map(abs, range(-n, 0))))
        >>> client.submit(total, 3).result()
        6
    """
    seconds = None if timeout is None else parse_seconds(timeout, "timeout")
    check_flag("separate_thread", separate_thread)
    client = get_worker().get_client(seconds)
    if not separate_thread:
        yield client
        return
    secede()
    try:
        yield client
    finally:
        rejoin()


def local_client(timeout: float | str | None = None, separate_thread: bool = True) -> AbstractContextManager[Client]:
    """The former name of ``worker_client``, which takes and does the same. It warns of that.

    Example:
        >>> def total():
        ...     with local_client() as client:  # better: worker_client()
        ...         return client.submit(sum, [1, 2]).result()
        >>> client.submit(total).result()  # doctest: +SKIP
        3
    """
    warnings.warn("local_client is now called worker_client", stacklevel=2)
    return worker_client(timeout, separate_thread)


def serve_dask_in_tasks() -> None:
    """In a process that runs tasks only: what a task computes with dask, its cluster computes."""
    from nbcluster.client import dask_default

    dask_default.serve_tasks()


def _client_of_task() -> Client | None:
    worker = context.current_worker()
    if worker is None:
        return None
    client: Client = worker.get_client()
    return client


def _find_actor(key: Key, address: Address) -> Any:
    """The actor itself, in the thread that runs all actors of its worker."""
    worker = context.current_worker() if context.hosts_actors() else None
    return worker.actor(key) if worker is not None and worker.address == address else None


def _future_of_key(key: Key) -> Any:
    from nbcluster.client.future import Future

    return Future(key)


defaults.set_task_client(_client_of_task)
register_when_imported()
serialize.set_future_factory(_future_of_key)
