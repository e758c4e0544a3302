"""What plugins are made from: inherit, override what is of interest, and register an object of it with a client.

A plugin is pickled and reaches every worker, those too that join later, before these get their first task. One with the
name of another takes its place; if it is ``idempotent``, the other stays. A plugin without a ``name`` gets a new one.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable
from typing import Any

from nbcluster.arguments import check_text

Hook = None | Awaitable[None]


class WorkerPlugin:
    """Takes part in the life of each worker.

    ``setup`` and ``teardown`` run in a thread of their own, or on the worker's event loop if they are coroutines;
    ``transition`` runs on the event loop, so it should be quick.

    Example:
        >>> class Model(WorkerPlugin):
        ...     name = "model"
        ...     def setup(self, worker):
        ...         worker.model = "loaded once for each worker"
        >>> results = client.register_plugin(Model())
    """

    idempotent: bool = False
    name: str
    restart: bool = False
    """Start all workers afresh once it is registered."""

    def setup(self, worker: Any) -> Hook:
        """Run when it is registered, and when a worker joins later.

        What it raises is raised by ``register_plugin``. A later worker logs it, and goes on without the plugin.
        """

    def teardown(self, worker: Any) -> Hook:
        """Run when it is unregistered or replaced, and when the worker closes in good order."""

    def transition(self, key: str, start: str, finish: str, **kwargs: Any) -> None:
        """Run when a task has changed its state.

        The states are ``released``, ``waiting`` (for data), ``ready`` (for a thread), ``executing``, ``memory`` and
        ``error``. A task that is done comes from ``executing``.
        """


class ClusterPlugin(WorkerPlugin):
    """A plugin of workers with something to be done where the scheduler runs: once, before it comes to the workers."""

    on_workers = True
    on_scheduler = True

    def start(self, scheduler: Any) -> None:
        """Run in a thread of the scheduler's process, when it is registered. What it raises is raised there."""


class NannyPlugin:
    """Runs in each worker's process, set up before the plugins of workers: what supervises workers runs no user code.

    ``nanny`` has ``env``, the environment of the worker's process, and says whose it is: ``name``, ``worker_address``,
    ``scheduler_addr``, ``nthreads``, ``memory_limit``, ``local_directory``, ``pid``.

    Example:
        >>> class Level(NannyPlugin):
        ...     def setup(self, nanny):
        ...         nanny.env["LEVEL"] = "debug"
        >>> results = client.register_plugin(Level(), name="level")
    """

    idempotent: bool = False
    name: str
    restart: bool = False
    """Start all workers afresh once it is registered."""

    def setup(self, nanny: Any) -> Hook:
        """Run when it is registered, and before anything else when a worker joins later."""

    def teardown(self, nanny: Any) -> Hook:
        """Run when it is unregistered or replaced, and when the worker closes in good order."""


class SchedulerPlugin:
    """Takes part in the scheduler's life, in its process and on its event loop: so all of it should be quick.

    What it raises is logged, but for ``start``, whose exception is raised by ``register_plugin``.

    Example:
        >>> class Counter(SchedulerPlugin):
        ...     name, done = "counter", 0
        ...     def transition(self, key, start, finish, *args, **kwargs):
        ...         self.done += finish == "memory"
        >>> client.register_plugin(Counter())
    """

    idempotent: bool = False
    name: str

    def start(self, scheduler: Any) -> Hook:
        """Run when it is registered."""

    def before_close(self) -> Hook:
        """Run when the scheduler is about to close. Its clients are still there; a cluster's own workers are not."""

    def close(self) -> Hook:
        """Run when the scheduler closes."""

    def update_graph(
        self,
        scheduler: Any,
        *,
        client: str,
        keys: set[str],
        tasks: list[str],
        annotations: dict[str, dict[str, Any]],
        priority: dict[str, tuple[int | float, ...]],
        stimulus_id: str,
        **kwargs: Any,
    ) -> None:
        """Run when tasks that a client has submitted are known, and before ``transition`` tells of them.

        Args:
            scheduler: a view of the scheduler.
            client: which client, as in ``scheduler.clients``.
            keys: what the client wants.
            tasks: all keys that were submitted, in the order in which to run them.
            annotations: what else was said of them, by key: ``{"retries": {key: 2}, "resources": {…}, …}``.
            priority: by key; the smaller runs first.
            stimulus_id: another text each time.
            kwargs: ``dependencies``: what each needs, by key.
        """

    def restart(self, scheduler: Any) -> None:
        """Run when the cluster is restarted."""

    def transition(self, key: str, start: str, finish: str, *args: Any, stimulus_id: str, **kwargs: Any) -> None:
        """Run when a task has changed its state: released, waiting, processing, memory, erred or forgotten.

        Args:
            key: which task.
            start: the state that it was in.
            finish: the state that it is in now.
            args: nothing.
            stimulus_id: what made it change.
            kwargs: of a task that was processed, how that went: ``worker``, ``thread`` and ``startstops``;
                ``nbytes`` and ``typename`` of the result; ``exception_text`` and ``traceback_text`` of a failure.
        """

    def add_worker(self, scheduler: Any, worker: str) -> Hook:
        """Run when a worker has joined; ``worker`` is its address."""

    def remove_worker(self, scheduler: Any, worker: str, *, stimulus_id: str, **kwargs: Any) -> Hook:
        """Run when a worker has left."""

    def add_client(self, scheduler: Any, client: str) -> None:
        """Run when a client has connected."""

    def remove_client(self, scheduler: Any, client: str) -> None:
        """Run when a client has disconnected."""

    def valid_workers_downscaling(self, scheduler: Any, workers: list[Any]) -> list[Any]:
        """Say which of these workers may go when the cluster shrinks."""
        return workers

    def log_event(self, topic: str, msg: Any) -> None:
        """Run when an event is logged."""


Plugin = WorkerPlugin | NannyPlugin | SchedulerPlugin


def plugin_name(plugin: Plugin) -> str:
    """The name that a plugin says it has, or a new one.

    Raises:
        TypeError: what it says is not a name.
    """
    name = getattr(plugin, "name", None)
    return f"{type(plugin).__name__}-{uuid.uuid4()}" if name is None else check_name(name)


def check_name(name: object) -> str:
    """The name of a plugin.

    Raises:
        TypeError: it cannot be one.
    """
    if not isinstance(name, str) or not name:
        raise TypeError(f"name={name!r} is not the name of a plugin; give a text")
    return check_text("name", name)
