"""Dicts that show themselves as tables."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from nbcluster.client.tables import HasWhat, SchedulerInfo, WhoHas


def test_they_are_the_dicts_that_they_look_like() -> None:
    assert WhoHas({"x": ["tcp://a"]}) == {"x": ["tcp://a"]}
    assert HasWhat({"tcp://a": ["x", "y"]})["tcp://a"] == ["x", "y"]


def test_keys_are_text_whatever_they_look_like() -> None:
    html = WhoHas({"<script>": ["tcp://a", "tcp://b"]})._repr_html_()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert ">2<" in html, "how many copies there are"


def test_of_very_many_rows_the_first_are_shown_and_the_others_counted() -> None:
    html = HasWhat({f"tcp://{number}": [] for number in range(1000)})._repr_html_()
    assert html.count("<tr>") == 1 + 200 + 1
    assert "… and 800 more" in html


def test_what_a_scheduler_is_shows_its_workers() -> None:
    worker = {"name": "ada", "nthreads": 2, "memory_limit": 0, "status": "running"}
    info = SchedulerInfo(address="tcp://s", n_workers=1, total_threads=2, total_memory=0, workers={"tcp://a": worker})
    assert "ada" in info._repr_html_()
    assert "no limit" in info._repr_html_()


def test_only_that_of_an_asynchronous_client_is_awaited_and_that_asks_anew() -> None:
    async def main() -> Any:
        async def ask() -> SchedulerInfo:
            return SchedulerInfo(asked="again")

        with pytest.raises(TypeError, match="without await"):
            await SchedulerInfo()
        return await SchedulerInfo().asking(ask)

    assert asyncio.run(main()) == {"asked": "again"}
