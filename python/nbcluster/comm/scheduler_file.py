"""A file that tells where a scheduler is, for who shares a file system with it.

It holds what ``scheduler_info`` says, as JSON, and no secret: the owner of the cluster finds its token by the address,
and everybody else is refused.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from nbcluster.types import Address

StrPath = str | os.PathLike[str]


def write(path: StrPath, info: dict[str, Any]) -> None:
    """Write the file, all at once: who waits for it never sees half of it."""
    target = Path(path)
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    draft.write_text(json.dumps(info, indent=2))
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
        address = json.loads(text)["address"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"scheduler_file={str(path)!r} does not say where a scheduler is: {error!r}") from None
    if not isinstance(address, str):
        raise ValueError(f"scheduler_file={str(path)!r} does not say where a scheduler is: its address is {address!r}")
    return address
