"""How a cluster shows itself: the card in a notebook, and progress bars.

A cluster object knows nothing of this package: its port for a renderer is filled, by whoever puts the program
together, with a function that calls :func:`mimebundle`. The other way round, the card sees no more of a cluster
than its engine: views that come, and commands that go.

ipywidgets is imported when a card is shown, and not before.
"""

from __future__ import annotations

from nbcluster.widgets.html import html_of
from nbcluster.widgets.mime import mimebundle
from nbcluster.widgets.server import ServerInfo

__all__ = ["ServerInfo", "html_of", "mimebundle"]
