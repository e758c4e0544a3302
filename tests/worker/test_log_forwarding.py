from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Iterator

import pytest

from nbcluster.protocol.inspection import ForwardLogs, LogEntry
from nbcluster.worker.log_forwarding import LogForwarding
from tests.support.eventually import soon

NAME = "tests.worker.forwarded"
ELSEWHERE = [1]


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    logger = logging.getLogger(NAME)
    yield logger
    assert forwarders(logger) == []


def forwarders(logger: logging.Logger) -> list[logging.Handler]:
    return [handler for handler in logger.handlers if type(handler).__module__ == LogForwarding.__module__]


def run(test: Callable[[LogForwarding, list[LogEntry]], Awaitable[None]]) -> None:
    async def main() -> None:
        sent: list[LogEntry] = []
        forwarding = LogForwarding(sent.append)
        try:
            await test(forwarding, sent)
        finally:
            forwarding.close()

    asyncio.run(main())


def test_records_are_sent_with_their_tracebacks(logger: logging.Logger) -> None:
    async def test(forwarding: LogForwarding, sent: list[LogEntry]) -> None:
        forwarding.order(ForwardLogs(NAME, logging.ERROR, ELSEWHERE))
        try:
            raise KeyError("k")
        except KeyError:
            logger.exception("it %s", "failed")
        logger.warning("below")
        await soon(lambda: bool(sent), "the record")
        [entry] = sent
        assert (entry.forwarded, entry.name, entry.level, entry.text) == (NAME, NAME, logging.ERROR, "it failed")
        assert "KeyError: 'k'" in entry.traceback

    run(test)


def test_an_order_replaces_the_former_one_and_can_be_ended(logger: logging.Logger) -> None:
    async def test(forwarding: LogForwarding, sent: list[LogEntry]) -> None:
        forwarding.order(ForwardLogs(NAME, logging.ERROR, ELSEWHERE))
        forwarding.order(ForwardLogs(NAME, logging.WARNING, ELSEWHERE))
        logger.warning("once")
        await soon(lambda: bool(sent), "the record")
        forwarding.order(ForwardLogs(NAME, None))
        assert forwarders(logger) == []
        assert [entry.text for entry in sent] == ["once"]

    run(test)


def test_workers_in_one_process_forward_a_record_once(logger: logging.Logger) -> None:
    async def test(forwarding: LogForwarding, sent: list[LogEntry]) -> None:
        other = LogForwarding(sent.append)
        for one in (forwarding, other):
            one.order(ForwardLogs(NAME, logging.ERROR, ELSEWHERE))
        logger.error("once")
        await soon(lambda: bool(sent), "the record")
        other.close()
        assert len(forwarders(logger)) == 1
        assert [entry.text for entry in sent] == ["once"]

    run(test)


def test_nobody_is_sent_what_was_said_in_his_own_process(logger: logging.Logger) -> None:
    async def test(forwarding: LogForwarding, sent: list[LogEntry]) -> None:
        forwarding.order(ForwardLogs(NAME, logging.ERROR, [os.getpid()]))
        assert forwarders(logger) == []

    run(test)
