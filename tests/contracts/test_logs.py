from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.eventually import eventually

LOGGER = "tests.contracts.said_in_tasks"


def say(text: str, level: int = logging.ERROR, name: str = LOGGER) -> None:
    logging.getLogger(name).log(level, text)


def test_scheduler_logs_are_pairs_of_level_and_line(api: Any, client: Any) -> None:
    logs = client.get_scheduler_logs()
    assert logs
    assert all(level in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL") for level, _ in logs)
    assert client.get_scheduler_logs(n=1) == logs[:1]


def test_worker_logs_are_told_by_worker(api: Any, client: Any) -> None:
    logs = client.get_worker_logs()
    assert set(logs) == set(client.nthreads())
    [worker, _] = logs
    assert set(client.get_worker_logs(n=1, workers=[worker])) == {worker}
    assert all(len(lines) <= 1 for lines in client.get_worker_logs(n=1).values())


class Heard(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    @property
    def texts(self) -> list[str]:
        return [record.getMessage() for record in self.records]


@pytest.fixture
def heard() -> Iterator[Heard]:
    handler, logger = Heard(), logging.getLogger(LOGGER)
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


@pytest.fixture(scope="module")
def own(api: Any, keywords: Callable[..., dict[str, Any]]) -> Iterator[Any]:
    with api.LocalCluster(**keywords(processes=True, n_workers=1)) as cluster, api.Client(cluster) as client:
        yield client


def test_what_tasks_log_is_handled_here(api: Any, own: Any, heard: Heard) -> None:
    own.forward_logging(LOGGER, level=logging.ERROR)
    own.submit(say, "below", logging.WARNING, LOGGER + ".child").result()
    own.submit(say, "heard", logging.ERROR, LOGGER + ".child").result()
    eventually(lambda: heard.texts == ["heard"], "the record")
    [record] = heard.records
    assert (record.name, record.levelname) == (LOGGER + ".child", "ERROR")
    assert record.worker in own.nthreads()  # type: ignore[attr-defined]
    own.unforward_logging(LOGGER)
    own.submit(say, "not heard").result()
    own.forward_logging(LOGGER)
    own.submit(say, "heard again").result()
    eventually(lambda: heard.texts[-1] == "heard again", "the next record")
    assert heard.texts == ["heard", "heard again"]
    own.unforward_logging(LOGGER)


def test_forwarding_twice_is_forwarding_once(api: Any, own: Any, heard: Heard) -> None:
    own.forward_logging(LOGGER)
    own.forward_logging(LOGGER)
    own.submit(say, "once").result()
    own.submit(say, "end").result()
    eventually(lambda: "end" in heard.texts, "the last record")
    assert heard.texts == ["once", "end"]
    own.unforward_logging(LOGGER)


@pytest.mark.differs("bad input")
def test_wrong_arguments_are_refused(api: Any, client: Any) -> None:
    with pytest.raises(ValueError, match="level='LOUD'"):
        client.forward_logging("x", level="LOUD")
    with pytest.raises(TypeError, match="logger_name=3"):
        client.forward_logging(3)
    with pytest.raises(TypeError, match="n='all'"):
        client.get_scheduler_logs(n="all")


@pytest.mark.differs("forwarding within a process")
def test_what_is_logged_in_this_process_is_not_handled_twice(api: Any, keywords: Any, heard: Heard) -> None:
    with api.LocalCluster(**keywords(n_workers=1)) as cluster, api.Client(cluster) as client:
        client.forward_logging(LOGGER)
        client.submit(say, "once").result()
        client.unforward_logging(LOGGER)
    assert heard.texts == ["once"]
