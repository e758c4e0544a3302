"""What clients, and tasks through theirs, tell each other through the scheduler: locks, queues, datasets, topics.

The scheduler hands pickled values from one to another and looks into none. Rules:

1. A request has a number of its client's choosing, and is answered once: by one of the answers below, or by
   ``CallFailed``. The answer to one that waits may come much later.
2. A client that waits no longer says ``Withdraw``. With ``give_back`` it takes nothing: what it was handed meanwhile
   goes back, and no answer comes any more. Without, it will still take what it was handed before the scheduler read
   this; else the answer is ``Replied(request, False)``.
3. What was handed over stays the scheduler's as well until the client says ``Received``: if its link ends before, it
   goes to somebody else. By then the client has said that it wants the keys of the futures in it.
"""

from __future__ import annotations

from nbcluster.protocol.payload import Payload
from nbcluster.protocol.records import Message, Record
from nbcluster.types import Key

# --- parts -----------------------------------------------------------------------------------------------------------


class Shared(Record, frozen=True):
    """A pickled value, and the keys of the futures in it: they are wanted for as long as it is kept."""

    payload: Payload
    keys: list[Key]


class Leaf(Record, frozen=True):
    """One value in a tree of metadata: where, below the place that was asked for. Without a value, an empty branch."""

    path: list[str]
    value: Payload | None


class LoggedEvent(Record, frozen=True):
    """What was logged, and when: in seconds since 1970, by the scheduler's clock."""

    when: float
    value: Payload


# --- any request -----------------------------------------------------------------------------------------------------


class Withdraw(Message, frozen=True):
    """The client waits no longer: see rule 2."""

    request: int
    give_back: bool


class Received(Message, frozen=True):
    """The client has what it was handed: see rule 3."""

    request: int


# --- locks and semaphores --------------------------------------------------------------------------------------------


class AcquireLease(Message, frozen=True):
    """One of the ``most`` leases of a semaphore, please; a lock has one. Answered by ``LeaseGranted``.

    The lease has the request's number. It ends when it is released or its client goes, and if it ``expires``, also when
    it was not renewed in time and others wait for it.
    """

    request: int
    name: str
    most: int
    wait: bool
    expires: bool


class ReleaseLease(Message, frozen=True):
    """This lease is not needed any more. Answered: whether it still was the client's."""

    request: int
    lease: int


class RenewLeases(Message, frozen=True):
    """The client still needs these."""

    leases: list[int]


class CountLeases(Message, frozen=True):
    """How many leases of a semaphore are taken?"""

    request: int
    name: str


class CloseSemaphore(Message, frozen=True):
    """Forget a semaphore, with its leases; whoever waits for one is refused. Answered: how many leases there were."""

    request: int
    name: str


class AcquireLocks(Message, frozen=True):
    """``enough`` of these locks, all at once."""

    request: int
    names: list[str]
    enough: int
    wait: bool


class ReleaseLocks(Message, frozen=True):
    """The locks that this request got are not needed any more. Answered: whether they still were the client's."""

    request: int
    held: int


# --- flags: what ``Event`` is to the scheduler -----------------------------------------------------------------------


class AwaitFlag(Message, frozen=True):
    """Answered once the flag is set."""

    request: int
    name: str
    wait: bool


class SetFlag(Message, frozen=True):
    """Set or clear a flag."""

    request: int
    name: str
    value: bool


class GetFlag(Message, frozen=True):
    """Is the flag set?"""

    request: int
    name: str


# --- queues ----------------------------------------------------------------------------------------------------------


class OpenQueue(Message, frozen=True):
    """The client has one more object for this queue."""

    name: str
    maxsize: int


class LeaveQueue(Message, frozen=True):
    """The client has one object fewer. If none is left anywhere, ``close`` says that its items may go."""

    name: str
    close: bool


class PutItem(Message, frozen=True):
    """Answered once there is room in the queue."""

    request: int
    queue: str
    maxsize: int
    """For a queue that is not there yet; 0 is no limit."""
    item: Shared
    wait: bool


class GetItems(Message, frozen=True):
    """Answered by ``HandedOver``: with so many items, or with all there are at once if ``count`` is 0."""

    request: int
    queue: str
    maxsize: int
    count: int
    wait: bool


class CountItems(Message, frozen=True):
    """How many items are in the queue?"""

    request: int
    queue: str


# --- variables -------------------------------------------------------------------------------------------------------


class SetVariable(Message, frozen=True):
    """Replace a variable's value."""

    request: int
    name: str
    value: Shared


class GetVariable(Message, frozen=True):
    """Answered by ``HandedOver`` once the variable has a value."""

    request: int
    name: str
    wait: bool


class DeleteVariable(Message, frozen=True):
    """Forget a variable's value."""

    request: int
    name: str


# --- datasets --------------------------------------------------------------------------------------------------------


class Publish(Message, frozen=True):
    """Keep these under their names until they are unpublished. Answered by the names that were taken: then none is."""

    request: int
    datasets: dict[str, Shared]
    override: bool


class Unpublish(Message, frozen=True):
    """Forget these."""

    request: int
    names: list[str]


class ListDatasets(Message, frozen=True):
    """Answered by the names."""

    request: int


class GetDatasets(Message, frozen=True):
    """Answered by ``HandedOver``, with None for what is not there."""

    request: int
    names: list[str]


# --- metadata --------------------------------------------------------------------------------------------------------


class SetMetadata(Message, frozen=True):
    """Replace what is at a place in the tree of metadata."""

    request: int
    path: list[str]
    leaves: list[Leaf]


class GetMetadata(Message, frozen=True):
    """What is at a place in the tree? Answered by ``MetadataFound``."""

    request: int
    path: list[str]


# --- topics ----------------------------------------------------------------------------------------------------------


class LogEvent(Message, frozen=True):
    """Log a value under topics. Also from workers, whose request is 0: they are not answered."""

    request: int
    topics: list[str]
    value: Payload


class GetEvents(Message, frozen=True):
    """What was logged under a topic, or under all? Answered by ``EventsFound``."""

    request: int
    topic: str | None


class SubscribeTopic(Message, frozen=True):
    """From now on, ``TopicNews`` of this topic; or no more."""

    topic: str
    on: bool


# --- answers ---------------------------------------------------------------------------------------------------------


class Replied(Message, frozen=True):
    """The answer to a request."""

    request: int
    value: bool | int | list[str]


class LeaseGranted(Message, frozen=True):
    """A lease; it has to be renewed before so many ``seconds`` have passed. 0: it does not expire."""

    request: int
    seconds: float


class HandedOver(Message, frozen=True):
    """Values. To be confirmed by ``Received``."""

    request: int
    items: list[Payload | None]


class MetadataFound(Message, frozen=True):
    """What is at a place in the tree of metadata; None: nothing."""

    request: int
    leaves: list[Leaf] | None


class EventsFound(Message, frozen=True):
    """What was logged, by topic."""

    request: int
    topics: dict[str, list[LoggedEvent]]


class TopicNews(Message, frozen=True):
    """Something was logged that the client has subscribed to."""

    topic: str
    event: LoggedEvent


CoordinationRequest = (
    Withdraw
    | Received
    | AcquireLease
    | ReleaseLease
    | RenewLeases
    | CountLeases
    | CloseSemaphore
    | AcquireLocks
    | ReleaseLocks
    | AwaitFlag
    | SetFlag
    | GetFlag
    | OpenQueue
    | LeaveQueue
    | PutItem
    | GetItems
    | CountItems
    | SetVariable
    | GetVariable
    | DeleteVariable
    | Publish
    | Unpublish
    | ListDatasets
    | GetDatasets
    | SetMetadata
    | GetMetadata
    | LogEvent
    | GetEvents
    | SubscribeTopic
)
"""What a client may send."""

CoordinationAnswer = Replied | LeaseGranted | HandedOver | MetadataFound | EventsFound | TopicNews
"""What the scheduler may send to a client."""
