"""The card as one MIME bundle: whoever shows the notebook takes the best layer that it understands.

application/vnd.nbcluster.card+json        the lab extension: talks to the server, needs no kernel
application/vnd.jupyter.widget-view+json   ipywidgets, live, through the kernel
text/html                                  a still picture, without script
text/plain
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec.structs import replace

from nbcluster.engines.base import Engine
from nbcluster.snapshot import SCHEMA_VERSION
from nbcluster.widgets.figures import ENDED
from nbcluster.widgets.html import html_of
from nbcluster.widgets.server import ServerInfo

CARD = "application/vnd.nbcluster.card+json"
WIDGET = "application/vnd.jupyter.widget-view+json"


def mimebundle(
    engine: Engine,
    text: str,
    *,
    loop: Callable[[], asyncio.AbstractEventLoop],
    server: ServerInfo | None = None,
) -> dict[str, Any]:
    """All layers that make sense here.

    Args:
        engine: the cluster.
        text: its ``repr``.
        loop: gives the one that the engine lives on, as long as it lives.
        server: if a Jupyter server owns the cluster: what it is called there.

    Returns:
        For ``_repr_mimebundle_``: data by MIME type.
    """
    view = engine.view if server is None else server.complete(engine.view)
    bundle: dict[str, Any] = {"text/plain": text, "text/html": html_of(view)}
    if view.status not in ENDED and in_kernel():
        # Only here: importing ipywidgets takes longer than the rest of nbcluster.
        from nbcluster.widgets.card import card_of

        widget = card_of(engine, loop(), server).widget
        bundle[WIDGET] = {"version_major": 2, "version_minor": 0, "model_id": widget.model_id}
    if server is not None:
        # Where the dashboard is today says nothing about where it is when the notebook is opened again.
        shown = msgspec.to_builtins(replace(view, dashboard_link=""))
        bundle[CARD] = {"version": SCHEMA_VERSION, "id": server.cluster_id, "view": shown}
    return bundle


def in_kernel() -> bool:
    """Whether this process is a kernel: elsewhere nobody could show a widget."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None
