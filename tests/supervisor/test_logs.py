from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
from pathlib import Path

import pytest

from nbcluster.supervisor import logs
from nbcluster.supervisor.logs import LogBook, RotatedFile
from nbcluster.supervisor.records import MarkedFormatter, split
from tests.support.eventually import soon


class Pipe:
    """A worker's stdout, attached to a log book."""

    def __init__(self, book: LogBook, worker: int | str = 0) -> None:
        read, self.fd = os.pipe()
        os.set_blocking(read, False)
        book.attach(worker, read, "STDOUT")

    def write(self, data: bytes) -> None:
        while data:
            data = data[os.write(self.fd, data) :]

    def close(self) -> None:
        os.close(self.fd)


def texts(book: LogBook) -> list[str]:
    return [line.text for line in book.lines()]


def test_lines_of_all_sources_are_in_the_order_of_writing() -> None:
    book = LogBook()
    book.add("INFO", "one", source="Scheduler")
    book.add("INFO", "two", worker=0)
    book.add("INFO", "three\nfour", source="Scheduler")
    lines = book.lines()
    assert [(line.number, line.text) for line in lines] == [(1, "one"), (2, "two"), (3, "three"), (4, "four")]
    assert [line.source for line in lines] == ["Scheduler", "worker 0", "Scheduler", "Scheduler"]


def test_a_log_can_be_followed() -> None:
    book = LogBook()
    for i in range(10):
        book.add("INFO", str(i), worker=i % 2)
    assert [line.text for line in book.lines(after=7)] == ["7", "8", "9"]
    assert [line.text for line in book.lines(after=2, limit=3)] == ["2", "3", "4"]
    assert [line.text for line in book.lines(limit=2)] == ["8", "9"]
    assert [line.text for line in book.lines(worker=1)] == ["1", "3", "5", "7", "9"]
    assert book.lines(after=10) == []


def test_lines_can_be_picked_by_level_but_plain_output_has_none() -> None:
    book = LogBook()
    for level in ("DEBUG", "INFO", "WARNING", "ERROR", "STDOUT"):
        book.add(level, level, source="Cluster")
    assert [line.text for line in book.lines(level="warning")] == ["WARNING", "ERROR", "STDOUT"]


def test_a_worker_is_labelled_with_its_address_as_soon_as_that_is_known() -> None:
    book = LogBook()
    book.add("INFO", "hello", worker=0)
    book.set_address(0, "tcp://127.0.0.1:1")
    assert [line.source for line in book.lines()] == ["tcp://127.0.0.1:1"]


def test_only_the_latest_lines_of_a_source_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "LINES_KEPT", 3)
    book = LogBook()
    book.add("INFO", "quiet", source="Cluster")
    for i in range(10):
        book.add("INFO", str(i), worker=0)
    assert texts(book) == ["quiet", "7", "8", "9"]


def test_long_lines_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "BYTES_KEPT", 25_000)
    book = LogBook()
    for _ in range(10):
        book.add("INFO", "x" * 20_000, worker=0)
    lines = book.lines()
    assert len(lines) == 2
    assert lines[0].text.endswith("x[… 10000 more characters]")


def test_what_a_worker_prints_arrives_in_lines() -> None:
    async def main() -> None:
        book = LogBook()
        pipe = Pipe(book)
        pipe.write(b"half a li")
        pipe.write("ne\r\nnächste\n\nund \xff".encode("utf-8", "surrogateescape"))
        pipe.write(b"\xff\xfe\nend")
        await soon(lambda: len(texts(book)) == 4)
        assert texts(book) == ["half a line", "nächste", "", "und ÿ\\xff\\xfe"]
        pipe.close()
        await soon(lambda: texts(book)[-1] == "end")
        assert {line.level for line in book.lines()} == {"STDOUT"}

    asyncio.run(main())


def test_the_last_lines_of_a_worker_are_not_those_of_its_predecessor() -> None:
    async def main() -> None:
        book = LogBook()
        first = Pipe(book)
        first.write(b"of the first\n")
        book.drain(0)
        assert book.tail(0) == "of the first"
        second = Pipe(book)
        assert book.tail(0) == ""
        second.write(b"of the second\n")
        book.drain(0)
        assert book.tail(0) == "of the second"
        assert texts(book) == ["of the first", "of the second"]
        first.close()
        second.close()

    asyncio.run(main())


def test_what_an_ended_worker_left_in_its_pipe_is_read_though_others_hold_it() -> None:
    async def main() -> None:
        book = LogBook()
        pipe = Pipe(book)
        pipe.write(b"last words\nnot a whole line")
        book.drain(0)
        assert book.tail(0) == "last words\nnot a whole line"
        with pytest.raises(BrokenPipeError):
            pipe.write(b"too late\n")
        pipe.close()
        book.drain(0)

    asyncio.run(main())


def test_an_endless_line_is_cut_while_it_grows() -> None:
    async def main() -> None:
        book = LogBook()
        pipe = Pipe(book)
        writer = threading.Thread(target=pipe.write, args=(b"x" * 10_000_000 + b"\nnext\n",))
        writer.start()
        await soon(lambda: texts(book)[-1:] == ["next"])
        writer.join()
        assert len(texts(book)[0]) < 2 * logs.LINE_LIMIT
        book.close()
        pipe.close()

    asyncio.run(main())


def test_a_flood_is_drained_and_what_is_left_out_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "RATE_LIMIT", 100)

    async def main() -> None:
        book = LogBook()
        pipe = Pipe(book)
        writer = threading.Thread(target=pipe.write, args=(b"spam\n" * 1_000_000,))
        writer.start()
        await soon(lambda: not writer.is_alive())
        pipe.close()
        await soon(lambda: texts(book)[-1:] and "lines are missing here" in texts(book)[-1])
        missing = sum(int(text.split()[0][1:]) for text in texts(book) if "missing" in text)
        assert texts(book).count("spam") + missing == 1_000_000

    asyncio.run(main())


def test_records_keep_their_level_on_the_way_through_stderr() -> None:
    formatter = MarkedFormatter()
    try:
        raise LookupError("gone")
    except LookupError:
        record = logging.getLogger("user.code").makeRecord(
            "user.code", logging.ERROR, "", 0, "%s went wrong", ("it",), sys.exc_info()
        )
    lines = [split(line, "STDERR") for line in formatter.format(record).splitlines()]
    assert lines[0] == ("ERROR", "user.code - ERROR - it went wrong")
    assert lines[-1] == ("ERROR", "LookupError: gone")
    assert {level for level, _ in lines} == {"ERROR"}


@pytest.mark.parametrize("line", ["plain", "\x01SHOUT\x01text", "\x01ERROR", "ERROR text", "\x01"])
def test_what_is_no_record_of_ours_is_plain_output(line: str) -> None:
    assert split(line, "STDERR") == ("STDERR", line)


def test_records_of_this_process_go_into_the_book() -> None:
    book = LogBook()
    logger = logging.getLogger("tests.logs")
    handler = book.handler("Scheduler")
    logger.addHandler(handler)
    try:
        logger.warning("careful: %d", 3)
        threads = [threading.Thread(target=logger.error, args=("from a thread",)) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        logger.removeHandler(handler)
    lines = book.lines()
    assert (lines[0].source, lines[0].level) == ("Scheduler", "WARNING")
    assert lines[0].text == "tests.logs - WARNING - careful: 3"
    assert [line.number for line in lines] == list(range(1, 22))


def test_the_file_is_rotated(tmp_path: Path) -> None:
    book = LogBook()
    file = RotatedFile(tmp_path / "cluster.log", size=100, count=3)
    for i in range(30):
        book.add("INFO", f"line {i}", source="Cluster")
        file.write(book.lines()[-1:])
    file.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cluster.log", "cluster.log.1", "cluster.log.2"]
    kept = "".join((tmp_path / f"cluster.log{end}").read_text() for end in (".2", ".1", ""))
    numbers = [int(line.rpartition(" ")[2]) for line in kept.splitlines()]
    assert numbers == list(range(numbers[0], 30))


def test_a_full_disk_ends_the_file_and_nothing_else() -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("needs /dev/full")
    book = LogBook(Path("/dev/full"))
    book.add("INFO", "one", source="Cluster")
    book.add("INFO", "two", source="Cluster")
    assert texts(book) == ["one", "two"]
    book.close()
