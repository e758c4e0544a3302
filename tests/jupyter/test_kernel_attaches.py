"""A real kernel, started by a real server, asks for the cluster of its cell."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nbcluster.errors import NotOurServerError
from nbcluster.jupyter import connection_file, discovery
from nbcluster.jupyter.discovery import ServerEndpoint
from nbcluster.jupyter.extension import NbclusterExtension
from tests.support.eventually import soon
from tests.support.fake_engine import FakeEngine
from tests.support.notebook import Notebook

ATTACH = """
import asyncio, json, sys
from nbcluster.jupyter import discovery
async def attach(**changes):
    wanted = dict(cell=discovery.cell_identity(), keywords=b"opaque", digest=b"d", name=None)
    attachment = await discovery.attach(discovery.find_server(), **{**wanted, **changes})
    print(json.dumps([attachment.cluster_id, attachment.address, attachment.dashboard_link]))
    return attachment
"""


@pytest.fixture
def notebook(app: NbclusterExtension, jp_fetch: Callable[..., Any], jp_asyncio_loop: Any) -> Iterator[Notebook]:
    opened = jp_asyncio_loop.run_until_complete(Notebook.open(jp_fetch, app.serverapp, "sub.ipynb"))
    yield opened
    opened.disconnect()


async def attach(notebook: Notebook, changes: str = "", cell: str | None = "cell-1") -> str:
    text = await notebook.run(f"{ATTACH}\nattachment = await attach({changes})", cell)
    cluster_id: str = json.loads(text)[0]
    return cluster_id


async def test_a_cell_gets_a_cluster_that_belongs_to_its_notebook(
    app: NbclusterExtension, engines: list[FakeEngine], notebook: Notebook, jp_root_dir: Path
) -> None:
    text = await notebook.run(f"{ATTACH}\nattachment = await attach(name='mine')")
    cluster_id, address, link = json.loads(text)
    cluster = app.manager.get(cluster_id)
    assert address == cluster.view.address
    assert link == f"/some/where/nbcluster/dashboard/{cluster_id}/status"
    assert (cluster.owner.kind, cluster.owner.path) == ("notebook", "sub.ipynb")
    assert cluster.owner.kernel_id == notebook.kernel_id
    spec = engines[0].spec
    assert (spec.name, spec.pickled_keywords) == ("mine", b"opaque")
    assert spec.cwd == str(jp_root_dir)
    assert json.loads(await notebook.run("print(json.dumps([sys.executable, sys.path]))")) == [
        spec.executable,
        [path if path != str(jp_root_dir) else "" for path in spec.sys_path or []],
    ]
    assert spec.environment["JPY_PARENT_PID"] == str(os.getpid())


async def test_the_kernel_needs_no_jupyter_server_for_it(notebook: Notebook) -> None:
    await attach(notebook)
    text = await notebook.run("print(sorted(n for n in ('jupyter_server', 'tornado.web') if n in sys.modules))")
    assert text == "[]"


async def test_the_same_cell_gets_the_same_cluster_even_after_a_restart(
    engines: list[FakeEngine], notebook: Notebook
) -> None:
    first = await attach(notebook)
    assert await attach(notebook) == first
    await notebook.restart()
    assert await attach(notebook) == first
    assert await attach(notebook, cell="cell-2") != first
    assert len(engines) == 2


async def test_a_front_end_without_cell_ids_goes_by_the_code(notebook: Notebook) -> None:
    first = await attach(notebook, cell=None)
    assert await attach(notebook, cell=None) == first
    assert await attach(notebook, "digest=b'other'", cell=None) != first


async def test_the_lease_begins_when_the_notebook_is_closed_and_ends_when_it_is_opened_again(
    app: NbclusterExtension, notebook: Notebook, jp_fetch: Callable[..., Any]
) -> None:
    cluster = app.manager.get(await attach(notebook))
    await notebook.shut_down()
    await soon(lambda: cluster.owner.lease is not None)
    again = await Notebook.open(jp_fetch, app.serverapp, notebook.path)
    await soon(lambda: cluster.owner.lease is None and cluster.owner.alive)
    assert cluster.owner.kernel_id == again.kernel_id != notebook.kernel_id
    assert await attach(again) == cluster.id
    again.disconnect()


async def test_a_restart_of_the_kernel_begins_no_lease(app: NbclusterExtension, notebook: Notebook) -> None:
    cluster = app.manager.get(await attach(notebook))
    owners = []
    app.manager._on_event = lambda action, view: owners.append(view.owner)
    await notebook.restart()
    await app.manager.reconcile()
    assert cluster.owner.alive
    assert all(owner is not None and owner.lease is None for owner in owners)


async def test_a_notebook_that_is_renamed_keeps_its_cluster(app: NbclusterExtension, notebook: Notebook) -> None:
    cluster = app.manager.get(await attach(notebook))
    await notebook.rename("other.ipynb")
    await soon(lambda: cluster.owner.path == "other.ipynb")
    assert await attach(notebook) == cluster.id


async def test_an_interrupt_is_told_to_the_kernels_client(notebook: Notebook) -> None:
    await attach(notebook)
    await notebook.run("heard = asyncio.Event(); attachment.on_interrupt = heard.set")
    await notebook.interrupt()
    await notebook.attempt("pass")  # the interrupt itself may hit a cell
    assert await notebook.run("await asyncio.wait_for(heard.wait(), 20); print('heard')") == "heard"


async def test_what_goes_wrong_is_raised_in_the_cell(app: NbclusterExtension, notebook: Notebook) -> None:
    from nbcluster.engines import registry

    registry.register("fake", lambda spec: FakeEngine(spec, failure="no nbcluster in that interpreter"))
    _, error = await notebook.attempt(f"{ATTACH}\nawait attach()")
    assert "ClusterError" in error
    assert "no nbcluster in that interpreter" in error
    app.manager.engine = "warp"
    _, error = await notebook.attempt(f"{ATTACH}\nawait attach(digest=b'2')")
    assert "ValueError" in error
    assert "no engine 'warp'" in error


async def test_another_process_is_not_taken_for_the_kernel(
    app: NbclusterExtension, engines: list[FakeEngine], notebook: Notebook
) -> None:
    content = connection_file.read(Path(os.environ[connection_file.ENVIRONMENT_VARIABLE]))
    assert content is not None
    for kernel_id in (notebook.kernel_id, "no-such-kernel"):
        endpoint = ServerEndpoint(content.address, bytes.fromhex(content.token), kernel_id)
        with pytest.raises(NotOurServerError):
            await discovery.attach(endpoint, cell="c", keywords=b"", digest=b"")
    assert engines == []


async def test_keywords_are_never_opened_by_the_server(
    engines: list[FakeEngine], notebook: Notebook, tmp_path: Path
) -> None:
    mark = tmp_path / "opened"
    bomb = f"""
import pathlib, pickle
class Bomb:
    def __reduce__(self):
        return (pathlib.Path.touch, (pathlib.Path({str(mark)!r}),))
"""
    await notebook.run(bomb)
    await attach(notebook, "keywords=pickle.dumps(Bomb())")
    assert engines[0].spec.pickled_keywords.startswith(b"\x80")
    assert not _exists(mark)


def _exists(path: Path) -> bool:
    return path.exists()
