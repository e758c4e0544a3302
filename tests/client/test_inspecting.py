"""How questions about the cluster are put, and how logs and versions are told; without a cluster."""

from __future__ import annotations

import pytest

from nbcluster.client import inspecting
from nbcluster.protocol.inspection import Versions
from nbcluster.snapshot import LogLine


def test_of_the_log_the_newest_lines_come_first() -> None:
    lines = [LogLine(float(n), "Scheduler", "INFO", f"line {n}") for n in range(3)]
    assert [line.rpartition(" - ")[2] for _, line in inspecting._newest(lines, 2)] == ["line 2", "line 1"]
    assert inspecting._newest(lines, 0) == []
    assert len(inspecting._newest(lines, 100)) == 3


def test_a_line_mentions_a_worker_by_address_or_by_its_whole_name() -> None:
    mentions = inspecting._mentions(1, "tcp://there")
    assert mentions("Worker 1 joined")
    assert mentions("the end of worker 1")
    assert mentions("lost tcp://there again")
    assert not mentions("Worker 12 joined")


def versions_of(**packages: str) -> Versions:
    everything = dict.fromkeys(("python", "nbcluster", "msgspec", "cloudpickle", "tornado"), "1")
    return Versions({}, {**everything, **packages})


def test_versions_that_have_to_be_the_same_are_an_error_and_others_a_warning() -> None:
    mine = versions_of(numpy="2.0")
    inspecting._check_versions({"client": mine, "scheduler": versions_of(numpy="2.0")}, [])
    with pytest.warns(UserWarning, match=r"numpy: 2\.0 in client, none in scheduler"):
        inspecting._check_versions({"client": mine, "scheduler": versions_of()}, [])
    with pytest.warns(UserWarning, match=r"polars: 1 in client, 2 in scheduler"):
        inspecting._check_versions(
            {"client": versions_of(polars="1"), "scheduler": versions_of(polars="2")}, ["polars"]
        )
    with pytest.raises(ValueError, match=r"msgspec: 1 in client, 2 in scheduler"):
        inspecting._check_versions({"client": versions_of(), "scheduler": versions_of(msgspec="2")}, [])
