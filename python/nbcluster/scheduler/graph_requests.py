"""Graphs of tasks that clients submit: tasks come in the order in which to run them, and most are nobody's futures."""

from __future__ import annotations

from nbcluster.protocol.messages import GraphTask, SubmitGraph
from nbcluster.protocol.payload import Payload
from nbcluster.scheduler.requests import Requests
from nbcluster.scheduler.state import ERRED, SchedClient, SchedTask


class GraphRequests(Requests):
    """The handler of ``SubmitGraph``."""

    def submit_graph(self, client: SchedClient, message: SubmitGraph) -> None:
        """Make tasks of new keys, join the ones that are there, and start what the client wants."""
        machine, tasks = self._machine, self._state.tasks
        machine.settle()  # what nobody wants any more by now may get a new meaning
        wanted: list[tuple[SchedTask, bool]] = []
        made: list[SchedTask] = []
        parent = self._parent(client, message.line)
        before = self._state.orders - message.before  # its own tasks come in the order in which dask wants them
        for item in message.tasks:
            task = tasks.get(item.key)
            new = task is None or self._has_nothing(task)
            if task is None:
                task = self._new_task(item.key)
            if new:
                self._define(task, item, message)
                task.origin = client
                if parent is not None:
                    task.place = parent.place - 1
                elif client.generation < before:
                    self._line_up(task, client.generation, before)
            if item.wanted:
                self._want(client, task)
                wanted.append((task, new))
            elif new:
                made.append(task)
        for task, new in wanted:
            if new:
                machine.start(task)  # and with it what it needs
            else:
                self._catch_up(client, task)
        for task in made:
            if task.needed:  # by what was started just now, or by others who knew its name only
                machine.start(task)
            else:
                machine.loosen(task)

    def _define(self, task: SchedTask, item: GraphTask, message: SubmitGraph) -> None:
        if task.state == ERRED:
            self._machine.release(task)
        task.function = item.function
        task.data = item.data
        task.frames = tuple(item.frames)
        task.options = message.options if item.options is None else item.options
        task.retries = task.options.retries
        self._depend(task, item.dependencies)
        self._count_function(item.function, message.functions.get(item.function, _UNDEFINED), 1)


_UNDEFINED = Payload(b"")
"""Cannot be unpickled: the task errs and says so."""
