from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from nbcluster.commands import Scale
from nbcluster.jupyter import connection_file
from nbcluster.jupyter.extension import NbclusterExtension
from nbcluster.jupyter.models import NewCluster
from nbcluster.snapshot import TaskCounts
from nbcluster.types import Status
from tests.support.eventually import soon
from tests.support.fake_engine import FakeEngine


@pytest.fixture
def server_config() -> dict[str, Any]:
    return {"ClusterManager": {"max_workers": 3, "lease": 7.5}, "NbclusterExtension": {"stop_timeout": 3.0}}


async def test_the_administrators_settings_arrive(app: NbclusterExtension, jp_fetch: Callable[..., Any]) -> None:
    assert (app.manager.max_workers, app.manager.lease, app.stop_timeout) == (3, 7.5, 3.0)
    response = await jp_fetch("nbcluster", "api", "v1", "capacity")
    assert json.loads(response.body)["workers"]["value"] <= 3


async def test_clusters_that_work_keep_the_server_from_being_culled(
    app: NbclusterExtension, engines: list[FakeEngine], jp_fetch: Callable[..., Any]
) -> None:
    server = app.serverapp
    assert server is not None
    activity: Any = server.extension_manager.any_activity
    times = server.web_app.settings["last_activity_times"]
    await (await app.manager.new(NewCluster())).started()
    await jp_fetch("nbcluster", "api", "v1", "clusters")
    assert not activity()
    assert "nbcluster" not in times
    engines[0].change(tasks=TaskCounts(processing=2))
    assert activity()
    before = times["nbcluster"]
    engines[0].change(tasks=TaskCounts(queued=1))
    assert times["nbcluster"] > before
    engines[0].change(tasks=TaskCounts(done=3))
    assert not activity()


async def test_a_page_that_is_merely_open_is_no_activity(app: NbclusterExtension, jp_fetch: Callable[..., Any]) -> None:
    assert app.serverapp is not None
    settings = app.serverapp.web_app.settings
    settings["api_last_activity"] = None
    await jp_fetch("nbcluster", "api", "v1", "clusters")
    assert settings["api_last_activity"] is None
    await jp_fetch("nbcluster", "api", "v1", "clusters", method="POST", body="{}")
    assert settings["api_last_activity"] is not None


async def test_stopping_the_server_ends_all_clusters(app: NbclusterExtension, engines: list[FakeEngine]) -> None:
    for _ in range(2):
        await app.manager.new(NewCluster())
    await soon(lambda: len(engines) == 2)
    await app.stop_extension()
    assert [engine.status for engine in engines] == [Status.CLOSED] * 2
    await app.stop_extension()


async def test_a_broken_engine_does_not_hold_up_the_stop(app: NbclusterExtension) -> None:
    from nbcluster.engines import registry

    class Stubborn(FakeEngine):
        async def close(self, timeout: float = 10.0) -> None:
            await super().close(timeout)
            raise OSError("no")

    registry.register("fake", Stubborn)
    await (await app.manager.new(NewCluster())).started()
    await app.stop_extension()


async def test_kernels_learn_only_a_path(app: NbclusterExtension) -> None:
    path = os.environ[connection_file.ENVIRONMENT_VARIABLE]
    assert path == str(connection_file.path_of(os.getpid()))


async def test_views_tell_the_dashboards_link_only_while_there_is_one(
    app: NbclusterExtension, engines: list[FakeEngine]
) -> None:
    cluster = await app.manager.new(NewCluster())
    assert cluster.view.dashboard_link == ""
    await cluster.started()
    await cluster.call(Scale(n=1))
    assert cluster.view.dashboard_link == f"/some/where/nbcluster/dashboard/{cluster.id}/status"


def test_the_server_finds_the_extension_and_imports_no_scheduler() -> None:
    """What the server's process imports: neither Bokeh nor any part of an engine."""
    code = """
import sys, nbcluster
[point] = nbcluster._jupyter_server_extension_points()
assert point["module"] == "nbcluster" and point["app"].name == "nbcluster"
loaded = [name for name in sys.modules if name.split(".")[:2] in (
    ["nbcluster", part] for part in ("scheduler", "worker", "client", "cluster", "supervisor", "dashboard"))]
print(loaded, "bokeh" in sys.modules, "uvloop" in sys.modules)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    answer = subprocess.run([sys.executable, "-c", code], check=True, env=environment, capture_output=True)
    assert answer.stdout.decode().strip() == "[] False False"
