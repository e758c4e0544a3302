"""What the server tells everybody who listens: one kind of Jupyter event, sent when a cluster changed.

In the browser these arrive through ``app.serviceManager.events.stream``, so nobody polls.
"""

from __future__ import annotations

from typing import Any

import msgspec

from nbcluster.snapshot import ClusterView
from nbcluster.types import StrEnum

KERNEL_ACTIONS = "https://events.jupyter.org/jupyter_server/kernel_actions/v1"
"""Jupyter's own events about kernels."""

EVENT_ID = "urn:nbcluster:events:cluster:v1"


class Action(StrEnum):
    """What happened to a cluster."""

    CREATED = "created"
    CHANGED = "changed"
    REMOVED = "removed"


EVENT_SCHEMA: dict[str, Any] = {
    "$id": EVENT_ID,
    "version": "1",
    "title": "A cluster of this server changed",
    "description": "At most once a second for each cluster, and only when something changed.",
    "personal-data": True,
    "type": "object",
    "required": ["action", "id", "cluster"],
    "properties": {
        "action": {"enum": [str(action) for action in Action], "description": "What happened."},
        "id": {"type": "string", "description": "Which cluster."},
        "cluster": {
            "type": "object",
            "description": "The ClusterView, as the REST API answers it; its last one when removed.",
        },
    },
}


def payload(action: Action, view: ClusterView) -> dict[str, Any]:
    """The event that tells of ``action``."""
    return {"action": str(action), "id": view.id, "cluster": msgspec.to_builtins(view)}
