"""A cluster's own process: how few there are, and where they are at home."""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from nbcluster import Client, LocalCluster, SubprocessCluster
from tests.support.marked import Mark

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

SMALL: dict[str, Any] = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}


def modules() -> set[str]:
    return set(sys.modules)


def surroundings() -> tuple[str, list[str], str | None, str | None]:
    return os.getcwd(), sys.path, os.environ.get("PYTHONPATH"), os.environ.get("OMP_NUM_THREADS")


def test_one_interpreter_is_started_and_everything_else_is_forked(monkeypatch: pytest.MonkeyPatch) -> None:
    mark = Mark()
    for name, value in mark.environment.items():
        monkeypatch.setenv(name, value)
    with SubprocessCluster(**SMALL) as cluster, Client(cluster) as client:
        lines = mark.processes()
        started = [pid for pid, line in lines.items() if "nbcluster.start" in line]
        assert len(started) == 1, lines
        others = sorted(line.strip() for pid, line in lines.items() if pid not in started)
        assert others == ["nbcluster worker 0", "nbcluster worker 1", "nbcluster zygote"]
        zygote = client.submit(os.getppid).result()
        assert lines[zygote].startswith("nbcluster zygote")


@pytest.mark.parametrize("kind", [LocalCluster, SubprocessCluster])
def test_workers_are_where_the_user_is_and_hold_no_scheduler(
    kind: type[LocalCluster] | type[SubprocessCluster],
) -> None:
    with kind(**SMALL, env={"OMP_NUM_THREADS": "3"}) as cluster, Client(cluster) as client:
        here = os.getcwd(), [path or os.getcwd() for path in sys.path], os.environ.get("PYTHONPATH"), "3"
        assert client.submit(surroundings).result() == here
        there = client.submit(modules).result()
        assert not {"psutil", "nbcluster.scheduler.core", "nbcluster.cluster.runtime"} & there
        assert client.submit(gc.isenabled).result()


def test_files_beside_a_notebook_hide_nothing_from_the_clusters_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("heapq", "msgspec", "uvloop", "pickle"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('this is not what was meant')")
    monkeypatch.chdir(tmp_path)
    with SubprocessCluster(**SMALL) as cluster, Client(cluster) as client:
        assert client.submit(os.getcwd).result() == str(tmp_path)
