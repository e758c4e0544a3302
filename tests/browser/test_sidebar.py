"""The sidebar: the server's clusters, live, and what can be done to them."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Locator, Response, expect

from tests.support.browser import LabPage
from tests.support.eventually import eventually
from tests.support.server_api import ServerApi


class Sidebar:
    """JupyterLab with the sidebar open."""

    def __init__(self, lab_page: LabPage) -> None:
        self.lab_page = lab_page
        self.page = lab_page.page
        self.api = ServerApi(lab_page.lab)

    def open(self, path: str = "") -> None:
        self.lab_page.open(path)
        self.page.evaluate("() => jupyterapp.shell.activateById('nbcluster-sidebar')")
        expect(self.part("sidebar")).to_be_visible()

    def part(self, name: str) -> Locator:
        return self.page.get_by_test_id(f"nbcluster-{name}")

    def entry(self, cluster_id: str) -> Locator:
        return self.page.locator(f'[data-testid="nbcluster-cluster"][data-cluster-id="{cluster_id}"]')

    def new(self, name: str) -> str:
        """Make a cluster with the dialog; returns its id."""
        self.part("sidebar-new").click()
        expect(self.part("new-name")).to_be_focused()  # else the dialog may move the focus while the next is filled in
        self.part("new-name").fill(name)
        self.part("new-workers").fill("1")
        with self.page.expect_response(_makes_a_cluster) as made:
            self.page.locator(".jp-Dialog .jp-mod-accept").click()
        assert made.value.status == HTTPStatus.CREATED, made.value.text()
        view = made.value.json()
        assert view["name"] == name
        assert view["id"] in [other["id"] for other in self.api.clusters()]
        return str(view["id"])

    def view(self, cluster_id: str) -> dict[str, object]:
        view: dict[str, object] = self.api.get(f"clusters/{cluster_id}")
        return view

    def shut_down(self, cluster_id: str) -> None:
        self.entry(cluster_id).get_by_test_id("nbcluster-shut-down").click()
        self.page.locator(".jp-Dialog .jp-mod-accept").click()


def _makes_a_cluster(answer: Response) -> bool:
    return answer.request.method == "POST" and urlsplit(answer.url).path.endswith("/api/v1/clusters")


@pytest.fixture
def sidebar(lab_page: LabPage) -> Sidebar:
    return Sidebar(lab_page)


def test_a_cluster_is_made_scaled_and_shut_down_and_the_list_follows(
    sidebar: Sidebar, screenshot: Callable[[str], Path]
) -> None:
    sidebar.open()
    cluster_id = sidebar.new("from-the-sidebar")
    entry = sidebar.entry(cluster_id)
    expect(entry).to_have_attribute("data-status", "running", timeout=30_000)
    field = entry.get_by_test_id("nbcluster-scale-input")
    field.fill("2")
    field.press("Enter")
    eventually(lambda: sidebar.view(cluster_id)["requested"] == 2)
    expect(entry.get_by_test_id("nbcluster-figure-workers")).to_have_attribute("data-value", "2", timeout=30_000)
    screenshot("sidebar")
    sidebar.shut_down(cluster_id)
    eventually(lambda: all(view["id"] != cluster_id for view in sidebar.api.clusters()))
    expect(entry).to_have_count(0)


def test_client_code_is_inserted_into_the_notebook_and_runs(sidebar: Sidebar) -> None:
    path = sidebar.lab_page.lab.write_notebook("inserted.ipynb", ["1 + 1"])
    sidebar.open(path)
    sidebar.lab_page.wait_for_kernel()
    cluster_id = sidebar.new("for-a-notebook")
    entry = sidebar.entry(cluster_id)
    expect(entry).to_have_attribute("data-status", "running", timeout=30_000)
    entry.get_by_test_id("nbcluster-insert-code").click()
    expect(sidebar.lab_page.cell(1)).to_contain_text("Client(")
    sidebar.lab_page.run_all(60)
    assert "Client" in sidebar.lab_page.text(1) or sidebar.lab_page.outputs(1) == []
    assert not [output for output in sidebar.lab_page.outputs(1) if output["output_type"] == "error"]
    eventually(lambda: sidebar.view(cluster_id)["clients"] == 1)
    sidebar.shut_down(cluster_id)
    eventually(lambda: all(view["id"] != cluster_id for view in sidebar.api.clusters()))


def test_the_dashboard_opens_in_a_pane_of_jupyterlab(sidebar: Sidebar, screenshot: Callable[[str], Path]) -> None:
    sidebar.open()
    cluster_id = sidebar.new("with-a-pane")
    entry = sidebar.entry(cluster_id)
    expect(entry).to_have_attribute("data-status", "running", timeout=30_000)
    entry.get_by_test_id("nbcluster-open-dashboard").click()
    frame = sidebar.part("dashboard-pane").get_by_test_id("nbcluster-dashboard-frame").content_frame
    expect(frame.locator("body")).to_contain_text("No tasks yet", timeout=60_000)
    screenshot("sidebar-dashboard-pane")
    sidebar.shut_down(cluster_id)
    eventually(lambda: all(view["id"] != cluster_id for view in sidebar.api.clusters()))


def test_a_name_full_of_markup_is_text_and_nothing_else(sidebar: Sidebar) -> None:
    sidebar.open()
    name = "<img src=x onerror='window.hacked=1'>"
    cluster_id = sidebar.new(name)
    expect(sidebar.entry(cluster_id)).to_contain_text(name)
    assert sidebar.page.evaluate("() => window.hacked") is None
    sidebar.shut_down(cluster_id)
    eventually(lambda: all(view["id"] != cluster_id for view in sidebar.api.clusters()))
