"""The vocabulary that every layer shares: what identifies a task, a worker, a cluster."""

from __future__ import annotations

import sys
from enum import Enum

if sys.version_info >= (3, 11):
    from enum import StrEnum as StrEnum
else:

    class StrEnum(str, Enum):
        """``enum.StrEnum`` for Python 3.10."""

        def __str__(self) -> str:
            return str(self.value)


Key = str
"""Identifies a task and its result, e.g. ``"inc-d1f1…"``. What comes before the last dash is its prefix."""

Address = str
"""Where something listens: ``tcp://127.0.0.1:8786``, ``unix:///run/…/w0.sock``, ``inproc://…``."""

WorkerName = int | str
"""What a cluster calls a worker: 0, 1, 2… for those it started itself, any string otherwise."""

FunctionId = bytes
"""The 16-byte hash of a function's pickled bytes."""

RunId = int
"""One attempt at running one task: never reused within a cluster, so a late report cannot be mistaken."""


class Role(StrEnum):
    """What a peer is to the scheduler; fixed by the handshake, before any message."""

    CLIENT = "client"
    WORKER = "worker"
    CONTROL = "control"
    """A manager of the cluster: server extension, dashboard, command line."""
    PEER = "peer"
    """A worker or a client that fetches data from a worker."""
    STORE = "store"
    """A process that shares memory with the others of its cluster."""
    SENDER = "sender"
    """A client that hands large data to a worker."""


class Status(StrEnum):
    """The life of a cluster, and of each of its workers. Each has a name in lower case too, as users know it."""

    created = "created"
    starting = "starting"
    running = "running"
    paused = "paused"
    retiring = "retiring"
    broken = "broken"
    """Crashed too often in a row: it will be tried again, but later and later."""
    closing = "closing"
    closed = "closed"
    failed = "failed"

    CREATED = created
    STARTING = starting
    RUNNING = running
    PAUSED = paused
    RETIRING = retiring
    BROKEN = broken
    CLOSING = closing
    CLOSED = closed
    FAILED = failed

    init = created
    closing_gracefully = retiring
    stopping = closing
    stopped = closed


_HEX = frozenset("0123456789abcdef")
_UUID_DASHES = (-37, -28, -23, -18, -13)


def key_prefix(key: Key) -> str:
    """The name of the function behind a key: ``key_prefix("inc-d1f1")`` is ``"inc"``.

    Parts of dask's collections, such as ``"('sum-d1f1', 0, 1)"``, have the name of the whole. A last part that is
    a word is no hash, and no number: ``"train-model"`` is a name as it is.
    """
    if key.startswith("('"):
        key = key[2 : key.find("'", 2)]
        return key.rpartition("-")[0] or ("" if key.startswith("-") else key)
    head, dash, tail = key.rpartition("-")
    if not dash or (tail.isalpha() and not (len(tail) == 8 and _HEX.issuperset(tail))):
        return key
    if len(tail) == 12 and len(key) > 37 and all(key[place] == "-" for place in _UUID_DASHES):
        return key[:-37]
    return head


def host_of(address: Address) -> str:
    """The host that an address names; this one for what has no network in it."""
    protocol, _, rest = address.partition("://")
    return rest.rpartition(":")[0].strip("[]") if protocol in ("tcp", "tls") else "127.0.0.1"


def port_of(address: Address) -> int:
    """The port that an address names; 0 for what has no network in it."""
    protocol, _, rest = address.partition("://")
    return int(rest.rpartition(":")[2]) if protocol in ("tcp", "tls") else 0
