"""The card as the lab extension shows it: every control by hand, its effect seen through the server's API."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, expect

from tests.support.browser import LabPage
from tests.support.eventually import eventually
from tests.support.server_api import ServerApi

CLIENT = "from nbcluster import Client\nclient = Client(n_workers=1, threads_per_worker=1)\nclient"
BUSY = "import pathlib, time\nwhile not pathlib.Path({!r}).exists(): time.sleep(0.01)"


class Card:
    """A notebook with the card of its cluster."""

    def __init__(self, lab_page: LabPage, name: str) -> None:
        self.lab_page = lab_page
        self.page = lab_page.page
        self.notebook = f"{name}.ipynb"
        self.api = ServerApi(lab_page.lab)

    def run(self, *cells: str) -> None:
        """Run the cell that shows the card, and those below it."""
        self.lab_page.open_notebook(self.lab_page.lab.write_notebook(self.notebook, [CLIENT, *cells]))
        self.lab_page.run_all(90)
        expect(self.root).to_have_attribute("data-phase", "live")

    @property
    def root(self) -> Locator:
        return self.page.get_by_test_id("nbcluster-card")

    def part(self, name: str) -> Locator:
        return self.root.get_by_test_id(f"nbcluster-{name}")

    def confirm(self) -> None:
        """Say yes in JupyterLab's dialog."""
        self.page.locator(".jp-Dialog .jp-mod-accept").click()

    def view(self) -> dict[str, Any]:
        return self.api.cluster(self.notebook)


@pytest.fixture
def card(lab_page: LabPage, request: pytest.FixtureRequest) -> Iterator[Card]:
    card = Card(lab_page, request.node.name)
    yield card
    for view in card.api.clusters(card.notebook):
        card.api.delete(f"clusters/{view['id']}")
    card.page.evaluate("() => jupyterapp.shell.currentWidget?.sessionContext?.shutdown()")


def test_the_slider_scales_while_a_cell_keeps_the_kernel_busy(card: Card, screenshot: Callable[[str], Path]) -> None:
    card.run()
    go = card.lab_page.lab.root / "slider-go"
    card.page.evaluate(
        "code => void jupyterapp.shell.currentWidget.sessionContext.session.kernel.requestExecute({code})",
        BUSY.format(str(go)),
    )
    slider = card.part("scale-slider")
    box = slider.bounding_box()
    assert box is not None
    card.page.mouse.click(box["x"] + box["width"] * 2 / 8, box["y"] + box["height"] / 2)
    slider.press("ArrowRight")
    eventually(lambda: len(card.view()["workers"]) == 3)
    expect(card.part("figure-workers")).to_have_attribute("data-value", "3")
    screenshot("card-lab-scaled")
    go.touch()


def test_the_number_beside_the_slider_scales_too(card: Card) -> None:
    card.run()
    card.part("scale-input").fill("2")
    card.part("scale-input").press("Enter")
    eventually(lambda: len(card.view()["workers"]) == 2)
    expect(card.part("scale-slider")).to_have_value("2")


def test_the_switch_adapts_between_minimum_and_maximum_and_back(card: Card) -> None:
    card.run()
    card.part("adapt-minimum").fill("2")
    card.part("adapt-maximum").fill("3")
    card.part("adapt-switch").click()
    eventually(lambda: (card.view()["adaptive"] or {}).get("minimum") == 2)
    assert card.view()["adaptive"]["maximum"] == 3
    eventually(lambda: len(card.view()["workers"]) == 2)
    expect(card.part("adapt-switch")).to_have_attribute("aria-checked", "true")
    card.part("adapt-switch").click()
    eventually(lambda: card.view()["adaptive"] is None)


def test_the_logs_show_what_tasks_print_and_can_be_searched(card: Card) -> None:
    card.run("client.gather(client.map(print, ['<b>needle</b>', 'hay']))")
    card.part("tab-logs").click()
    lines = card.part("log-line")
    expect(lines.filter(has_text="<b>needle</b>")).to_have_count(1)
    expect(lines.filter(has_text="hay")).to_have_count(1)
    card.part("log-search").fill("needle")
    expect(lines.filter(has_text="hay")).to_have_count(0)
    expect(lines.filter(has_text="<b>needle</b>")).to_have_count(1)


def test_the_dashboard_is_there_below_the_base_url_and_alive(card: Card, screenshot: Callable[[str], Path]) -> None:
    card.run("len(client.gather(client.map(abs, range(200))))")
    card.part("tab-dashboard").click()
    frame = card.part("dashboard-frame").content_frame
    expect(frame.locator("body")).to_contain_text("Task stream", timeout=60_000)
    expect(frame.locator("body")).to_contain_text("200 tasks", timeout=30_000)
    source = card.part("dashboard-frame").get_attribute("src") or ""
    assert "/user/jo/nbcluster/dashboard/" in source
    screenshot("card-lab-dashboard")


def test_restart_forgets_all_tasks_and_replaces_the_workers(card: Card) -> None:
    card.run("kept = client.map(abs, range(7))\nlen(client.gather(kept))")
    before = {worker["pid"] for worker in card.view()["workers"]}
    eventually(lambda: card.view()["tasks"]["memory"] == 7)
    card.part("restart").click()
    card.confirm()
    eventually(lambda: card.view()["tasks"]["memory"] == 0)
    eventually(lambda: [w["status"] for w in card.view()["workers"]] == ["running"])
    assert before.isdisjoint(worker["pid"] for worker in card.view()["workers"])


def test_shut_down_ends_the_cluster_though_the_kernel_is_dead(card: Card, screenshot: Callable[[str], Path]) -> None:
    card.run()
    card.page.evaluate("() => jupyterapp.shell.currentWidget.sessionContext.shutdown()")
    card.part("shut-down").click()
    card.confirm()
    eventually(lambda: not card.api.clusters(card.notebook))
    expect(card.root).to_have_attribute("data-phase", "ended")
    expect(card.part("ended")).to_be_visible()
    screenshot("card-lab-ended")


def test_a_reopened_notebook_has_a_live_card_without_running_anything(card: Card) -> None:
    card.run()
    card.lab_page.command("docmanager:save")
    card.page.reload()
    card.lab_page.open(card.notebook)
    expect(card.root).to_have_attribute("data-phase", "live", timeout=30_000)
    expect(card.part("figure-workers")).to_have_attribute("data-value", "1")
