from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import bokeh.resources
import pytest

from tests.contracts.gates import fail_with, inc


def test_the_stream_tells_what_ran_where_and_when(api: Any, client: Any) -> None:
    client.get_task_stream()  # the peer records from the first time on
    before = time.time()
    future = client.submit(inc, 1, pure=False)
    future.result()
    [run] = [run for run in client.get_task_stream() if run["key"] == future.key]
    assert run["worker"] in client.nthreads()
    assert run["status"] == "OK"
    assert run["nbytes"] > 0
    [part] = [part for part in run["startstops"] if part["action"] == "compute"]
    assert before - 1 <= part["start"] <= part["stop"] <= time.time() + 1


def test_the_stream_can_be_cut(api: Any, client: Any) -> None:
    client.get_task_stream()
    client.gather(client.map(inc, range(5), pure=False))
    assert len(client.get_task_stream(count=2)) == 2
    assert len(client.get_task_stream(start="100s")) >= 5
    assert client.get_task_stream(start=time.time() + 1000) == []


def test_failures_are_in_the_stream(api: Any, client: Any) -> None:
    client.get_task_stream()
    future = client.submit(fail_with, "boom", pure=False)
    api.wait(future)
    [run] = [run for run in client.get_task_stream() if run["key"] == future.key]
    assert run["status"] == "error"


def test_what_runs_in_a_block_is_collected(api: Any, client: Any) -> None:
    client.submit(inc, 1, pure=False).result()
    with api.get_task_stream(client=client) as stream:
        future = client.submit(inc, 2, pure=False)
        future.result()
    assert [run["key"] for run in stream.data] == [future.key]


def test_what_runs_in_a_block_can_be_plotted(api: Any, client: Any, tmp_path: Path) -> None:
    path = tmp_path / "stream.html"
    with api.get_task_stream(client=client, plot="save", filename=str(path)) as stream:
        client.submit(inc, 2, pure=False).result()
    assert type(stream.figure).__name__ == "figure"
    assert "<html" in path.read_text()


def test_the_stream_ends_when_it_is_told(api: Any, client: Any) -> None:
    client.get_task_stream()
    first = client.submit(inc, 1, pure=False)
    first.result()
    second = client.submit(inc, 2, pure=False)
    second.result()
    ends = {run["key"]: max(part["stop"] for part in run["startstops"]) for run in client.get_task_stream()}
    between = (ends[first.key] + ends[second.key]) / 2  # by the cluster's clock
    keys = {run["key"] for run in client.get_task_stream(stop=between)}
    assert first.key in keys
    assert second.key not in keys
    keys = {run["key"] for run in client.get_task_stream(start=between)}
    assert first.key not in keys
    assert second.key in keys


def test_the_stream_is_written_to_a_file_that_says_where_its_scripts_are(api: Any, client: Any, tmp_path: Path) -> None:
    client.get_task_stream()
    client.submit(inc, 1, pure=False).result()
    whole, lean = tmp_path / "whole.html", tmp_path / "lean.html"
    for path, resources in ((whole, bokeh.resources.INLINE), (lean, bokeh.resources.CDN)):
        runs, figure = client.get_task_stream(plot="save", filename=str(path), bokeh_resources=resources)
        assert runs
        assert type(figure).__name__ == "figure"
    assert "https://cdn.bokeh.org" in lean.read_text()
    assert lean.stat().st_size * 10 < whole.stat().st_size


@pytest.mark.differs("bad input")
def test_wrong_arguments_of_streams_are_refused(api: Any, client: Any) -> None:
    with pytest.raises(ValueError, match="plot='maybe'"):
        client.get_task_stream(plot="maybe")
    with pytest.raises(TypeError, match="count='all'"):
        client.get_task_stream(count="all")
    with pytest.raises(ValueError, match="plot='maybe'"):
        api.get_task_stream(client=client, plot="maybe")
