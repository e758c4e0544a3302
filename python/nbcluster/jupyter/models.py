"""The bodies of the REST API. What it answers are views of ``snapshot``; what it is asked is decoded here.

A field that is unknown, of the wrong type or out of range is refused with the path to it; the rest is checked
by ``commands.validate``, as for every other way to the same command.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

import msgspec

from nbcluster.capacity import Figure
from nbcluster.commands import Adapt, Scale
from nbcluster.snapshot import LogLine
from nbcluster.units import parse_bytes

CLUSTER_ID = "[0-9a-f]{16}"
"""What the id of a cluster looks like: made by the server, never taken from outside."""


Count = Annotated[int, msgspec.Meta(ge=0, le=10_000)]
"""Of workers: more than any one machine holds is a slip of the finger."""
Positive = Annotated[int, msgspec.Meta(ge=1)]
Seconds = Annotated[float, msgspec.Meta(gt=0)]


class Body(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a request may say."""


class ScaleBody(Body, frozen=True):
    """How many workers to have; ends adapting."""

    n: Count

    def command(self) -> Scale:
        """The command that it asks for."""
        return Scale(n=self.n)


class AdaptBody(Body, frozen=True):
    """Let the number of workers follow the work, within limits; no ``maximum`` means the server's own."""

    minimum: Count = 0
    maximum: Count | None = None
    interval: Seconds = 1.0
    target_duration: Seconds = 5.0
    wait_count: Positive = 3

    def command(self) -> Adapt:
        """The command that it asks for."""
        return Adapt(**msgspec.structs.asdict(self))


class NewCluster(Body, frozen=True):
    """A cluster that belongs to nobody: it stays until it is shut down. All fields are optional."""

    name: str | None = None
    n_workers: Count | None = None
    threads_per_worker: Positive | None = None
    memory_limit: int | float | str | None = "auto"
    """Per worker: bytes, a fraction between 0 and 1, or text like ``"1GiB"``; null means no limit."""
    adapt: AdaptBody | None = None
    kernel_name: str | None = None
    """Run in this kernel's interpreter instead of the server's."""
    path: str = ""
    """A notebook: workers run in its folder, as its kernel does."""

    def __post_init__(self) -> None:
        """Refuse at once what the engine would refuse when it starts."""
        limit = self.memory_limit
        if isinstance(limit, str) and limit != "auto" and not limit.endswith("%"):
            parse_bytes(limit, "memory_limit")
        elif isinstance(limit, (int, float)) and limit < 0:
            raise ValueError(f"memory_limit={limit} is negative")


class ChangeCluster(Body, frozen=True):
    """What may be changed about a cluster besides its size. Fields that are left out stay as they are."""

    name: str | msgspec.UnsetType = msgspec.UNSET
    """What lists and cards call it."""
    keep: bool | msgspec.UnsetType = msgspec.UNSET
    """True: it outlives its notebook and its kernel. False: it belongs to them again."""


class LogsAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Log lines in chronological order."""

    lines: list[LogLine]
    last: int
    """Ask for lines after this number to follow the log."""


class Capacity(msgspec.Struct, frozen=True, kw_only=True):
    """What this machine, and its administrator, allow."""

    cpus: Figure
    memory: Figure
    """Bytes."""
    workers: Figure
    """How many workers one cluster may have: the end of the scale slider."""


class ErrorBody(msgspec.Struct, frozen=True, kw_only=True):
    """Every answer that is no success."""

    message: str
    """A sentence for people."""
    reason: str
    """A word for programs."""


BodyT = TypeVar("BodyT", bound=Body)


def decode_body(data: bytes, kind: type[BodyT]) -> BodyT:
    """Decode a request's body; an empty one has only defaults.

    Raises:
        msgspec.ValidationError: it is not what ``kind`` describes; says where.
        msgspec.DecodeError: it is not even JSON.
    """
    try:
        return msgspec.json.decode(data or b"{}", type=kind)
    except UnicodeDecodeError as error:
        raise msgspec.DecodeError(str(error)) from error


def encode(answer: Any) -> bytes:
    """Encode what a handler answers."""
    return msgspec.json.encode(answer)
