"""Clusters that a Jupyter server owns: rows 16 and 17 of the table of faults, and what else ends, or does not.

Real servers, real kernels, real clusters; the kernel's cells are sent without a browser.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import tempfile
import time
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from nbcluster.comm.credentials import ENVIRONMENT_VARIABLE
from tests.support.eventually import eventually
from tests.support.lab import Lab, running_lab
from tests.support.lab_notebook import LabNotebook, call, clusters, read
from tests.support.marked import Mark

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

CLIENT = """
from nbcluster import Client
client = Client(n_workers=2, threads_per_worker=1)
"""
BUSY = {
    "idle": "",
    "GIL held": """
def hold():
    import ctypes
    ctypes.PyDLL(None).sleep(300)
""",
    "grandchildren": """
def hold():
    import subprocess, time
    subprocess.Popen(["sh", "-c", "sleep 301 & sleep 301"], start_new_session=True)
    time.sleep(300)
""",
}


@pytest.fixture
def doomed() -> Iterator[tuple[Lab, Mark]]:
    """A server that does not survive the test."""
    mark = Mark()
    with server(mark) as lab:
        yield lab, mark


@pytest.fixture(scope="module")
def _one_server() -> Iterator[tuple[Lab, Mark]]:
    mark = Mark()
    with server(mark) as lab:
        yield lab, mark


@pytest.fixture
def lab(_one_server: tuple[Lab, Mark]) -> Iterator[Lab]:
    """A server that several tests share; each leaves it as it was."""
    lab, _ = _one_server
    yield lab
    for session in call(lab, "GET", "api/sessions"):
        call(lab, "DELETE", f"api/sessions/{session['id']}")
    for view in clusters(lab):
        call(lab, "DELETE", f"nbcluster/api/v1/clusters/{view['id']}")


@pytest.fixture
def mark(_one_server: tuple[Lab, Mark]) -> Mark:
    """The processes of the shared server."""
    return _one_server[1]


@contextlib.contextmanager
def server(mark: Mark) -> Iterator[Lab]:
    limits = ("--ClusterManager.max_workers=3", "--ClusterManager.max_memory=8000000000")
    with tempfile.TemporaryDirectory(prefix="nbrun-") as folder:
        environment = {**mark.environment, ENVIRONMENT_VARIABLE: folder}
        with running_lab(environment=environment, arguments=limits) as lab:
            eventually(lambda: list(lab.runtime_dir.glob("nbcluster-*")))
            yield lab


def private_files(lab: Lab) -> set[Path]:
    """The directories of the server and of its clusters: nobody else's are beside them."""
    [file] = lab.runtime_dir.glob("nbcluster-*")
    return set(Path(json.loads(file.read_text())["address"].removeprefix("unix://")).parent.parent.iterdir())


def no_kernels(mark: Mark) -> dict[int, str]:
    """Processes of ours: kernels end when they notice that their server is gone, which is their business."""
    return {pid: line for pid, line in mark.processes().items() if "ipykernel" not in line}


def working(lab: Lab, state: str) -> Callable[[], object]:
    """Whether the cluster is as the test wants it."""
    return lambda: [view for view in clusters(lab) if state == "idle" or view["tasks"]["processing"] == 2]


@pytest.mark.parametrize("state", BUSY)
def test_when_the_server_is_killed_nothing_of_ours_is_left(doomed: tuple[Lab, Mark], state: str) -> None:
    lab, mark = doomed
    with LabNotebook(lab) as notebook:
        submit = "futures = client.map(lambda i: hold(), range(2))" if BUSY[state] else ""
        notebook.run(f"{CLIENT}{BUSY[state]}{submit}")
        eventually(working(lab, state))
        if state == "grandchildren":
            eventually(lambda: sum("sleep 301" in line for line in no_kernels(mark).values()) >= 4)
        assert len(no_kernels(mark)) >= 5  # server, cluster, zygote, two workers
        lab.process.kill()
        killed = time.monotonic()
        eventually(lambda: not no_kernels(mark), f"left: {no_kernels(mark)}", timeout=5)
        print(f"{state}: nothing left after {time.monotonic() - killed:.2f} s")


def test_when_the_server_is_stopped_nothing_of_ours_is_left(doomed: tuple[Lab, Mark]) -> None:
    lab, mark = doomed
    with LabNotebook(lab) as notebook:
        notebook.run(f"{CLIENT}{BUSY['grandchildren']}futures = client.map(lambda i: hold(), range(2))")
        eventually(working(lab, "grandchildren"))
        lab.process.send_signal(signal.SIGTERM)
        eventually(lambda: not no_kernels(mark), timeout=15)
    assert not list(lab.runtime_dir.glob("nbcluster-*"))


def test_a_killed_kernel_leaves_its_cluster_and_none_of_its_results(lab: Lab) -> None:
    with LabNotebook(lab) as notebook:
        notebook.run(f"{CLIENT}keep = client.map(bytes, [10**6 + i for i in range(20)])\nclient.gather(keep)")
        eventually(lambda: clusters(lab)[0]["tasks"]["memory"] == 20, "views come once a second", timeout=10)
        [before] = clusters(lab)
        pid = int(notebook.run("import os; print(os.getpid())"))
        notebook.disconnect()
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: clusters(lab)[0]["tasks"]["memory"] == 0, timeout=10)
        [after] = clusters(lab)
        assert (after["id"], after["status"]) == (before["id"], "running")
        assert [worker["pid"] for worker in after["workers"]] == [worker["pid"] for worker in before["workers"]]
        # Jupyter starts the kernel again by itself, and the cell gets its cluster back. (It hears of the new kernel's
        # state only when somebody talks to that.)
        assert int(notebook.run("import os; print(os.getpid())")) != pid
        notebook.run(CLIENT)
        assert [view["id"] for view in clusters(lab)] == [before["id"]]


def test_a_restarted_kernel_and_a_cell_run_twice_get_the_same_cluster(lab: Lab) -> None:
    show = "print(client.cluster.scheduler_address)"
    with LabNotebook(lab) as notebook:
        first = notebook.run(CLIENT + show)
        assert first
        assert notebook.run(CLIENT + show) == first
        notebook.restart()
        assert notebook.run(CLIENT + show) == first
        other = CLIENT.replace("n_workers=2", "n_workers=1")
        second = notebook.run(other + show)
        assert second != first
        eventually(lambda: len(clusters(lab)) == 1)
        assert notebook.run(other + show, cell="cell-2") not in (first, second)
        assert len(clusters(lab)) == 2


def test_tasks_run_where_the_cell_runs_and_not_below_the_kernel(lab: Lab) -> None:
    (lab.root / "sub").mkdir()
    (lab.root / "sub" / "beside.py").write_text("def double(x):\n    return 2 * x\n")
    with LabNotebook(lab, "sub/a.ipynb") as notebook:
        notebook.run("import os; os.environ['FROM_CELL'] = 'yes'")
        told = json.loads(
            notebook.run(
                f"""{CLIENT}
import json, os, sys, beside
def where():
    return sys.executable, os.getcwd(), os.environ.get("FROM_CELL"), os.getpid()
here = where()
there = client.submit(where).result()
print(json.dumps([client.gather(client.map(beside.double, range(3))), here[:3] == there[:3], here[3], there[3]]))
"""
            )
        )
        doubled, same, kernel, worker = told
        assert (doubled, same) == ([0, 2, 4], True)
        assert kernel not in [parent.pid for parent in psutil.Process(worker).parents()]
        assert lab.process.pid in [parent.pid for parent in psutil.Process(worker).parents()]


def test_a_cluster_that_was_shut_down_leaves_no_process_and_no_file(lab: Lab, mark: Mark) -> None:
    before = private_files(lab)
    with LabNotebook(lab) as notebook:
        notebook.run(CLIENT)
        [view] = clusters(lab)
        assert private_files(lab) > before
        call(lab, "DELETE", f"nbcluster/api/v1/clusters/{view['id']}")
        assert clusters(lab) == []
        assert set(no_kernels(mark)) == {lab.process.pid}
        assert private_files(lab) == before
        # The cell makes a new one.
        notebook.run(CLIENT)
        assert clusters(lab)[0]["id"] != view["id"]


def test_a_cluster_whose_process_is_killed_is_shown_with_the_reason(lab: Lab, mark: Mark) -> None:
    with LabNotebook(lab) as notebook:
        notebook.run(CLIENT)
        [process] = [pid for pid, line in no_kernels(mark).items() if "nbcluster.cluster.process" in line]
        os.kill(process, signal.SIGKILL)
        eventually(lambda: clusters(lab)[0]["status"] == "failed")
        eventually(lambda: "SIGKILL" in clusters(lab)[0]["message"])
        eventually(lambda: set(no_kernels(mark)) == {lab.process.pid})
        notebook.run(f"{CLIENT}assert client.submit(sum, (1, 2)).result() == 3")
        eventually(lambda: [view["status"] for view in clusters(lab)] == ["running"])


def test_rest_scales_a_real_cluster_and_reads_its_log(lab: Lab) -> None:
    view = call(lab, "POST", "nbcluster/api/v1/clusters", {"n_workers": 1, "threads_per_worker": 1})
    one = f"nbcluster/api/v1/clusters/{view['id']}"
    eventually(lambda: call(lab, "GET", one)["status"] == "running")
    call(lab, "POST", f"{one}/scale", {"n": 3})
    eventually(lambda: [each["status"] for each in call(lab, "GET", one)["workers"]] == ["running"] * 3)
    assert call(lab, "GET", f"{one}/logs")["lines"]
    call(lab, "DELETE", one)
    assert clusters(lab) == []


def test_the_dashboard_has_no_port_and_shows_through_the_server(lab: Lab, mark: Mark) -> None:
    with LabNotebook(lab) as notebook:
        link = notebook.run(f"{CLIENT}print(client.dashboard_link)")
        assert link == clusters(lab)[0]["dashboard_link"]
        ports = [
            connection.laddr.port
            for pid in no_kernels(mark)
            if pid != lab.process.pid
            for connection in psutil.Process(pid).net_connections("tcp")
            if connection.status == psutil.CONN_LISTEN
        ]
        assert ports == [int(clusters(lab)[0]["address"].rpartition(":")[2])]
        below_base_url = link.removeprefix(urllib.parse.urlsplit(lab.url).path)
        assert b"bokeh" in read(lab, below_base_url)


def test_the_administrators_limits_hold_in_cells_too(lab: Lab) -> None:
    with LabNotebook(lab) as notebook:
        notebook.run(CLIENT)
        for code in ("client.cluster.scale(4)", "Client(n_workers=4)"):
            _, error = notebook.finish(notebook.begin(code))
            assert "ValueError" in error
            assert "more than the administrator allows: 3" in error
        [view] = [view for view in clusters(lab) if view["status"] == "running"]
        assert view["capacity"] == 3
        assert sum(worker["memory_limit"] for worker in view["workers"]) <= 8 * 10**9
        notebook.run("client.cluster.adapt(minimum=0)")
        eventually(lambda: [view["adaptive"]["maximum"] for view in clusters(lab) if view["adaptive"]] == [3])
