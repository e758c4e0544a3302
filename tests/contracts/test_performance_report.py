from __future__ import annotations

import asyncio
import importlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.contracts.gates import inc


def work(seconds: float) -> float:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        sum(range(1000))
    return seconds


def test_a_report_is_a_page_of_its_own(api: Any, client: Any, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    with api.performance_report(filename=str(path), mode="inline"):
        client.submit(work, 0.2, pure=False).result()
    page = path.read_text()
    assert "<html" in page
    assert "work" in page
    assert "client.submit(work, 0.2, pure=False)" in page
    assert "<script src=" not in page


def test_memory_is_sampled_while_a_block_runs(api: Any, client: Any) -> None:
    diagnostics = importlib.import_module(f"{api.__name__}.diagnostics")
    sampler = diagnostics.MemorySampler()
    with sampler.sample("first", client=client, interval=0.01):
        client.submit(work, 0.1, pure=False).result()
    with sampler.sample("second", client=client, measure="managed"):
        pass
    assert list(sampler.samples) == ["first", "second"]
    assert all(moment > 1e9 and nbytes >= 0 for moment, nbytes in sampler.samples["first"])
    assert len(sampler.samples["first"]) > 1
    frame = sampler.to_pandas(align=True)
    assert list(frame.columns) == ["first", "second"]


def report_of_nothing(api: Any, path: Path, **keywords: Any) -> str:
    with api.performance_report(filename=str(path), **keywords):
        pass
    return path.read_text()


def test_a_report_may_show_the_code_of_who_called_its_function(api: Any, client: Any, tmp_path: Path) -> None:
    mark = "this line belongs to the caller"
    own = report_of_nothing(api, tmp_path / "own.html")
    callers = report_of_nothing(api, tmp_path / "callers.html", stacklevel=2)
    assert "def report_of_nothing" in own
    assert mark not in own
    assert mark in callers


def test_a_report_may_be_written_by_fsspec(api: Any, client: Any, tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "report.html"
    assert "<html" in report_of_nothing(api, path, storage_options={"auto_mkdir": True})


MEASURES = (
    *("process", "managed", "spilled", "managed_total"),
    *("unmanaged", "unmanaged_old", "unmanaged_recent", "optimistic"),
)


@pytest.mark.parametrize("measure", MEASURES)
def test_each_kind_of_memory_can_be_sampled(api: Any, client: Any, measure: str) -> None:
    sampler = importlib.import_module(f"{api.__name__}.diagnostics").MemorySampler()
    with sampler.sample(client=client, measure=measure):
        pass
    [samples] = sampler.samples.values()
    assert all(nbytes >= 0 for _, nbytes in samples)


def test_samples_of_blocks_that_did_not_run_together_stand_side_by_side_or_one_after_the_other(
    api: Any, client: Any
) -> None:
    sampler = importlib.import_module(f"{api.__name__}.diagnostics").MemorySampler()
    for label in ("first", "second"):
        with sampler.sample(label, measure="optimistic", interval=0.01):
            client.submit(work, 0.05, pure=False).result()
    apart = sampler.to_pandas()
    aligned = sampler.to_pandas(align=True)
    assert apart["first"].last_valid_index() < apart["second"].first_valid_index()
    assert aligned["first"].first_valid_index() == aligned["second"].first_valid_index()


def test_samples_are_plotted(api: Any, client: Any) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    sampler = importlib.import_module(f"{api.__name__}.diagnostics").MemorySampler()
    with sampler.sample("block", interval=0.01):
        client.submit(work, 0.1, pure=False).result()
    axes = sampler.plot(align=True, grid=True)
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["block"]
    assert "GiB" in axes.get_ylabel()
    importlib.import_module("matplotlib.pyplot").close("all")


def test_on_an_event_loop_they_are_used_with_async_with(
    api: Any, keywords: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    path = tmp_path / "report.html"
    diagnostics = importlib.import_module(f"{api.__name__}.diagnostics")
    sampler = diagnostics.MemorySampler()

    async def main() -> None:
        async with (
            api.LocalCluster(**keywords(n_workers=1, asynchronous=True)) as cluster,
            api.Client(cluster, asynchronous=True) as client,
        ):
            async with (
                api.performance_report(filename=str(path)),
                sampler.sample("block", client=client),
                api.get_task_stream(client=client) as stream,
            ):
                future = client.submit(inc, 1, pure=False)
                await future
            assert [run["key"] for run in stream.data] == [future.key]

    asyncio.run(main())
    assert "<html" in path.read_text()
    assert len(sampler.samples["block"]) >= 1


@pytest.mark.differs("bad input")
def test_wrong_arguments_of_reports_are_refused(api: Any, client: Any) -> None:
    with pytest.raises(ValueError, match="mode='paper'"):
        api.performance_report(mode="paper")
    with pytest.raises(TypeError, match="stacklevel='top'"):
        api.performance_report(stacklevel="top")
    diagnostics = importlib.import_module(f"{api.__name__}.diagnostics")
    with pytest.raises(ValueError, match="measure='weight'"):
        diagnostics.MemorySampler().sample(measure="weight", client=client)
    with pytest.raises(ValueError, match="interval=0"):
        diagnostics.MemorySampler().sample(interval=0, client=client)
