"""One background event loop per process, on which synchronous code runs coroutines.

    caller's thread                      the loop's thread
    run(coroutine) ── begin ───────────▶ a task
         │ waits at a latch                │
         ◀──────────── latch released ── the task's end

Rules
1. A caller may be interrupted (Ctrl-C) at any instruction: the coroutine is cancelled, and nothing that the
   loop needs stays locked. Hence the latch is one bare lock, which C code takes or does not take; a condition
   variable is Python code that an interrupt can leave half-way.
2. The loop never waits for a caller.
3. ``start`` and ``stop`` are counted; the thread ends with its last user.
"""

from __future__ import annotations

import asyncio
import atexit
import contextvars
import inspect
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from nbcluster.errors import CancelledError, TimeoutError

T = TypeVar("T")

logger = logging.getLogger(__name__)

_LOOK_FOR_SIGNALS = 0.2


def new_event_loop() -> asyncio.AbstractEventLoop:
    """An event loop of our own: uvloop's where there is one. The user's loop policy is never touched."""
    if sys.platform == "win32":
        return asyncio.new_event_loop()
    import uvloop

    return uvloop.new_event_loop()


def wait_for_latch(latch: threading.Lock, timeout: float | None = None) -> bool:
    """Wait until another thread releases ``latch``; False if it does not within ``timeout`` seconds.

    A signal that arrives in the few instructions between the interpreter's last look and the system call that
    waits goes unnoticed until the call returns. So it returns now and then.
    """
    if timeout is None:
        while not latch.acquire(timeout=_LOOK_FOR_SIGNALS):
            pass
        return True
    deadline = time.monotonic() + timeout
    while True:
        left = deadline - time.monotonic()
        if latch.acquire(timeout=min(max(left, 0.0), _LOOK_FOR_SIGNALS)):
            return True
        if left <= _LOOK_FOR_SIGNALS:
            return False


class LoopThread:
    """An event loop in a thread of its own, shared by all who called ``start``.

    Example:
        >>> loop_thread = LoopThread()
        >>> loop_thread.start()
        >>> loop_thread.run(asyncio.sleep(0, result="done"))
        'done'
        >>> loop_thread.stop()
    """

    def __init__(self, name: str = "nbcluster-loop") -> None:
        self.name = name
        self._lock = threading.Lock()
        self._users = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._pid = os.getpid()

    def __repr__(self) -> str:
        return f"<LoopThread {self.name} users={self._users}>"

    @property
    def running(self) -> bool:
        """True while there is a loop to run things on."""
        return self._loop is not None

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The running loop.

        Raises:
            RuntimeError: it is not running, or this process is a fork of the one that started it.
        """
        loop = self._loop
        if self._pid != os.getpid():
            raise RuntimeError(
                "the event loop stayed behind when this process was forked; make new clients and clusters"
            )
        if loop is None:
            raise RuntimeError(f"the event loop {self.name!r} is not running: everything that used it is closed")
        return loop

    @property
    def is_current(self) -> bool:
        """True if the caller runs on this loop."""
        return self._thread is threading.current_thread()

    def start(self) -> None:
        """Be one more user of the loop; the first one starts it."""
        with self._lock:
            if self._pid != os.getpid():
                raise RuntimeError("this event loop belongs to the process that this one was forked from")
            if self._loop is None:
                self._begin()
            self._users += 1

    def stop(self) -> None:
        """Be one user fewer; after the last one, cancel what still runs and end the thread."""
        with self._lock:
            if self._users == 0:
                return
            self._users -= 1
            ended = self._end() if self._users == 0 else None
        if ended is not None and ended is not threading.current_thread():
            ended.join()

    def run(self, coroutine: Coroutine[Any, Any, T], timeout: float | None = None) -> T:
        """Run a coroutine on the loop and wait for its result: ``sync`` for one that exists already."""
        try:
            return self.sync(lambda: coroutine, timeout=timeout)
        except BaseException:
            if inspect.getcoroutinestate(coroutine) == inspect.CORO_CREATED:
                coroutine.close()
            raise

    def sync(
        self,
        function: Callable[..., Coroutine[Any, Any, T]],
        *args: Any,
        timeout: float | None = None,
        wait: Callable[[threading.Lock, float | None], bool] = wait_for_latch,
    ) -> T:
        """Run ``await function(*args)`` on the loop and wait for its result, in any thread but the loop's.

        Args:
            function: makes the coroutine, on the loop; it sees the caller's context variables.
            args: its arguments.
            timeout: seconds to wait.
            wait: waits at the latch; see ``wait_for_latch``.

        Raises:
            TimeoutError: it took longer; the coroutine is cancelled.
            KeyboardInterrupt: the caller was interrupted; the coroutine is cancelled.
            RuntimeError: the caller is on the loop itself, where waiting would block what it waits for.
        """
        call = self._call(function, args)
        try:
            self.loop.call_soon_threadsafe(call.begin)
            if not wait(call.latch, timeout):
                raise TimeoutError(f"no result after {timeout:g} s")
        except BaseException:
            self._abandon(call)
            raise
        return call.result()

    def sync_while(
        self,
        meanwhile: Callable[[], object],
        function: Callable[..., Coroutine[Any, Any, T]],
        *args: Any,
        wait: Callable[[threading.Lock, float | None], bool] = wait_for_latch,
    ) -> T:
        """As ``sync``, for ``function(*args, nudge)``: ``nudge()`` has ``meanwhile()`` called in the caller's thread.

        ``nudge`` may be called on the loop as often as one likes: a caller who is not through with ``meanwhile`` calls
        it once more.
        """
        call = self._call(function, args)
        call.nudged = True
        try:
            self.loop.call_soon_threadsafe(call.begin)
            while wait(call.latch, None) and not call.ended:
                meanwhile()
        except BaseException:
            self._abandon(call)
            raise
        return call.result()

    def _call(self, function: Callable[..., Coroutine[Any, Any, T]], args: tuple[Any, ...]) -> _Call[T]:
        if self.is_current:
            raise RuntimeError(
                "a synchronous method was called on the event loop itself and would wait for ever; "
                "use asynchronous=True and await it"
            )
        return _Call(function, args)

    def call_soon(self, callback: Callable[..., object], *args: Any) -> None:
        """Have the loop call ``callback(*args)`` soon, without waiting for it."""
        self.loop.call_soon_threadsafe(callback, *args)

    def _abandon(self, call: _Call[Any]) -> None:
        try:
            self.loop.call_soon_threadsafe(call.abandon)
        except RuntimeError:  # there is no loop any more, so it can only be done here
            call.abandon()

    def _begin(self) -> None:
        loop = new_event_loop()
        ready = threading.Event()
        self._thread = threading.Thread(target=_run, args=(loop, ready), name=self.name, daemon=True)
        self._thread.start()
        ready.wait()
        self._loop = loop
        atexit.register(self._at_exit)

    def _end(self) -> threading.Thread | None:
        loop, thread = self._loop, self._thread
        self._loop = self._thread = None
        if loop is not None:
            atexit.unregister(self._at_exit)
            loop.call_soon_threadsafe(loop.stop)
        return thread

    def _at_exit(self) -> None:
        """A daemon thread that runs while the interpreter is taken apart may crash it: end it before."""
        if self._pid != os.getpid():
            return
        for close in reversed(_before_exit):
            close()
        with self._lock:
            self._users = 0
            thread = self._end()
        if thread is not None and thread is not threading.current_thread():
            thread.join(5)


class _Call(Generic[T]):
    """One call on its way through the loop, and the latch at which its caller waits.

    The outcome is copied out of the task, which must die on the loop: its end runs Python code (asyncio keeps
    its tasks in a ``WeakSet``), and an interrupt in there would be swallowed.
    """

    __slots__ = ("abandoned", "args", "context", "ended", "error", "function", "latch", "nudged", "task", "value")

    value: T

    def __init__(self, function: Callable[..., Coroutine[Any, Any, T]], args: tuple[Any, ...]) -> None:
        self.function = function
        self.args = args
        self.context = contextvars.copy_context()
        self.latch = threading.Lock()
        self.latch.acquire()
        self.task: asyncio.Task[T] | None = None
        self.error: BaseException | None = None
        self.nudged = False
        self.ended = False
        self.abandoned = False

    def begin(self) -> None:
        if self.abandoned:
            return
        try:
            self.task = self.context.run(self._start)
        except Exception as error:  # of the function itself, before there was a coroutine
            self.error = error
            self._end()
        else:
            self.task.add_done_callback(self._ended)

    def result(self) -> T:
        if self.error is None:
            return self.value
        try:
            raise self.error
        finally:
            del self  # or the error's traceback and the error would hold each other

    def abandon(self) -> None:
        self.abandoned = True
        if self.task is not None:
            self.task.cancel()

    def _start(self) -> asyncio.Task[T]:
        coroutine = self.function(*self.args, self.nudge) if self.nudged else self.function(*self.args)
        return asyncio.get_running_loop().create_task(coroutine)

    def _ended(self, task: asyncio.Task[T]) -> None:
        self.task = None
        if task.cancelled():
            self.error = CancelledError("the event loop was stopped, and with it what was under way")
        else:
            self.error = task.exception()
            if self.error is None:
                self.value = task.result()
            elif self.abandoned:
                logger.debug("An abandoned call ended with an error", exc_info=self.error)
        self._end()

    def _end(self) -> None:
        self.ended = True  # first: the caller looks at it after each time that the latch was released
        self.nudge()

    def nudge(self) -> None:
        if self.latch.locked():  # else the caller was told, and has not waited since
            self.latch.release()


def _run(loop: asyncio.AbstractEventLoop, ready: threading.Event) -> None:
    loop.call_soon(ready.set)
    while True:
        try:
            loop.run_forever()
            break
        except (SystemExit, KeyboardInterrupt):  # from a callback: no reason to stop for everybody else
            logger.exception("A callback on the event loop tried to end the process")
    try:
        leftover = asyncio.all_tasks(loop)
        for task in leftover:
            task.cancel()
        if leftover:
            loop.run_until_complete(asyncio.gather(*leftover, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        loop.close()


_background = LoopThread()
_before_exit: list[Callable[[], None]] = []


def before_exit(close: Callable[[], None]) -> None:
    """Have ``close`` called when the interpreter ends, as long as a loop runs: a last chance to say good-bye.

    It is called in the main thread. No threads can be started any more.
    """
    _before_exit.append(close)


def background() -> LoopThread:
    """The one loop that this process's clients and clusters share."""
    return _background


def _forget_background() -> None:
    global _background
    _background = LoopThread()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_background)
