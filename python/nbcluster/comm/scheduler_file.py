"""A file that tells where a scheduler is, for who shares a file system with it.

It holds what ``scheduler_info`` says, as JSON, and no secret: the owner of the cluster finds its token by the address,
and everybody else is refused.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec

from nbcluster.types import Address

StrPath = str | os.PathLike[str]


class _Information(msgspec.Struct):
    """What who reads the file needs of it."""

    address: Address


def write(path: StrPath, info: dict[str, Any]) -> None:
    """Write the file, all at once: who waits for it never sees half of it."""
    target = Path(path)
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    draft.write_bytes(msgspec.json.format(msgspec.json.encode(info)))
    draft.replace(target)


def read(path: StrPath) -> Address | None:
    """The address in the file; None if it is not there yet.

    Raises:
        ValueError: it is no such file.
    """
    try:
        text = Path(path).read_text()
    except FileNotFoundError:
        return None
    try:
        return msgspec.json.decode(text, type=_Information).address
    except msgspec.DecodeError as error:
        raise ValueError(f"scheduler_file={str(path)!r} does not say where a scheduler is: {error}") from None
