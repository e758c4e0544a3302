"""The card without the lab extension: every control by hand, its effect seen through the server's API."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.support.browser import LabPage
from tests.support.eventually import eventually
from tests.support.lab import Lab

CLIENT = "from nbcluster import Client\nclient = Client(n_workers=1, threads_per_worker=1)\nclient"


class CardPage:
    """A notebook with the card of a cluster that the server owns."""

    def __init__(self, page: Page, lab: Lab, name: str) -> None:
        self.page = page
        self.lab_page = LabPage(page, lab)
        self.name = f"{name}.ipynb"
        self.lab = lab

    def run(self, *cells: str) -> None:
        """Run the cell that shows the card, and others below it."""
        self.lab_page.open_notebook(self.lab.write_notebook(self.name, [CLIENT, *cells]))
        self.lab_page.run_all(90)
        expect(self.part("name")).to_be_visible()

    @property
    def card(self) -> Locator:
        return self.page.locator(".nbw-Card")

    def part(self, testid: str) -> Locator:
        """Something that the card shows."""
        return self.card.get_by_test_id(f"nbcluster-{testid}")

    def control(self, name: str) -> Locator:
        """Something that one can click or type into."""
        return self.card.locator(f".nbcluster-{name}")

    def turn_to(self, tab: str) -> None:
        self.card.locator(".lm-TabBar-tab").get_by_text(tab, exact=True).click()

    def clusters(self) -> list[dict[str, Any]]:
        """This notebook's clusters, as the server tells."""
        request = urllib.request.Request(
            f"{self.lab.url}nbcluster/api/v1/clusters", headers={"Authorization": f"token {self.lab.token}"}
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            every = json.load(answer)
        return [view for view in every if (view["owner"] or {}).get("path") == self.name]

    def cluster(self) -> dict[str, Any]:
        (view,) = self.clusters()
        return view


@pytest.fixture
def card_page(page: Page, lab_without_extension: Lab, request: pytest.FixtureRequest) -> Iterator[CardPage]:
    card_page = CardPage(page, lab_without_extension, request.node.name)
    yield card_page
    card_page.page.evaluate("() => jupyterapp.shell.currentWidget?.sessionContext.shutdown()")


def test_the_slider_scales_while_a_cell_runs(card_page: CardPage) -> None:
    card_page.run("import pathlib, time\nif pathlib.Path('wait').exists():\n    time.sleep(3600)")
    (card_page.lab.root / "wait").touch()
    card_page.lab_page.start_all()
    expect(card_page.lab_page.cell(1)).to_contain_text("[*]")
    expect(card_page.part("figure-workers")).to_have_attribute("data-value", "1")
    handle = card_page.control("scale-slider").locator(".noUi-handle")
    handle.focus()
    handle.press("ArrowRight")
    eventually(lambda: len(card_page.cluster()["workers"]) == 2)
    expect(card_page.part("figure-workers")).to_have_attribute("data-value", "2")
    handle.press("ArrowLeft")
    eventually(lambda: card_page.cluster()["requested"] == 1)
    expect(card_page.part("figure-workers")).to_have_attribute("data-value", "1")
    (card_page.lab.root / "wait").unlink()


def test_the_switch_adapts_between_two_limits(card_page: CardPage) -> None:
    card_page.run()
    card_page.control("adapt-minimum").locator("input").fill("1")
    card_page.control("adapt-maximum").locator("input").fill("2")
    card_page.control("adapt-maximum").locator("input").press("Enter")
    card_page.control("adapt-switch").click()
    limits = eventually(lambda: card_page.cluster()["adaptive"])
    assert (limits["minimum"], limits["maximum"]) == (1, 2)
    card_page.control("adapt-maximum").locator("input").fill("3")
    card_page.control("adapt-maximum").locator("input").press("Enter")
    eventually(lambda: card_page.cluster()["adaptive"]["maximum"] == 3)
    card_page.control("adapt-switch").click()
    eventually(lambda: card_page.cluster()["adaptive"] is None)


def test_the_log_is_followed_filtered_and_searched(card_page: CardPage) -> None:
    card_page.run("client.submit(print, 'seen by chance').result()")
    card_page.turn_to("Logs")
    line = card_page.part("log-line").filter(has_text="seen by chance")
    expect(line).to_have_attribute("data-worker", "0")
    lines = card_page.part("log-line")
    assert lines.count() > 1
    card_page.control("log-search").locator("input").fill("BY CHANCE")
    expect(lines).to_have_count(1)
    card_page.control("log-search").locator("input").fill("no line is like this")
    expect(card_page.part("logs")).to_contain_text("No line is like this.")
    card_page.control("log-search").locator("input").fill("")
    records = card_page.card.locator("[data-testid=nbcluster-log-line][data-level=INFO]")
    expect(records).not_to_have_count(0)
    card_page.control("log-level").locator("select").select_option("ERROR and worse")
    expect(records).to_have_count(0)
    card_page.control("log-level").locator("select").select_option("All levels")
    expect(records).not_to_have_count(0)
    card_page.control("log-worker").locator("select").select_option("Worker 0")
    expect(line).to_be_visible()
    card_page.control("log-follow").locator("input").uncheck()
    expect(card_page.control("log-follow").locator("input")).not_to_be_checked()


def test_the_dashboard_shows_below_the_base_url(card_page: CardPage, screenshot: Callable[[str], Any]) -> None:
    card_page.run()
    card_page.turn_to("Dashboard")
    frame = card_page.card.locator("iframe:visible")
    expect(frame).to_have_count(1)
    path = f"/user/jo/nbcluster/dashboard/{card_page.cluster()['id']}/status"
    expect(card_page.part("dashboard-link")).to_have_attribute("href", path)
    assert frame.get_attribute("src") == f"{path}?theme=light"
    dashboard = frame.content_frame
    expect(dashboard.get_by_role("status")).to_contain_text("1 worker", timeout=30_000)
    expect(dashboard.get_by_role("heading", name="Bytes per worker")).to_be_visible()
    screenshot("card-widgets-dashboard")


def test_restart_and_shut_down_ask_before_they_act(card_page: CardPage) -> None:
    card_page.run("future = client.submit(sum, [1, 2])\nfuture.result()")
    before = [worker["pid"] for worker in card_page.cluster()["workers"]]
    card_page.control("restart").click()
    card_page.control("cancel").click()
    expect(card_page.control("confirm")).to_be_hidden()
    assert [worker["pid"] for worker in card_page.cluster()["workers"]] == before

    card_page.control("restart").click()
    expect(card_page.control("confirm")).to_have_text("Restart")
    card_page.control("confirm").click()
    eventually(
        lambda: [w["pid"] for w in card_page.cluster()["workers"] if w["status"] == "running"] not in ([], before)
    )

    card_page.control("shut-down").click()
    card_page.control("confirm").click()
    eventually(lambda: not card_page.clusters())
    expect(card_page.part("status")).to_have_text("Closed")


def test_tasks_and_workers_are_shown(card_page: CardPage, screenshot: Callable[[str], Any]) -> None:
    card_page.run("fs = client.map(abs, range(-3, 2))\nbad = client.submit(int, 'x')\nclient.gather(fs)")
    expect(card_page.part("tasks")).to_have_attribute("data-finished", "5")
    expect(card_page.part("tasks")).to_have_attribute("data-failed", "1")
    screenshot("card-widgets")
    card_page.turn_to("Workers")
    expect(card_page.part("worker")).to_have_count(1)
    card_page.turn_to("Info")
    expect(card_page.part("snippet")).to_contain_text(card_page.cluster()["address"])
