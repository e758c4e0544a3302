"""Plugins of workers and of the scheduler, and files that workers import: registered with a client."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Literal

from nbcluster.arguments import check_flag
from nbcluster.client.operating import RESTART_TIMEOUT, OperatingClient
from nbcluster.client.running import results
from nbcluster.plugins.base import (
    ClusterPlugin,
    NannyPlugin,
    Plugin,
    SchedulerPlugin,
    WorkerPlugin,
    check_name,
    plugin_name,
)
from nbcluster.protocol.calling import dump_side_call
from nbcluster.protocol.operating import RestartWorkers
from nbcluster.protocol.payload import Payload
from nbcluster.protocol.running import KeptName, RegisterSchedulerPlugin, RunFunction, RunOnScheduler
from nbcluster.protocol.serialize import dump
from nbcluster.types import Address

OK = {"status": "OK"}


class PluginClient(OperatingClient):
    """Brings code of the user's into workers and scheduler."""

    def register_plugin(self, plugin: Plugin, name: str | None = None) -> Any:
        """Have a plugin take part in the life of all workers, or of the scheduler.

        Args:
            plugin: an object of a class that inherits from ``WorkerPlugin``, ``SchedulerPlugin`` or ``NannyPlugin``.
            name: what to call it; by default its own ``name``, or a new one.

        Returns:
            ``{"status": "OK"}`` by worker address, for plugins of workers and nannies.

        Raises:
            TypeError: it is no such object.
            Exception: what its ``setup`` or ``start`` raises.

        Example:
            >>> class Greeting(WorkerPlugin):
            ...     def setup(self, worker):
            ...         worker.greeting = "hello"
            >>> results = client.register_plugin(Greeting(), name="greeting")
        """
        _check_plugin(plugin)
        name = plugin_name(plugin) if name is None else check_name(name)
        once = check_flag("idempotent", plugin.idempotent)
        if isinstance(plugin, SchedulerPlugin):
            payload = dump(plugin, "plugin", in_band=True)
            return self._sync(
                self._session.run,
                lambda request: RegisterSchedulerPlugin(request, name, payload, once),
                then=lambda outcomes: results(outcomes, "raise") and None,
            )
        kind: Literal["nanny", "worker"] = "nanny" if isinstance(plugin, NannyPlugin) else "worker"
        from nbcluster.plugins.joining import add_plugin, start_plugin

        start = None
        if isinstance(plugin, ClusterPlugin) and plugin.on_scheduler:
            start = dump_side_call(start_plugin, (), {"plugin": plugin})
            if not plugin.on_workers:
                return self._sync(self._begin_plugin, start)
        keep = KeptName(kind, name, once)
        call = dump_side_call(add_plugin, (), {"plugin": plugin, "kind": kind, "name": name})
        restart = check_flag("restart", plugin.restart)
        return self._sync(
            self._register,
            lambda request: RunFunction(request, call, keep=keep),
            restart,
            start,
            then=lambda outcomes: dict.fromkeys(outcomes, OK),
        )

    async def _begin_plugin(self, start: Payload) -> None:
        results(await self._session.run(lambda request: RunOnScheduler(request, start)), "raise")

    async def _register(
        self, make: Callable[[int], RunFunction], restart: bool, start: Payload | None
    ) -> dict[Address, Any]:
        if start is not None:
            await self._begin_plugin(start)
        done = results(await self._session.run(make), "raise")
        if restart and done:
            await self._operate(lambda request: RestartWorkers(request, list(done), RESTART_TIMEOUT))
        return done

    def unregister_worker_plugin(self, name: str, nanny: bool | None = None) -> Any:
        """Tear a plugin down on all workers; later ones do not get it.

        Args:
            name: what it was called when it was registered.
            nanny: it is a ``NannyPlugin``.

        Raises:
            ValueError: there is none of this name.
        """
        from nbcluster.plugins.joining import remove_plugin

        kind: Literal["nanny", "worker"] = "nanny" if nanny is not None and check_flag("nanny", nanny) else "worker"
        call = dump_side_call(remove_plugin, (), {"kind": kind, "name": check_name(name)})
        return self._sync(
            self._session.run,
            lambda request: RunFunction(request, call, drop=KeptName(kind, name)),
            then=lambda outcomes: dict.fromkeys(results(outcomes, "raise"), OK),
        )

    def unregister_scheduler_plugin(self, name: str) -> Any:
        """Have a plugin no more in the scheduler.

        Raises:
            ValueError: there is none of this name.
        """
        check_name(name)
        return self._sync(
            self._session.run,
            lambda request: RegisterSchedulerPlugin(request, name),
            then=lambda outcomes: results(outcomes, "raise") and None,
        )

    def register_worker_callbacks(self, setup: Callable[..., Any]) -> Any:
        """Run a function once on each worker: now, and on those that join later before their first task.

        If it has a parameter ``dask_worker``, that is the worker.
        """
        from nbcluster.plugins.joining import SetupPlugin

        return self.register_plugin(SetupPlugin(setup))

    def upload_file(self, filename: str | os.PathLike[str], load: bool = True) -> Any:
        """Copy a file to all workers, to those that join later, and to the scheduler; modules in it can be imported.

        Args:
            filename: a module (``.py``), an archive of modules (``.zip``, ``.egg``), or any other file. One of the same
                name that was uploaded before is replaced, and its modules are loaded anew.
            load: import what is in it.

        Raises:
            OSError: it cannot be read.
            Exception: what importing it raises.

        Example:
            >>> client.upload_file("helpers.py")  # doctest: +SKIP
        """
        from nbcluster.plugins.files import UploadFile, as_path

        plugin = UploadFile(as_path("filename", filename), load)
        plugin.on_scheduler = True
        return self.register_plugin(plugin)


def _check_plugin(plugin: object) -> None:
    if isinstance(plugin, type):
        raise TypeError("Please provide an instance of a plugin, not a type.")
    if not isinstance(plugin, (WorkerPlugin, NannyPlugin, SchedulerPlugin)):
        raise TypeError(
            f"plugin={plugin!r} is none: Registering duck-typed plugins is not allowed. Please inherit from "
            "NannyPlugin, WorkerPlugin, or SchedulerPlugin to create a plugin."
        )
