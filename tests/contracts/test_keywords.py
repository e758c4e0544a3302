"""The keywords of LocalCluster that say how its scheduler and its workers live: each by what it does."""

from __future__ import annotations

import asyncio
import functools
import threading
import urllib.request
from collections.abc import Callable
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.contracts.conftest import SMALL
from tests.contracts.gates import inc
from tests.support.eventually import eventually

Keywords = Callable[..., dict[str, Any]]


# --- positions ---


def test_keywords_have_the_peers_positions(api: Any, keywords: Keywords) -> None:
    rest = {name: value for name, value in keywords().items() if name not in SMALL}
    with api.LocalCluster("ada", 1, 2, False, **rest) as cluster:
        assert (cluster.name, len(cluster.workers)) == ("ada", 1)
        assert [worker["nthreads"] for worker in cluster.scheduler_info["workers"].values()] == [2]


# --- preload ---


def test_preload_runs_a_file_before_the_worker_joins(own: Any, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    (tmp_path / "ada_preload.py").write_text(
        "from pathlib import Path\n"
        "async def dask_setup(worker):\n"
        f"    Path({str(mark)!r}).write_text(str(worker.name))\n"
        "def dask_teardown(worker):\n"
        f"    Path({str(mark)!r}).write_text('gone')\n"
    )
    cluster = own(preload=str(tmp_path / "ada_preload.py"))
    assert mark.read_text() == "0"
    cluster.close()
    assert mark.read_text() == "gone"


def test_preload_imports_modules_and_the_scheduler_can_preload_too(
    api: Any, own: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, schedulers = f"{api.__name__}_mine", f"{api.__name__}_schedulers"
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in (mine, schedulers):
        (tmp_path / f"{name}.py").write_text(
            f"def dask_setup(service):\n    open({str(tmp_path / f'{name}.mark')!r}, 'w').close()\n"
        )
    own(preload=[mine], scheduler_kwargs={"dashboard": False, "preload": [schedulers]})
    assert (tmp_path / f"{mine}.mark").exists()
    assert (tmp_path / f"{schedulers}.mark").exists()


TEARDOWN = "def dask_teardown(service):\n    {}\n"


def test_a_preload_that_fails_at_the_end_keeps_nothing_from_ending(api: Any, own: Any, tmp_path: Path) -> None:
    preloads = []
    for name in ("workers", "schedulers"):
        path = str(tmp_path / name)
        note = TEARDOWN.format(f"with open({path!r}, 'a') as file: file.write('x')")
        preloads.append([note, TEARDOWN.format("1 / 0"), note])
    cluster = own(preload=preloads[0], scheduler_kwargs={"dashboard": False, "preload": preloads[1]})
    cluster.close()
    assert cluster.status == api.Status.closed
    assert [(tmp_path / name).read_text() for name in ("workers", "schedulers")] == ["xx", "xx"]


@pytest.mark.differs("failing preloads")
@pytest.mark.parametrize("processes", [False, True])
def test_a_preload_that_fails_at_the_start_says_so(own: Any, processes: bool) -> None:
    failing = "def dask_setup(service):\n    1 / 0\n"
    with pytest.raises(RuntimeError, match="ZeroDivisionError: division by zero"):
        own(processes=processes, preload=failing)
    with pytest.raises(ZeroDivisionError):
        own(processes=processes, scheduler_kwargs={"preload": failing})


def test_a_preload_may_be_the_address_of_a_file(own: Any, tmp_path: Path) -> None:
    served, mark = tmp_path / "served", tmp_path / "mark"
    served.mkdir()
    (served / "code.py").write_text(
        f"from pathlib import Path\ndef dask_setup(worker):\n    Path({str(mark)!r}).write_text(str(worker.name))\n"
    )
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(served))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        own(preload=f"http://127.0.0.1:{server.server_port}/code.py")
        server.shutdown()
    assert mark.read_text() == "0"


def test_a_preload_may_be_source_on_one_line(own: Any, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    own(preload=f"def dask_setup(service): open({str(mark)!r}, 'w').close()")
    assert mark.exists()


@pytest.mark.differs("bad input")
def test_a_preload_that_fails_says_so_at_once(own: Any) -> None:
    with pytest.raises(RuntimeError, match=r"no_such_module_at_all"):
        own(preload="no_such_module_at_all")


# --- deaths ---


SLOW = "import asyncio\nasync def dask_setup(worker):\n    await asyncio.Event().wait()\n"


def test_a_cluster_whose_workers_are_not_there_in_time_does_not_start(own: Any) -> None:
    with pytest.raises((RuntimeError, asyncio.TimeoutError)):
        own(preload=[SLOW], death_timeout="500ms")


# --- lifetimes ---


@pytest.mark.parametrize("processes", [True, False])
def test_workers_that_come_too_late_are_a_timeout(api: Any, own: Any, processes: bool) -> None:
    with pytest.raises((TimeoutError, asyncio.TimeoutError)):
        own(death_timeout=1e-10, processes=processes)


class Marking:
    """What makes a plugin one that leaves a mark."""

    def setup(self, worker: Any) -> None:
        worker.marked = True


def is_marked(dask_worker: Any) -> bool:
    return bool(dask_worker.marked)


@pytest.mark.parametrize("kind", [list, tuple, set])
def test_plugins_of_workers_may_be_in_any_container(api: Any, own: Any, kind: Any) -> None:
    plugin = type("Plugin", (Marking, api.WorkerPlugin), {})()
    with api.Client(own(plugins=kind([plugin])), set_as_default=False) as client:
        assert list(client.run(is_marked).values()) == [True]


def test_a_worker_ends_when_its_lifetime_is_over(own: Any) -> None:
    cluster = own(lifetime="100ms", lifetime_stagger="10ms")
    eventually(lambda: not cluster.scheduler_info["workers"], "no worker any more")


@pytest.mark.differs("lifetimes")
def test_another_worker_takes_its_place_and_results_stay(api: Any, own: Any) -> None:
    cluster = own(n_workers=2, lifetime="200ms", lifetime_restart=True)
    with api.Client(cluster, set_as_default=False) as client:
        future = client.submit(inc, 1)
        assert future.result() == 2
        eventually(lambda: cluster.get_logs()["Scheduler"].count("joined") >= 4, "two more workers")
        assert client.gather(future) == 2
        assert cluster.plan == {0, 1}


# --- scheduler_kwargs ---


@pytest.mark.differs("idle clusters")
def test_a_cluster_closes_after_it_was_idle(api: Any, own: Any) -> None:
    cluster = own(scheduler_kwargs={"dashboard": False, "idle_timeout": "300ms"})
    with api.Client(cluster, set_as_default=False) as client:
        assert client.submit(inc, 1).result() == 2
    eventually(lambda: cluster.status == "closed")


@pytest.mark.differs("dashboard prefix")
def test_http_prefix_is_the_dashboards(own: Any) -> None:
    cluster = own(dashboard_address=":0", scheduler_kwargs={"http_prefix": "/foo"})
    assert cluster.dashboard_link.endswith("/foo/status")


@pytest.mark.differs("bad input")
def test_an_unknown_option_of_the_scheduler_is_named(own: Any) -> None:
    with pytest.raises(TypeError, match=r"scheduler_kwargs.*'idle_timeot'; did you mean 'idle_timeout'"):
        own(scheduler_kwargs={"idle_timeot": 1})


# --- classes ---


def test_the_class_of_workers_decides_between_threads_and_processes(api: Any, own: Any) -> None:
    assert api.Worker is not api.Nanny
    assert own(processes=None, worker_class=api.Worker).scheduler_address.startswith("inproc://")


@pytest.mark.differs("bad input")
def test_a_class_that_contradicts_processes_is_refused(api: Any, own: Any) -> None:
    with pytest.raises(ValueError, match="contradicts processes=True"):
        own(processes=True, worker_class=api.Worker)
    with pytest.raises(TypeError, match="worker_class="):
        own(worker_class=type("Sub", (api.Worker,), {}))


# --- the rest ---


@pytest.mark.differs("worker dashboards")
def test_the_workers_dashboard_is_served_where_it_is_asked_for(own: Any) -> None:
    cluster = own(worker_dashboard_address="127.0.0.1:0")
    assert cluster.dashboard_link == ""
    [link] = [line.rsplit(maxsplit=1)[-1] for line in cluster.get_logs()["Cluster"].splitlines() if "http://" in line]
    with urllib.request.urlopen(link.replace("/status", "/health"), timeout=30) as answer:
        assert answer.read() == b"ok"


@pytest.mark.differs("legacy keywords")
@pytest.mark.parametrize("keyword", ["services", "worker_services"])
def test_legacy_keywords_are_refused_with_what_to_do_instead(own: Any, keyword: str) -> None:
    with pytest.raises(TypeError, match=f"{keyword}=.* has no meaning here"):
        own(**{keyword: {("x", 0): object}})


@pytest.mark.differs("bad input")
def test_another_event_loop_is_refused(own: Any) -> None:
    with pytest.raises(ValueError, match=r"loop=.*leave it out"):
        own(loop=object())


# --- plugins ---


def _greeting() -> str:
    from nbcluster import get_worker

    return str(get_worker().plugins["greeting"].text)


@pytest.mark.differs("plugins of schedulers")
def test_plugins_are_set_up_before_the_first_task(api: Any, own: Any, tmp_path: Path) -> None:
    class Greeting(api.WorkerPlugin):  # type: ignore[misc]
        name = "greeting"
        text = ""

        def setup(self, worker: Any) -> None:
            self.text = f"hello from {worker.name}"

    class Marks(api.SchedulerPlugin):  # type: ignore[misc]
        def __init__(self, path: str) -> None:
            self.path = path

        def start(self, scheduler: Any) -> None:
            Path(self.path).touch()

    cluster = own(plugins=[Greeting()], scheduler_kwargs={"plugins": [Marks(str(tmp_path / "mark"))]})
    assert (tmp_path / "mark").exists()
    with api.Client(cluster, set_as_default=False) as client:
        assert client.submit(_greeting).result() == "hello from 0"


@pytest.mark.differs("bad input")
def test_what_is_no_plugin_is_refused(own: Any) -> None:
    with pytest.raises(TypeError, match=r"plugins=.*nbcluster.WorkerPlugin"):
        own(plugins=[object()])
    with pytest.raises(TypeError, match=r"plugins=.*nbcluster.SchedulerPlugin"):
        own(scheduler_kwargs={"plugins": [object()]})
