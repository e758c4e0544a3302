"""Actors: objects that live on a worker, whose methods others call.

One thread runs the calls of all actors of a worker, one after the other, so an actor needs no locks, even where one
actor calls another. Methods that are coroutine functions are begun in order, and share the worker's loop of coroutines.
An actor is part of the result of the task that made it, and lives and dies with that.
"""

from __future__ import annotations

import asyncio
import logging
import types
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from nbcluster.comm.base import Connection
from nbcluster.errors import CommClosedError
from nbcluster.protocol.actors import ActorAnswered, CallActor, ReadActor
from nbcluster.protocol.exceptions import dump_exception, stand_in
from nbcluster.protocol.serialize import dump, load
from nbcluster.worker import context
from nbcluster.worker.coroutines import CoroutineLoop
from nbcluster.worker.current import CurrentWorker

logger = logging.getLogger(__name__)


class ActorHost:
    """Carries out what is asked of a worker's actors.

    Args:
        worker: whose actors these are.
        coroutines: runs those methods that are coroutine functions.
        on_end: called in the thread, or on the loop of coroutines, when a call has ended.
    """

    def __init__(
        self, worker: CurrentWorker, coroutines: CoroutineLoop, on_end: Callable[[], None] | None = None
    ) -> None:
        self._worker = worker
        self._coroutines = coroutines
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._thread = ThreadPoolExecutor(1, "nbcluster-actors", initializer=context.host_actors, initargs=(worker,))

    def answer(self, connection: Connection, message: CallActor | ReadActor) -> None:
        """Begin to carry out a request."""
        self._thread.submit(self._carry_out, connection, message)

    def close(self) -> None:
        """Begin nothing more. Idempotent."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _carry_out(self, connection: Connection, message: CallActor | ReadActor) -> None:
        context.enter(message.key)
        try:
            actor = self._worker.actor(message.key)
            if actor is None:
                self._send(connection, ActorAnswered(message.request))
                return
            if isinstance(message, ReadActor):
                value = getattr(actor, message.name)
            else:
                args, kwargs = load(message.arguments, "arguments")
                value = getattr(actor, message.method)(*args, **kwargs)
                if type(value) is types.CoroutineType:
                    self._coroutines.spawn(
                        value, lambda value, error: self._finish(connection, message, value, error), self._on_end
                    )
                    return
            self._finish(connection, message, value, None)
        except BaseException as error:
            self._finish(connection, message, None, error)
        finally:
            if self._on_end is not None:
                self._on_end()
            context.leave()

    def _finish(
        self, connection: Connection, message: CallActor | ReadActor, value: Any, error: BaseException | None
    ) -> None:
        if error is None:
            try:
                self._send(connection, ActorAnswered(message.request, dump(value, "result", in_band=True)))
                return
            except Exception as obstacle:
                error = obstacle
        # SystemExit and its like would end whoever asks for the result.
        shown = error if isinstance(error, Exception) else stand_in(error)
        self._send(connection, ActorAnswered(message.request, error=dump_exception(shown)))

    def _send(self, connection: Connection, answer: ActorAnswered) -> None:
        def send() -> None:
            try:
                connection.send(answer)
            except CommClosedError:
                logger.debug("Whoever called an actor is gone")

        try:
            self._loop.call_soon_threadsafe(send)
        except RuntimeError:  # the worker has ended
            logger.debug("An actor's answer came too late")
