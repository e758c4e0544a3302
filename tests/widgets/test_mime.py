from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from ipywidgets.widgets.widget import Widget  # type: ignore[import-untyped]

from nbcluster.snapshot import SCHEMA_VERSION
from nbcluster.widgets import ServerInfo, card, mime, mimebundle
from nbcluster.widgets.mime import CARD, WIDGET
from tests.widgets.conftest import ID, make_engine

SERVER = ServerInfo(ID, f"/user/jo/nbcluster/dashboard/{ID}/status")


@pytest.fixture(autouse=True)
def _no_cards_left() -> Iterator[None]:
    yield
    card._cards.clear()
    Widget.close_all()


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process is a kernel."""
    monkeypatch.setattr(mime, "in_kernel", lambda: True)


def bundle(server: ServerInfo | None = None, closed: bool = False) -> dict[str, Any]:
    async def main() -> dict[str, Any]:
        engine = make_engine()
        await engine.start()
        if closed:
            await engine.close()
        return mimebundle(engine, "Cluster(…)", loop=asyncio.get_running_loop, server=server)

    return asyncio.run(main())


@pytest.mark.usefixtures("kernel")
def test_a_server_owned_cluster_has_all_layers() -> None:
    data = bundle(SERVER)
    assert set(data) == {"text/plain", "text/html", WIDGET, CARD}
    assert data["text/plain"] == "Cluster(…)"
    assert data[CARD]["id"] == ID
    assert data[CARD]["version"] == SCHEMA_VERSION
    assert data[CARD]["view"]["status"] == "running"
    assert data[WIDGET]["model_id"]
    json.dumps(data)


@pytest.mark.usefixtures("kernel")
def test_the_lab_extension_hears_nothing_of_a_cluster_that_the_server_does_not_know() -> None:
    assert set(bundle()) == {"text/plain", "text/html", WIDGET}


def test_there_are_no_widgets_where_nobody_shows_them() -> None:
    assert set(bundle()) == {"text/plain", "text/html"}


@pytest.mark.usefixtures("kernel")
def test_a_closed_cluster_has_no_live_widgets() -> None:
    data = bundle(SERVER, closed=True)
    assert WIDGET not in data
    assert data[CARD]["view"]["status"] == "closed"


def test_a_notebook_does_not_keep_the_address_of_a_dashboard() -> None:
    data = bundle(SERVER)
    assert data[CARD]["view"]["dashboard_link"] == ""
    assert SERVER.dashboard_link in data["text/html"]


def test_this_process_is_no_kernel() -> None:
    assert not mime.in_kernel()
