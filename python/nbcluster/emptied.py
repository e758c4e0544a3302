"""Dicts that were large and are empty."""

from __future__ import annotations

import sys
from typing import Any

_LARGE = 64 * 1024
"""Bytes of a table that is worth giving back. A small one is soon needed again."""


def give_back(table: dict[Any, Any]) -> None:
    """Free the memory of a dict that was large, if it is empty.

    By itself it would keep it until so many entries were made again; and these would be far apart, in memory that is
    in no cache.
    """
    if not table and sys.getsizeof(table) > _LARGE:
        table.clear()
