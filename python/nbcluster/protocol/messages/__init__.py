"""Every message that crosses a link, as a frozen typed record.

Decoding validates; nothing here is ever pickled code.

A link is FIFO and joins two parties; a message belongs to one direction of one kind of link, and stands in the module
of that direction:

    client ── from_client ──▶ scheduler ── to_worker ────▶ worker ◀── between_peers ──▶ worker or client
           ◀── to_client ────           ◀── from_worker ──

At the end of each module a union says all that may go that way. What is a part of messages of several links is in
``data``. Conversations about one thing (``coordination``, ``inspection``, ``operating``, ``running``, …) have modules
of their own beside this package, whichever way their messages go; the unions name these too.

A run of a task is named by its ``run_id``. A report with a run_id that the scheduler no longer knows is
stale: it is dropped, and the worker is told to free what it made.
"""

from __future__ import annotations

from nbcluster.protocol.messages.between_peers import Data, GetData, PeerReply, PeerRequest
from nbcluster.protocol.messages.data import DataItem, Location, MissingData
from nbcluster.protocol.messages.from_client import (
    SAME_LINE,
    Call,
    CancelKeys,
    ClientMessage,
    FinishKeys,
    GraphTask,
    Line,
    Locate,
    RegisterClient,
    ReleaseKeys,
    ReportMissing,
    RetryKeys,
    Scatter,
    SubmitGraph,
    SubmitTasks,
    TaskOptions,
    WantKeys,
)
from nbcluster.protocol.messages.from_worker import (
    DataAdded,
    DataShared,
    DataTakenAway,
    RegisterWorker,
    ReplicasFailed,
    StoredData,
    TaskDone,
    TaskErred,
    TaskOutput,
    TaskRejoined,
    TaskRescheduled,
    TaskReturned,
    TasksDone,
    TaskSeceded,
    TasksRecalled,
    WorkerMessage,
    WorkerMetrics,
)
from nbcluster.protocol.messages.to_client import (
    Answered,
    CallFailed,
    Failure,
    KeyDone,
    KeyErred,
    KeysCancelled,
    KeysDone,
    KeysPending,
    Killed,
    Located,
    Lost,
    Pushed,
    Raised,
    Stopping,
    ToClient,
    Welcome,
)
from nbcluster.protocol.messages.to_worker import (
    AcquireReplicas,
    Compute,
    ComputeTask,
    DefineFunctions,
    Dependency,
    ForgetFunctions,
    FreeKeys,
    PutData,
    RecallTasks,
    ToWorker,
)

PROTOCOL_VERSION = 1
"""Both sides of a link have the same one, or they part at the handshake."""

__all__ = [
    "PROTOCOL_VERSION",
    "SAME_LINE",
    "AcquireReplicas",
    "Answered",
    "Call",
    "CallFailed",
    "CancelKeys",
    "ClientMessage",
    "Compute",
    "ComputeTask",
    "Data",
    "DataAdded",
    "DataItem",
    "DataShared",
    "DataTakenAway",
    "DefineFunctions",
    "Dependency",
    "Failure",
    "FinishKeys",
    "ForgetFunctions",
    "FreeKeys",
    "GetData",
    "GraphTask",
    "KeyDone",
    "KeyErred",
    "KeysCancelled",
    "KeysDone",
    "KeysPending",
    "Killed",
    "Line",
    "Locate",
    "Located",
    "Location",
    "Lost",
    "MissingData",
    "PeerReply",
    "PeerRequest",
    "Pushed",
    "PutData",
    "Raised",
    "RecallTasks",
    "RegisterClient",
    "RegisterWorker",
    "ReleaseKeys",
    "ReplicasFailed",
    "ReportMissing",
    "RetryKeys",
    "Scatter",
    "Stopping",
    "StoredData",
    "SubmitGraph",
    "SubmitTasks",
    "TaskDone",
    "TaskErred",
    "TaskOptions",
    "TaskOutput",
    "TaskRejoined",
    "TaskRescheduled",
    "TaskReturned",
    "TaskSeceded",
    "TasksDone",
    "TasksRecalled",
    "ToClient",
    "ToWorker",
    "WantKeys",
    "Welcome",
    "WorkerMessage",
    "WorkerMetrics",
]
