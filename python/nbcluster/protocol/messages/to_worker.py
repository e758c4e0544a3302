"""What the scheduler says to a worker: what to run, and which data to hold and to let go of."""

from __future__ import annotations

from nbcluster.protocol.inspection import ForwardLogs, Look
from nbcluster.protocol.messages.data import DataItem, Location
from nbcluster.protocol.messages.to_client import Stopping
from nbcluster.protocol.payload import Frame, Payload
from nbcluster.protocol.records import Message, Record
from nbcluster.protocol.running import RunCall
from nbcluster.types import Address, FunctionId, Key, RunId


class Dependency(Record, frozen=True):
    """A result that a task needs: here it is, or these workers hold it."""

    key: Key
    payload: Payload | None
    holders: list[Address]
    nbytes: int


class ComputeTask(Record, frozen=True):
    """One run of one task. ``data`` and ``frames`` are the pickled ``(args, kwargs)``."""

    key: Key
    run_id: RunId
    function: FunctionId
    data: bytes
    priority: tuple[int | float, int]
    """Smaller first."""
    dependencies: tuple[Dependency, ...] = ()
    frames: tuple[Frame, ...] = ()
    actor: bool = False


class Compute(Message, frozen=True):
    """Tasks to run, in priority order, after those it already has."""

    tasks: list[ComputeTask]


class DefineFunctions(Message, frozen=True):
    """Functions by id; sent once to each worker, before the first task that names them."""

    functions: dict[FunctionId, Payload]


class ForgetFunctions(Message, frozen=True):
    """No task of these functions is left; drop them."""

    functions: list[FunctionId]


class RecallTasks(Message, frozen=True):
    """Give back those of these runs that have not started."""

    run_ids: list[RunId]
    request: int


class FreeKeys(Message, frozen=True):
    """Forget these: data, queued runs; the result of a run under way is dropped when it ends."""

    keys: list[Key]


class PutData(Message, frozen=True):
    """Hold this data; answered by ``DataAdded``."""

    items: list[DataItem]


class AcquireReplicas(Message, frozen=True):
    """Fetch copies from peers; answered by ``DataAdded`` or ``ReplicasFailed``."""

    items: list[Location]


ToWorker = (
    DefineFunctions
    | ForgetFunctions
    | Compute
    | RecallTasks
    | FreeKeys
    | PutData
    | AcquireReplicas
    | Look
    | ForwardLogs
    | Stopping
    | RunCall
)
"""What the scheduler may send to a worker."""
