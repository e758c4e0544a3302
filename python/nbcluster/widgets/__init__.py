"""How a cluster shows itself: the card in a notebook, and progress bars.

A cluster object knows nothing of this package. It has a port for a function of the type :class:`Renderer`,
which whoever puts the program together fills with :func:`mimebundle`:

    def _repr_mimebundle_(self, include=None, exclude=None):
        return render(self.engine, repr(self), loop=self.loop, server=None)

ipywidgets is imported when a card is shown, and not before.
"""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from nbcluster.engines.base import Engine
from nbcluster.widgets.html import html_of
from nbcluster.widgets.mime import mimebundle
from nbcluster.widgets.server import ServerInfo

__all__ = ["Renderer", "ServerInfo", "html_of", "mimebundle"]


class Renderer(Protocol):
    """Makes a MIME bundle of a cluster: :func:`mimebundle`, for one."""

    def __call__(
        self,
        engine: Engine,
        text: str,
        *,
        loop: asyncio.AbstractEventLoop,
        server: ServerInfo | None = None,
    ) -> dict[str, Any]:
        """See :func:`mimebundle`."""
