"""A cluster's log: where its own records go."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest

from nbcluster.cluster.logbook import ClusterLogs
from nbcluster.commands import GetLogs


def test_a_warning_goes_to_the_book_and_once_to_stderr_however_many_clusters_there_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    logger = logging.getLogger("nbcluster.cluster")
    books = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        books.append(ClusterLogs(tmp_path / name, logging.WARNING))
    try:
        logger.warning("something is odd")
        logger.info("something is as it should be")
    finally:
        for book in books:
            asyncio.run(book.close())
    assert capsys.readouterr().err == "nbcluster.cluster - WARNING - something is odd\n"
    levels = [line.level for line in books[0].lines(GetLogs())]
    assert levels == ["WARNING", "INFO"]


def test_no_level_leaves_stderr_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    book = ClusterLogs(tmp_path, None)
    logging.getLogger("nbcluster.scheduler").warning("quiet")
    asyncio.run(book.close())
    assert capsys.readouterr().err == ""
    assert [line.text for line in book.lines(GetLogs())] == ["nbcluster.scheduler - WARNING - quiet"]
