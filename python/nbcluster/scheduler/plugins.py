"""The plugins of the scheduler: told of what happens, on its event loop. What they raise is logged and goes no further.

Nothing is done as long as there are none; nor for transitions as long as none wants to know of them.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from nbcluster.comm.tasks import TaskOwner
from nbcluster.deadlines import within
from nbcluster.plugins.base import SchedulerPlugin
from nbcluster.protocol.coordination import LogEvent
from nbcluster.protocol.messages import SubmitGraph, SubmitTasks, TaskOptions
from nbcluster.protocol.payload import Payload
from nbcluster.protocol.records import Message
from nbcluster.protocol.running import RegisterSchedulerPlugin
from nbcluster.protocol.serialize import load
from nbcluster.scheduler.facade import SchedulerFacade, shown_move
from nbcluster.scheduler.runs import RunRecord
from nbcluster.scheduler.state import (
    ERRED,
    MEMORY,
    PROCESSING,
    SchedulerState,
    SchedWorker,
)
from nbcluster.scheduler.story import State
from nbcluster.scheduler.views import annotations_of, failure_texts
from nbcluster.types import Key

logger = logging.getLogger("nbcluster.scheduler")

PATIENCE = 5.0
"""Seconds that a plugin has for each of the hooks that the scheduler's end waits for."""


class SchedulerPlugins:
    """All plugins of one scheduler."""

    def __init__(
        self, facade: SchedulerFacade, state: SchedulerState, unpickle: Callable[[Payload, str], Any] = load
    ) -> None:
        self._facade = facade
        self._unpickle = unpickle
        self._state = state
        self._plugins: dict[str, SchedulerPlugin] = {}
        self._told: list[SchedulerPlugin] = []
        self._owner: TaskOwner | None = None
        self._graphs = 0
        self._runs_told = 0
        """Of how many runs the plugins have been told the end."""
        self.by_name: Mapping[str, SchedulerPlugin] = MappingProxyType(self._plugins)

    def __bool__(self) -> bool:
        return bool(self._plugins)

    async def register(self, message: RegisterSchedulerPlugin) -> None:
        """Add one, or (without a plugin) remove one.

        Raises:
            Exception: what its ``start`` raises.
            ValueError: there is none of this name.
        """
        name = message.name
        if message.plugin is None:
            self.remove(name)
        elif not (message.once and name in self._plugins):
            await self.start(load(message.plugin, "plugin"), name)

    async def start(self, plugin: SchedulerPlugin, name: str) -> None:
        """Start one, and have it told of what happens from then on.

        Raises:
            Exception: what its ``start`` raises.
        """
        waits = plugin.start(self._facade)
        if inspect.isawaitable(waits):
            await waits
        self.add(plugin, name)

    def add(self, plugin: SchedulerPlugin, name: str, *, once: bool = False) -> None:
        """Have one told of what happens from now on.

        Raises:
            TypeError: it is no plugin of a scheduler.
        """
        if not isinstance(plugin, SchedulerPlugin):
            raise TypeError(f"plugin={plugin!r} is none of a scheduler; inherit from SchedulerPlugin")
        if not (once and name in self._plugins):
            self._plugins[name] = plugin
            self._choose()

    def remove(self, name: str) -> None:
        """Have one told no more.

        Raises:
            ValueError: there is none of this name.
        """
        if self._plugins.pop(name, None) is None:
            known = ", ".join(repr(other) for other in self._plugins)
            there = f"there are {known}" if known else "there is none"
            raise ValueError(f"The scheduler plugin {name!r} does not exist; {there}")
        self._choose()

    def _choose(self) -> None:
        self._told = [p for p in self._plugins.values() if type(p).transition is not SchedulerPlugin.transition]
        story = self._state.story
        if self._told and story.fresh is None:
            story.fresh = []
            self._runs_told = self._state.stream.ended
        elif not self._told:
            story.fresh = None

    # --- what happens ---

    def _each(self, hook: Callable[[SchedulerPlugin], Any]) -> None:
        for name, plugin in list(self._plugins.items()):
            try:
                waits = hook(plugin)
            except Exception:
                logger.exception("The scheduler plugin %r failed", name)
                continue
            if inspect.isawaitable(waits):
                if self._owner is None:
                    self._owner = TaskOwner("scheduler plugins")
                self._owner.start(_awaited(waits), f"plugin {name}")

    def submitted(self, client: str, messages: list[Message]) -> None:
        """Tell of tasks that a client submits, if anybody wants to know."""
        if all(type(plugin).update_graph is SchedulerPlugin.update_graph for plugin in self._plugins.values()):
            return  # and nothing is unpickled
        for message in messages:
            options: dict[Key, TaskOptions]
            if isinstance(message, SubmitTasks):
                options = dict.fromkeys(message.keys, message.options)
                wanted = set(options)
                needs = {message.keys[index]: set(names) for index, names in message.dependencies.items()}
            elif isinstance(message, SubmitGraph):
                options = {task.key: task.options or message.options for task in message.tasks}
                wanted = {task.key for task in message.tasks if task.wanted}
                needs = {task.key: set(task.dependencies) for task in message.tasks if task.dependencies}
            else:
                continue
            self._graphs += 1
            details = {
                "annotations": _annotations(options),
                "priority": {key: (-own.priority, self._graphs, n) for n, (key, own) in enumerate(options.items())},
                "dependencies": needs,
                "stimulus_id": f"update-graph-{self._graphs}",
            }
            self._each(
                lambda plugin, wanted=wanted, keys=list(options), details=details: plugin.update_graph(  # type: ignore[misc]
                    self._facade, client=client, keys=wanted, tasks=keys, **details
                )
            )

    def tell_transitions(self) -> None:
        """Tell of the transitions since the last time."""
        story = self._state.story
        lines, story.fresh = story.fresh or (), [] if self._told else None
        runs = self._fresh_runs()
        for _, key, before, after, stimulus in lines:
            move = shown_move(before, after)
            if move is None:
                continue
            details = self._how_it_ended(key, after, runs.get(key)) if before == PROCESSING else {}
            for plugin in self._told:
                try:
                    plugin.transition(key, *move, stimulus_id=stimulus, **details)
                except Exception:
                    logger.exception("The scheduler plugin %r failed over the transition of %s", plugin, key)

    def _fresh_runs(self) -> dict[Key, RunRecord]:
        """The runs that have ended since the last time, by key."""
        stream, told = self._state.stream, self._runs_told
        self._runs_told = stream.ended
        return {run.key: run for run in stream.since(told)}

    def _how_it_ended(self, key: Key, after: State, run: RunRecord | None) -> dict[str, Any]:
        """What more is known of a task that is done."""
        details: dict[str, Any] = {}
        if after not in (MEMORY, ERRED):
            return details
        task = self._state.tasks.get(key)
        if run is not None:
            worker = self._state.workers.get(run.worker)
            details["worker"] = str(run.worker) if worker is None else worker.address
            details["thread"] = run.thread
            details["startstops"] = ({"action": "compute", "start": run.start, "stop": run.stop},)
        if after == MEMORY and run is not None:
            details["nbytes"] = run.nbytes
            details["typename"] = "" if task is None else task.type_name
        elif after == ERRED and task is not None:
            details["exception_text"], details["traceback_text"] = failure_texts(task)
        return details

    def worker_joined(self, address: str) -> None:
        """Tell of a new worker."""
        self._each(lambda plugin: plugin.add_worker(scheduler=self._facade, worker=address))

    def worker_left(self, address: str, cause: str) -> None:
        """Tell of a worker that is gone."""
        self._each(
            lambda plugin: plugin.remove_worker(
                scheduler=self._facade, worker=address, stimulus_id=f"worker-left-{cause}"
            )
        )

    def client_joined(self, client: str) -> None:
        """Tell of a new client."""
        self._each(lambda plugin: plugin.add_client(scheduler=self._facade, client=client))

    def client_left(self, client: str) -> None:
        """Tell of a client that is gone."""
        self._each(lambda plugin: plugin.remove_client(scheduler=self._facade, client=client))

    def restarted(self) -> None:
        """Tell that everything is forgotten."""
        self._each(lambda plugin: plugin.restart(self._facade))

    def logged(self, messages: list[Message]) -> None:
        """Tell of the events among these messages of a client or a worker, if anybody wants to know."""
        if all(type(plugin).log_event is SchedulerPlugin.log_event for plugin in self._plugins.values()):
            return  # and nothing is unpickled
        for message in messages:
            if isinstance(message, LogEvent):
                try:
                    msg = self._unpickle(message.value, "event")
                except Exception as error:
                    logger.error("An event cannot be shown to the scheduler's plugins: %s", error)
                    continue
                for topic in message.topics:
                    self._each(lambda plugin, topic=topic, msg=msg: plugin.log_event(topic, msg))  # type: ignore[misc]

    def may_go(self, workers: list[SchedWorker]) -> list[SchedWorker]:
        """Which of these workers all plugins let go."""
        for name, plugin in self._plugins.items():
            views = {worker.address: worker for worker in workers}
            try:
                allowed = plugin.valid_workers_downscaling(self._facade, list(map(self._facade.worker_state, workers)))
                workers = [views[view.address] for view in allowed]
            except Exception:
                logger.exception("The scheduler plugin %r failed over which workers may go", name)
        return workers

    async def about_to_close(self) -> None:
        """Tell that the end is near."""
        await self._wait_for(lambda plugin: plugin.before_close())

    async def close(self) -> None:
        """Tell that this is the end."""
        await self._wait_for(lambda plugin: plugin.close())
        if self._owner is not None:
            await self._owner.close()

    async def _wait_for(self, hook: Callable[[SchedulerPlugin], Any]) -> None:
        for name, plugin in list(self._plugins.items()):
            try:
                waits = hook(plugin)
                if inspect.isawaitable(waits):
                    await within(waits, PATIENCE)
            except Exception:
                logger.exception("The scheduler plugin %r failed at the scheduler's end", name)


async def _awaited(waits: Any) -> None:
    await waits


def _annotations(options: dict[Key, TaskOptions]) -> dict[str, dict[Key, Any]]:
    """What is not as it is by default: values by key by option."""
    found: dict[str, dict[Key, Any]] = {}
    said: dict[int, dict[str, Any]] = {}
    for key, own in options.items():
        if id(own) not in said:
            try:
                said[id(own)] = annotations_of(own)
            except Exception as error:
                logger.error("What was said of %s cannot be unpickled for the scheduler's plugins: %s", key, error)
                said[id(own)] = {}
        for name, value in said[id(own)].items():
            found.setdefault(name, {})[key] = value
    return found
