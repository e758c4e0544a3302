"""What the scheduler says to a client.

It says what has become of the keys that the client wants (its tasks' results, or why there are none), and answers.
"""

from __future__ import annotations

from nbcluster.commands import AnyAnswer
from nbcluster.protocol.coordination import CoordinationAnswer
from nbcluster.protocol.delivery import Receivers
from nbcluster.protocol.inspection import Inspected, LogEntry
from nbcluster.protocol.joining import ToHost
from nbcluster.protocol.messages.data import Location
from nbcluster.protocol.messages.from_worker import TaskOutput
from nbcluster.protocol.operating import OperationDone
from nbcluster.protocol.payload import Payload
from nbcluster.protocol.records import Message, Record
from nbcluster.protocol.recreation import TaskDescribed
from nbcluster.protocol.running import FunctionRan
from nbcluster.protocol.tls import TlsIdentity
from nbcluster.types import Address, Key


class KeyDone(Record, frozen=True):
    """A result is there; ``payload`` rides along if it is small."""

    key: Key
    type_name: str
    nbytes: int
    payload: Payload | None = None


class Raised(Record, frozen=True, tag=True):
    """Why a task erred: it raised. The pickled exception with its traceback."""

    payload: Payload


class Killed(Record, frozen=True, tag=True):
    """Why a task erred without raising: its workers died."""

    attempts: int
    worker: Address
    cause: str
    log: str


class Lost(Record, frozen=True, tag=True):
    """Why a task erred without raising: its data died with the last holder and cannot be recomputed."""

    worker: Address
    actor: bool = False
    """It was an actor: what it had become, nobody knows."""


Failure = Raised | Killed | Lost


class Welcome(Message, frozen=True):
    """The first message on every accepted client or control link."""

    cluster_id: str
    cluster_name: str
    address: Address
    dashboard_link: str
    shared: str = ""
    """Where, on this host, the cluster's shared memory is to be had; empty if it has none."""
    live: bool = False
    """All workers live in the scheduler's process: a client that does too may send live objects."""
    tls: TlsIdentity | None = None
    """With what a client fetches data from workers, if their links are encrypted; not told to other hosts."""


class KeysDone(Message, frozen=True):
    """Results are in memory.

    ``let_go`` here and below: how many keys the client had released or cancelled when the scheduler said so, as far as
    it knew.
    That tells a former meaning of a key from the one that the client has given it since.
    """

    items: list[KeyDone]
    let_go: int = 0


class KeyErred(Message, frozen=True):
    """A task failed. ``blamed`` is the key that failed first: itself, or something it depends on."""

    key: Key
    error: Failure
    blamed: Key
    let_go: int = 0


class KeysPending(Message, frozen=True):
    """Results that were there are gone; they are being recomputed."""

    keys: list[Key]


class KeysCancelled(Message, frozen=True):
    """These tasks will never finish."""

    keys: list[Key]
    reason: str
    msg: str
    let_go: int = 0


class Located(Message, frozen=True):
    """The answer to ``Locate``; a key that is not in memory is not in it."""

    request: int
    items: list[Location]


class Answered(Message, frozen=True):
    """The answer to a ``Call``."""

    id: int
    answer: AnyAnswer


class CallFailed(Message, frozen=True):
    """A ``Call`` was refused: ``kind`` is the name of an exception in ``errors`` or a built-in one."""

    id: int
    kind: str
    message: str


class Pushed(Message, frozen=True):
    """What a subscription yields."""

    answer: AnyAnswer


class Stopping(Message, frozen=True):
    """The scheduler closes the link on purpose; not to be taken for a crash. Also to workers."""

    reason: str


ToClient = (
    Welcome
    | KeysDone
    | KeyErred
    | KeysPending
    | KeysCancelled
    | Located
    | Receivers
    | TaskOutput
    | TaskDescribed
    | Answered
    | CallFailed
    | Pushed
    | Inspected
    | LogEntry
    | CoordinationAnswer
    | Stopping
    | FunctionRan
    | OperationDone
    | ToHost
)
"""What the scheduler may send to a client."""
