"""The way between a card and its cluster: views come in, commands go out.

    a handler, in any thread ── post ──▶ ┐
    the engine ── views ───────────────▶ │ the cluster's loop ──▶ draw(): the card writes to its widgets
    answers to commands ───────────────▶ ┘

Everything that writes to widgets runs on the cluster's loop, one thing after the other: widgets are not made
for two threads at once, and with ipykernel 7 handlers run in threads of their own while a cell is busy.
Nobody ever waits for the loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from nbcluster.commands import AnyAnswer, AnyCommand
from nbcluster.deadlines import within
from nbcluster.engines.base import Engine
from nbcluster.errors import ClusterClosedError
from nbcluster.snapshot import ClusterView

INTERVAL = 1.0
"""Seconds between two views that are drawn."""

PATIENCE = 60.0
"""Seconds after which a command counts as lost: restarting every worker may take a while."""


class Remote:
    """One cluster, as a card sees it.

    Args:
        engine: the cluster.
        loop: the one that it lives on.
        draw: called on the loop with each view that is worth drawing.
    """

    def __init__(self, engine: Engine, loop: asyncio.AbstractEventLoop, draw: Callable[[ClusterView], None]) -> None:
        self.engine = engine
        self.loop = loop
        self._draw = draw
        self._view = engine.view
        self._timer: asyncio.TimerHandle | None = None
        self._drawn_at = float("-inf")
        self._unsubscribe: Callable[[], None] | None = None
        self._calls: set[asyncio.Task[None]] = set()

    def post(self, callback: Callable[..., object], *args: Any) -> None:
        """Have the loop call ``callback(*args)``; from any thread."""
        try:
            self.loop.call_soon_threadsafe(callback, *args)
        except RuntimeError:
            # The loop is closed, and the cluster with it: nobody else writes any more.
            callback(*args)

    # --- on the loop ------------------------------------------------------------------------------

    def open(self) -> None:
        """Begin to draw views; the first one at once."""
        if self._unsubscribe is None:
            self._unsubscribe = self.engine.subscribe(self.show, INTERVAL)
            self.show(self.engine.view)

    def close(self) -> None:
        """Draw no more views. Commands that are under way still tell how they ended. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None

    def show(self, view: ClusterView) -> None:
        """Draw a view, as soon as the last one that was drawn is a second old."""
        self._view = view
        due = self._drawn_at + INTERVAL - self.loop.time()
        if due <= 0:
            self.draw_now()
        elif self._timer is None:
            self._timer = self.later(due, self.draw_now)

    def draw_now(self, view: ClusterView | None = None) -> None:
        """Draw at once: a newer view that an answer brought, or the latest there is."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if view is not None:
            self._view = view
        self._drawn_at = self.loop.time()
        self._draw(self._view)

    def later(self, seconds: float, callback: Callable[[], object]) -> asyncio.TimerHandle | None:
        """Call something in a while; None, and it will not be called, if the loop is closed."""
        return None if self.loop.is_closed() else self.loop.call_later(seconds, callback)

    def send(
        self,
        command: AnyCommand,
        answered: Callable[[AnyAnswer], None],
        failed: Callable[[Exception], None],
    ) -> None:
        """Have the cluster carry out a command; one of the two callbacks tells how it went."""
        if self.loop.is_closed():
            failed(ClusterClosedError("the event loop on which this cluster was made has ended"))
            return
        call = self.loop.create_task(self._send(command, answered, failed))
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)

    async def _send(
        self,
        command: AnyCommand,
        answered: Callable[[AnyAnswer], None],
        failed: Callable[[Exception], None],
    ) -> None:
        try:
            answer = await within(self.engine.call(command), PATIENCE)
        except asyncio.TimeoutError:
            failed(asyncio.TimeoutError(f"the cluster did not answer within {PATIENCE:g} s"))
        except Exception as error:  # an engine may be anybody's: whatever it raises is shown in the card
            failed(error)
        else:
            answered(answer)
