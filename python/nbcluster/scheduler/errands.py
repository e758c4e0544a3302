"""What clients ask of a scheduler that is not its core's: commands, operations on workers, functions of users.

Each is carried out in a task of its own, and answered when it is done; the core goes on meanwhile. Only who subscribes
is answered at once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

from nbcluster.comm.tasks import TaskOwner
from nbcluster.commands import AnyAnswer, AnyCommand, Subscribe, View, validate
from nbcluster.errors import TimeoutError
from nbcluster.protocol.calling import raised, returned
from nbcluster.protocol.joining import GiveUpName, Joining, LetGo, NameRequest, TakeName, WorkerEnded
from nbcluster.protocol.messages import Answered, Call, CallFailed
from nbcluster.protocol.operating import ClusterOperation, OperationDone, RestartCluster, RestartWorkers, Retire
from nbcluster.protocol.records import Message
from nbcluster.protocol.running import CallOutcome, FunctionRan, RegisterSchedulerPlugin, RunOnScheduler
from nbcluster.scheduler.facade import SchedulerFacade
from nbcluster.scheduler.guests import Guests
from nbcluster.scheduler.plugins import SchedulerPlugins
from nbcluster.scheduler.side_calls import SchedulerCalls
from nbcluster.snapshot import ClusterView
from nbcluster.types import WorkerName

logger = logging.getLogger("nbcluster.scheduler")

FOR_SHELL = frozenset(
    {
        *(Call, RunOnScheduler, RegisterSchedulerPlugin, Retire, RestartWorkers, RestartCluster),
        *(TakeName, GiveUpName, LetGo, WorkerEnded),
    }
)
"""Messages of clients and managers that are not the core's."""

_ForUserCode = RunOnScheduler | RegisterSchedulerPlugin
Errand = Call | _ForUserCode | ClusterOperation | Joining


class Ports(Protocol):
    """What the scheduler needs of the cluster around it."""

    async def call(self, command: AnyCommand) -> AnyAnswer:
        """Carry out a command."""

    def view(self) -> ClusterView:
        """The cluster as it is now."""

    def subscribe(self, push: Callable[[AnyAnswer], None], interval: float) -> Callable[[], None]:
        """Push views after changes; returns the way to stop it."""

    async def operate(self, operation: ClusterOperation) -> dict[str, str]:
        """Do something to workers."""

    def supervised(self, name: WorkerName) -> bool:
        """True if ``worker_exited`` will be called for this worker."""

    def owns(self, name: WorkerName) -> bool:
        """True if the cluster has a worker of this name, or is about to have one."""

    def joined(self, name: WorkerName) -> None:
        """A worker has registered."""

    def retired(self, name: WorkerName) -> None:
        """This worker may be stopped: nothing will be lost."""


class Asker(Protocol):
    """Who is answered."""

    is_lost: bool

    def send(self, messages: list[Message]) -> None:
        """Send, unless the link has just ended."""

    def subscribe(self, ports: Ports, interval: float) -> None:
        """Replace what this session has subscribed to."""


class Errands:
    """Carries them out, each in a task of its own."""

    def __init__(self, ports: Ports, facade: SchedulerFacade, plugins: SchedulerPlugins, guests: Guests) -> None:
        self._ports = ports
        self._facade = facade
        self._plugins = plugins
        self._guests = guests
        self._side_calls = SchedulerCalls(facade)
        self._owner = TaskOwner("what clients ask")

    def serve(self, asker: Asker, message: Errand) -> None:
        """Carry one out, and answer."""
        if isinstance(message, WorkerEnded):
            self._guests.ended(asker, message)
            return
        if isinstance(message, Call):
            if isinstance(message.command, Subscribe):
                self._subscribe(asker, message.id, message.command)
                return
            serve = self._call(asker, message)
        elif isinstance(message, (RunOnScheduler, RegisterSchedulerPlugin)):
            serve = self._run(asker, message)
        else:
            serve = self._operate(asker, message)
        self._owner.start(serve, type(message).__name__)

    def _subscribe(self, asker: Asker, number: int, command: Subscribe) -> None:
        """At once: it is what those ask who have just come, and who get their answer along with the greeting."""
        try:
            validate(command)
        except (ValueError, TypeError) as error:
            asker.send([CallFailed(number, type(error).__name__, str(error))])
        else:
            asker.subscribe(self._ports, command.interval)
            asker.send([Answered(number, View(cluster=self._ports.view()))])

    async def _call(self, asker: Asker, call: Call) -> None:
        try:
            answer = await self._ports.call(call.command)
        except Exception as error:
            asker.send([CallFailed(call.id, type(error).__name__, str(error))])
            if not isinstance(error, (ValueError, TypeError, RuntimeError)):
                logger.exception("Command %s failed", type(call.command).__name__)
        else:
            asker.send([Answered(call.id, answer)])

    async def _operate(self, asker: Asker, operation: ClusterOperation | NameRequest) -> None:
        answer: dict[str, str] = {}
        try:
            if isinstance(operation, NameRequest):
                await self._guests.serve(asker, operation)
            else:
                answer = await self._ports.operate(operation)
        except Exception as error:
            asker.send([CallFailed(operation.request, type(error).__name__, str(error))])
            if not isinstance(error, (ValueError, TimeoutError, RuntimeError)):
                logger.exception("%s failed", operation)
        else:
            asker.send([OperationDone(operation.request, answer)])

    async def _run(self, asker: Asker, message: _ForUserCode) -> None:
        outcome: CallOutcome
        if isinstance(message, RunOnScheduler):
            outcome = await self._side_calls.make(message)
        else:
            try:
                await self._plugins.register(message)
            except Exception as error:
                outcome = raised(error)
            else:
                outcome = returned(None)
        asker.send([FunctionRan(message.request, {self._facade.address: outcome})])

    async def close(self) -> None:
        """Cancel what is under way. Idempotent."""
        await self._side_calls.close()
        await self._owner.close()
