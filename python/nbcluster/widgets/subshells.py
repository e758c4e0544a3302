"""Controls that work while a cell runs: in kernels that have subshells, and front ends that use them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def listen_while_busy(widget: Any) -> None:
    """Have the messages of a widget, and of all within it, handled where the front end sends them.

    JupyterLab sends them to a subshell, which is a thread of its own. ipykernel 7.4 overrules it: a message goes
    to the shell that wrote to the widget last. What writes to a card is no shell at all, but the cluster's
    event loop; that counts as the main shell, and so nothing would be heard while a cell runs. Without the method
    that redirects it, a message goes to the subshell. Other kernels never ask for that method.
    """
    for each in _family(widget):
        if each.comm is not None:
            each.comm._reply_subshell_for = None


def _family(widget: Any) -> Iterator[Any]:
    yield widget
    for child in getattr(widget, "children", ()):
        yield from _family(child)
