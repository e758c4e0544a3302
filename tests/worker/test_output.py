from __future__ import annotations

import asyncio
import io
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import pytest

from nbcluster.protocol.messages import TaskOutput
from nbcluster.worker import context, output
from nbcluster.worker.output import TaskOutputs
from tests.support.eventually import soon
from tests.support.links import run


class Capture:
    """Streams that are captured, and what is sent."""

    def __init__(self) -> None:
        self.batches: list[list[TaskOutput]] = []
        self.outputs = TaskOutputs(self.batches.append)

    @property
    def sent(self) -> list[tuple[str, str, str]]:
        return [(one.key, one.stream, one.text) for batch in self.batches for one in batch]

    @contextmanager
    def task(self, key: str) -> Iterator[None]:
        context.enter(key)
        try:
            yield
        finally:
            self.outputs.task_ended()
            context.leave()


def with_capture(test: Callable[[Capture], Awaitable[None]]) -> tuple[str, str]:
    """Run a test with streams of its own; return what reached them."""
    real = io.StringIO(), io.StringIO()

    async def main() -> None:
        capture = Capture()
        uninstall = capture.outputs.install()
        try:
            await test(capture)
        finally:
            uninstall()

    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = real
    try:
        run("asyncio", main())
        assert (sys.stdout, sys.stderr) == real
    finally:
        sys.stdout, sys.stderr = before
    return real[0].getvalue(), real[1].getvalue()


def test_what_a_task_prints_goes_to_the_log_and_is_sent_by_line() -> None:
    async def test(capture: Capture) -> None:
        with capture.task("k"):
            print("one", "two")
            print("oops", file=sys.stderr)
        await soon(lambda: capture.batches)
        assert capture.sent == [("k", "stdout", "one two\n"), ("k", "stderr", "oops\n")]

    assert with_capture(test) == ("one two\n", "oops\n")


def test_what_no_task_prints_is_not_sent() -> None:
    async def test(capture: Capture) -> None:
        print("plain")
        capture.outputs.flush()
        assert capture.batches == []

    assert with_capture(test) == ("plain\n", "")


def test_all_that_gathers_in_one_turn_is_sent_together() -> None:
    async def test(capture: Capture) -> None:
        for key in ("a", "a", "b"):
            with capture.task(key):
                print("x\ny")
        await soon(lambda: capture.batches)
        assert capture.sent == [("a", "stdout", "x\ny\nx\ny\n"), ("b", "stdout", "x\ny\n")]
        assert len(capture.batches) == 1

    with_capture(test)


def test_a_line_is_sent_when_it_is_complete_or_its_task_ends() -> None:
    async def test(capture: Capture) -> None:
        with capture.task("k"):
            print("be", end="")
            capture.outputs.flush()
            assert capture.sent == []
            print("gun\nend", end="")
            capture.outputs.flush()
            assert capture.sent == [("k", "stdout", "begun\n")]
        capture.outputs.flush()
        assert capture.sent[1:] == [("k", "stdout", "end")]

    with_capture(test)


def test_lines_of_tasks_that_run_side_by_side_stay_whole() -> None:
    async def test(capture: Capture) -> None:
        turns = [threading.Event() for _ in range(5)]

        def work(key: str, first: int) -> None:
            with capture.task(key):
                turns[first].wait(20)
                print(key, end="")
                turns[first + 1].set()
                turns[first + 2].wait(20)
                print(key)
                if first + 3 < len(turns):
                    turns[first + 3].set()

        threads = [threading.Thread(target=work, args=("a", 0)), threading.Thread(target=work, args=("b", 1))]
        for thread in threads:
            thread.start()
        turns[0].set()
        for thread in threads:
            await asyncio.to_thread(thread.join, 20)
        capture.outputs.flush()
        assert sorted(capture.sent) == [("a", "stdout", "aa\n"), ("b", "stdout", "bb\n")]

    with_capture(test)


def test_endless_output_is_cut_in_what_is_sent_and_whole_in_the_log() -> None:
    async def test(capture: Capture) -> None:
        with capture.task("k"):
            for _ in range(output.RATE_LIMIT // 50):
                print("x" * 99)
            capture.outputs.flush()
            print("more")
            capture.outputs.flush()
        sent = "".join(text for _, _, text in capture.sent)
        assert len(sent) < output.RATE_LIMIT + 200
        assert sent.endswith("[tasks print too much: the rest of this second is only in the worker's log]\n")

    out, _ = with_capture(test)
    assert len(out) == output.RATE_LIMIT // 50 * 100 + len("more\n")


def test_output_is_sent_again_in_the_next_period(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "RATE_LIMIT", 10)
    monkeypatch.setattr(output, "RATE_PERIOD", 0.0)

    async def test(capture: Capture) -> None:
        for text in ("x" * 100, "next"):
            with capture.task("k"):
                print(text)
            capture.outputs.flush()
        assert capture.sent[-1] == ("k", "stdout", "next\n")

    with_capture(test)


def test_a_long_line_is_cut() -> None:
    async def test(capture: Capture) -> None:
        with capture.task("k"):
            print("x" * (output.LINE_LIMIT + 5))
        capture.outputs.flush()
        assert capture.sent[0][2] == "x" * output.LINE_LIMIT + "[… 6 more]\n"

    with_capture(test)


def test_after_the_loop_has_gone_printing_still_works() -> None:
    captures: list[Capture] = []

    async def test(capture: Capture) -> None:
        captures.append(capture)

    with_capture(test)
    with captures[0].task("k"):
        captures[0].outputs.wrote("k", "stdout", "late\n")
    assert captures[0].batches == []
