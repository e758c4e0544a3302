"""Which cell of a notebook runs, and what becomes of its tasks when it is interrupted: they are cancelled.

Two ways lead here, and either may come first, or alone.

- The interrupt reaches the cell while it waits for results: ``interrupted``, in its thread.
- The Jupyter server says that somebody interrupts this kernel: ``told``, on the event loop. If the cell still runs
  a moment later and has not waited, it is held up in C code, which no interrupt reaches. Its tasks need not go on.

Outside of kernels there are no cells, and nothing of this happens, unless it is asked for.
"""

from __future__ import annotations

import asyncio
import sys
import weakref
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nbcluster.client.client import Client

GRACE = 0.25
"""Seconds that an interrupt has to reach the cell by itself."""

REASON = "interrupted"
MESSAGE = "The cell that submitted it was interrupted. With Client(cancel_on_interrupt=False) its tasks would go on."


class Cells:
    """The cells of this process, and the clients whose tasks end with them."""

    def __init__(self) -> None:
        self._clients: weakref.WeakSet[Client] = weakref.WeakSet()
        self._running: str | None = None
        """The cell that runs; None between two."""
        self._handled = 0

    def watch(self, client: Client) -> None:
        """From now on, this client's tasks end with the cell that submitted them."""
        self._clients.add(client)

    def current(self) -> str | None:
        """What the calling thread's tasks belong to. Here: all that there is is one cell."""
        return "this process"

    def interrupted(self) -> None:
        """The cell was interrupted while it waited. In its thread."""
        self._cancel(self.current())

    def told(self) -> None:
        """Somebody interrupts this kernel. On an event loop."""
        if self._running is not None:
            asyncio.get_running_loop().call_later(GRACE, self._look_again, self._running, self._handled)

    def _look_again(self, cell: str, handled: int) -> None:
        if self._running == cell and self._handled == handled:
            self._cancel(cell)

    def _cancel(self, cell: str | None) -> None:
        self._handled += 1
        if cell is not None:
            for client in list(self._clients):
                client._cancel_cell(cell, REASON, MESSAGE)


class KernelCells(Cells):
    """The cells of an IPython kernel. Made while one runs.

    A cell is named by the message that asked for its execution: each time that it is run, it is another.
    """

    def __init__(self, kernel: Any, shell: Any) -> None:
        super().__init__()
        self.kernel = kernel
        shell.events.register("pre_run_cell", self._begun)
        shell.events.register("post_run_cell", self._ended)
        self._running = self.current()

    def current(self) -> str | None:
        """The request that the calling thread works for."""
        try:
            name = self.kernel.get_parent("shell")["header"]["msg_id"]
        except LookupError:
            return None
        return str(name)

    def _begun(self, info: object = None) -> None:
        self._running = self.current()

    def _ended(self, result: object = None) -> None:
        self._running = None


_of_kernel: KernelCells | None = None


def cells_of(cancel_on_interrupt: bool | None) -> Cells | None:
    """Whose tasks end with a cell: None means nobody's. By default only in a kernel."""
    global _of_kernel
    if cancel_on_interrupt is not None and not isinstance(cancel_on_interrupt, bool):
        raise TypeError(f"cancel_on_interrupt={cancel_on_interrupt!r} is neither True, False nor None")
    if cancel_on_interrupt is False:
        return None
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    kernel = getattr(shell, "kernel", None)
    if kernel is None or not hasattr(kernel, "get_parent"):
        return Cells() if cancel_on_interrupt else None
    if _of_kernel is None or _of_kernel.kernel is not kernel:
        _of_kernel = KernelCells(kernel, shell)
    return _of_kernel


def told_of_interrupt() -> None:
    """The Jupyter server says that somebody interrupts this kernel. On an event loop."""
    if _of_kernel is not None:
        _of_kernel.told()
