from __future__ import annotations

import asyncio
import contextvars
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from nbcluster.comm.loop import LoopThread, background, wait_for_latch
from nbcluster.errors import CancelledError, TimeoutError


@pytest.fixture
def loop_thread() -> Iterator[LoopThread]:
    thread = LoopThread("test-loop")
    thread.start()
    yield thread
    thread.stop()
    assert not thread.running


def test_a_result_comes_back(loop_thread: LoopThread) -> None:
    assert loop_thread.run(asyncio.sleep(0, result=7)) == 7


def test_a_function_is_called_with_its_arguments(loop_thread: LoopThread) -> None:
    assert loop_thread.sync(asyncio.sleep, 0, "result") == "result"


def test_a_function_that_raises_before_it_is_a_coroutine_raises_for_the_caller(
    loop_thread: LoopThread,
) -> None:
    def fail() -> Coroutine[Any, Any, None]:
        raise LookupError("gone")

    with pytest.raises(LookupError, match="gone"):
        loop_thread.sync(fail)


def test_an_exception_comes_back(loop_thread: LoopThread) -> None:
    async def fail() -> None:
        raise LookupError("gone")

    with pytest.raises(LookupError, match="gone"):
        loop_thread.run(fail())


def test_a_coroutine_sees_the_callers_context(loop_thread: LoopThread) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")

    async def read() -> str:
        return variable.get()

    variable.set("here")
    assert loop_thread.run(read()) == "here"


def test_a_latch_that_nobody_releases_is_given_up() -> None:
    latch = threading.Lock()
    latch.acquire()
    assert not wait_for_latch(latch, 0.01)
    assert not wait_for_latch(latch, 0)
    latch.release()
    assert wait_for_latch(latch, 0)


def test_a_caller_who_waits_does_something_meanwhile_whenever_it_is_nudged(loop_thread: LoopThread) -> None:
    seen = list[threading.Thread]()
    noticed = threading.Semaphore(0)

    def meanwhile() -> None:
        seen.append(threading.current_thread())
        noticed.release()

    async def nudge_twice(result: int, nudge: Callable[[], object]) -> int:
        for _ in range(2):
            nudge()
            nudge()  # the caller has not waited since
            await asyncio.to_thread(noticed.acquire)
        return result

    assert loop_thread.sync_while(meanwhile, nudge_twice, 7) == 7
    assert 2 <= len(seen) <= 4
    assert set(seen) == {threading.current_thread()}


def test_what_the_caller_does_meanwhile_may_fail_and_the_coroutine_is_cancelled(loop_thread: LoopThread) -> None:
    ended = threading.Event()

    async def wait_for_ever(nudge: Callable[[], object]) -> None:
        nudge()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        loop_thread.sync_while(fail, wait_for_ever)
    assert ended.wait(10)


def test_a_timeout_cancels_the_coroutine(loop_thread: LoopThread) -> None:
    cancelled = threading.Event()

    async def hang() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    with pytest.raises(TimeoutError, match=r"0\.05 s"):
        loop_thread.run(hang(), timeout=0.05)
    assert cancelled.wait(5)


def test_waiting_on_the_loop_itself_is_refused(loop_thread: LoopThread) -> None:
    async def call() -> None:
        loop_thread.run(asyncio.sleep(0))

    with pytest.raises(RuntimeError, match="asynchronous=True"):
        loop_thread.run(call())


def test_an_interrupt_cancels_the_coroutine_and_the_loop_stays_usable(loop_thread: LoopThread) -> None:
    began, cancelled = threading.Event(), threading.Event()

    async def hang() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    def interrupt() -> None:
        began.wait()
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        loop_thread.run(hang())
    thread.join()
    assert cancelled.wait(5)
    assert loop_thread.run(asyncio.sleep(0, result="usable")) == "usable"


def test_interrupts_at_random_instants_leave_the_loop_usable(loop_thread: LoopThread) -> None:
    interrupted = 0
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        for i in range(300):
            try:
                signal.setitimer(signal.ITIMER_REAL, 1e-6 + i * 1e-6)
                while True:
                    loop_thread.sync(asyncio.sleep, 0)
            except KeyboardInterrupt:
                interrupted += 1
        assert loop_thread.run(asyncio.sleep(0, result="usable")) == "usable"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
    assert interrupted == 300


def test_the_thread_ends_with_its_last_user() -> None:
    thread = LoopThread()
    thread.start()
    thread.start()
    thread.stop()
    assert thread.run(asyncio.sleep(0, result=1)) == 1
    thread.stop()
    with pytest.raises(RuntimeError, match="not running"):
        thread.run(asyncio.sleep(0))
    assert thread.name not in [t.name for t in threading.enumerate()]


def test_it_can_be_started_again() -> None:
    thread = LoopThread()
    for _ in range(3):
        thread.start()
        assert thread.run(asyncio.sleep(0, result=1)) == 1
        thread.stop()


def test_what_is_under_way_when_the_loop_stops_is_cancelled_for_its_caller() -> None:
    thread = LoopThread()
    thread.start()
    began = threading.Event()
    caught: list[BaseException] = []

    async def hang() -> None:
        began.set()
        await asyncio.Event().wait()

    def call() -> None:
        try:
            thread.run(hang())
        except CancelledError as error:
            caught.append(error)

    caller = threading.Thread(target=call)
    caller.start()
    began.wait()
    thread.stop()
    caller.join()
    assert "stopped" in str(caught[0])


def test_a_system_exit_in_a_callback_does_not_end_the_loop(loop_thread: LoopThread) -> None:
    loop_thread.call_soon(sys.exit, 3)
    assert loop_thread.run(asyncio.sleep(0, result="alive")) == "alive"


def test_the_background_loop_is_one_per_process() -> None:
    assert background() is background()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_gets_a_loop_of_its_own() -> None:
    script = """
        import asyncio, os
        from nbcluster.comm.loop import background

        loop_thread = background()
        loop_thread.start()
        loop_thread.run(asyncio.sleep(0))
        pid = os.fork()
        if pid == 0:
            try:
                loop_thread.run(asyncio.sleep(0))
            except RuntimeError as error:
                assert "forked" in str(error)
            else:
                os._exit(1)
            mine = background()
            mine.start()
            os._exit(mine.run(asyncio.sleep(0, result=42)))
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True)
    assert done.stdout == "42\n", done.stderr


def test_a_process_that_forgets_to_stop_its_loop_ends_quietly() -> None:
    script = """
        import asyncio
        from nbcluster.comm.loop import background

        tasks = []

        async def hang():
            await asyncio.Event().wait()

        async def leave_one_behind():
            tasks.append(asyncio.get_running_loop().create_task(hang()))

        background().start()
        background().sync(leave_one_behind)
    """
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(script)], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
