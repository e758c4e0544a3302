"""``fire_and_forget``: tasks that are to finish though nobody waits for them."""

from __future__ import annotations

from typing import Any

from nbcluster.client.gathering import futures_in
from nbcluster.protocol.messages import FinishKeys


def fire_and_forget(obj: Any) -> None:
    """Have tasks run to their end, even if their futures are let go of, or the client closes.

    Args:
        obj: a future, containers of futures, or a persisted collection of dask's.

    Example:
        >>> fire_and_forget(client.submit(print, "nobody waits for this"))
    """
    futures = futures_in("obj", obj)
    for future in futures:
        future.client._session.wants.post(FinishKeys([future.key]))
