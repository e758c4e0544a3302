"""The dashboard in a real Chromium: the real process, fed by a cluster that this test makes up."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import psutil
import pytest
from msgspec.structs import replace
from playwright.sync_api import Page, WebSocketRoute, expect

from nbcluster.dashboard.activation import DashboardActivator
from nbcluster.snapshot import LogLine, PrefixView, TaskCounts, TaskRecord
from tests.support.eventually import eventually
from tests.support.fake_cluster import TOKEN, FakeCluster, make_view, make_worker

T = TypeVar("T")

PAYLOAD = (
    '<img src=x onerror="window.pwned=1"><script>window.pwned=1</script>\'"$$\\href{javascript:window.pwned=1}{x}$$'
)


class Stage:
    """A fake cluster with a real dashboard, on an event loop in a thread of its own."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self.cluster, self.activator = self.run(self._open())
        self.link = self.activator.link

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(60)

    async def _open(self) -> tuple[FakeCluster, DashboardActivator]:
        cluster = await FakeCluster().__aenter__()
        activator = DashboardActivator(":0", self._directory, cluster_address=cluster.address, token=TOKEN)
        await activator.start()
        return cluster, activator

    def show(self, worker: str | int = 0, prefix: str = "inc", runs: int = 30, **changes: Any) -> None:
        """Have two workers of which one has run something, and works on."""
        now = time.time()

        async def act() -> None:
            start = len(self.cluster.records)
            self.cluster.add_records(
                *(
                    TaskRecord(
                        key=f"{prefix}-{start + n:04x}",
                        prefix=prefix,
                        worker=worker,
                        thread=0,
                        start=now - 3 + n * 0.1,
                        stop=now - 3 + n * 0.1 + 0.09,
                        status="error" if n % 10 == 9 else "finished",
                        nbytes=1000,
                    )
                    for n in range(runs)
                )
            )
            counts = TaskCounts(done=len(self.cluster.records), memory=20, processing=5, queued=40, erred=3)
            view = make_view(
                [make_worker(worker, processing=5, executing=1, stored=50 * 2**20, cpu=97.0), make_worker(1)],
                tasks=counts,
                prefixes=[PrefixView(name=prefix, counts=counts, mean_duration=0.09)],
            )
            self.cluster.show(replace(view, **changes))

        self.run(act())

    def process(self) -> psutil.Process:
        """The dashboard's."""
        (found,) = [
            child for child in psutil.Process().children() if "nbcluster.dashboard" in " ".join(child.cmdline())
        ]
        return found

    def close(self) -> None:
        async def act() -> None:
            await self.activator.close()
            await self.cluster.__aexit__()

        self.run(act())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    made = Stage(tmp_path)
    yield made
    made.close()


@pytest.fixture
def complaints(page: Page) -> list[str]:
    """What the page's console said that it should not: errors, blocked scripts, exceptions."""
    heard: list[str] = []
    page.on("pageerror", lambda error: heard.append(str(error)))
    page.on("console", lambda message: heard.append(message.text) if message.type == "error" else None)
    return heard


def open_page(page: Page, url: str) -> None:
    """Open a page of plots and wait until they are live."""
    page.goto(url)
    expect(page.locator(".is-loading")).to_have_count(0, timeout=30_000)


def test_empty_plots_say_what_will_appear_and_then_it_does(
    page: Page, stage: Stage, complaints: list[str], screenshot: Callable[[str], Path]
) -> None:
    stage.run(_show_nobody(stage))
    page.set_viewport_size({"width": 1200, "height": 700})
    open_page(page, stage.link)
    for slug in ("task-stream", "progress", "workers-memory", "nprocessing"):
        expect(page.locator(f"#{slug} .empty")).to_be_visible()
    screenshot("dashboard-empty-light")
    stage.show()
    expect(page.locator("#task-stream .caption")).to_contain_text("30 tasks in")
    expect(page.locator("#progress .caption")).to_contain_text("33 of 78 done")
    expect(page.locator("#workers-memory .caption")).to_contain_text("200 MiB of 2 GiB")
    expect(page.locator("#nprocessing .caption")).to_contain_text("1 running · 4 next")
    expect(page.locator("#summary")).to_contain_text("2 workers · 2 threads · CPU 97 %")
    expect(page.locator(".empty").locator("visible=true")).to_have_count(0)
    screenshot("dashboard-busy-light")
    assert complaints == []


@pytest.mark.parametrize(("width", "height"), [(1200, 700), (600, 800), (420, 900)])
def test_plots_fit_into_wide_and_narrow_panes(
    page: Page, stage: Stage, screenshot: Callable[[str], Path], width: int, height: int
) -> None:
    stage.show()
    page.set_viewport_size({"width": width, "height": height})
    open_page(page, f"{stage.link}?theme=dark")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for plot in page.locator(".plot canvas").all():
        box = plot.bounding_box()
        assert box is not None
        assert box["width"] > 150
        assert box["height"] > 90
    if width == 1200:
        assert page.evaluate("document.documentElement.scrollHeight") <= height
    screenshot(f"dashboard-busy-dark-{width}")


def test_hostile_names_run_nothing_anywhere(page: Page, stage: Stage, complaints: list[str]) -> None:
    stage.show(PAYLOAD, PAYLOAD, name=PAYLOAD)

    async def log() -> None:
        stage.cluster.lines = [LogLine(time=0.0, source=PAYLOAD, level=PAYLOAD, text=PAYLOAD, worker=PAYLOAD)]

    stage.run(log())
    base = stage.link.removesuffix("status")
    for path in ("status", "individual-task-stream", "individual-progress", "individual-workers-memory"):
        open_page(page, base + path)
        for canvas in page.locator(".plot canvas").all():
            box = canvas.bounding_box()
            assert box is not None
            for share in (0.1, 0.3, 0.5, 0.7):
                page.mouse.move(box["x"] + box["width"] * share, box["y"] + box["height"] * 0.3)
        assert page.evaluate("window.pwned") is None
        assert page.locator("img").count() == 0
    for path in ("info/main/workers.html", "info/main/logs.html"):
        page.goto(base + path)
        expect(page.locator("main")).to_contain_text("<img src=x")
        page.wait_for_event("response")  # it refreshes itself
        assert page.evaluate("window.pwned") is None
        assert page.locator("img").count() == 0
    assert complaints == []


def test_a_tooltip_shows_the_key_as_it_is(page: Page, stage: Stage) -> None:
    stage.show(prefix="<b>bold</b>")
    open_page(page, f"{stage.link.removesuffix('status')}individual-task-stream")
    box = page.locator(".plot").bounding_box()
    assert box is not None
    tooltip = page.locator(".bk-Tooltip")

    def hovered() -> bool:
        for share in (0.2, 0.4, 0.6, 0.8):
            page.mouse.move(box["x"] + box["width"] * share, box["y"] + box["height"] * 0.3)
            page.wait_for_timeout(50)
            if tooltip.locator("visible=true").count():
                return True
        return False

    eventually(hovered, "a tooltip")
    expect(tooltip.first).to_contain_text("<b>bold</b>-00")


def test_whoever_zooms_is_left_alone_until_the_reset(page: Page, stage: Stage) -> None:
    stage.show()
    open_page(page, f"{stage.link.removesuffix('status')}individual-task-stream")
    end = "Bokeh.documents[0].roots()[0].x_range.end"
    first = page.evaluate(end)
    box = page.locator(".plot").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 3, box["y"] + box["height"] / 2, steps=5)
    page.mouse.up()
    eventually(lambda: page.evaluate(end) != first)
    panned = page.evaluate(end)
    caption = page.locator(".caption").inner_text()
    stage.show()
    expect(page.locator(".caption")).not_to_have_text(caption)
    assert page.evaluate(end) == panned
    page.locator(".bk-ToolbarButton, .bk-tool-icon-reset, [title*=Reset]").last.click()
    eventually(lambda: page.evaluate(end) != panned)
    after = page.evaluate(end)
    stage.show()
    eventually(lambda: page.evaluate(end) > after)


def test_where_websockets_are_blocked_figures_are_shown_instead(page: Page, stage: Stage) -> None:
    def block(route: WebSocketRoute) -> None:
        route.close(code=1011)

    page.route_web_socket("**/ws*", block)
    stage.show()
    open_page(page, stage.link)
    expect(page.locator("#notice")).to_contain_text("websocket")
    expect(page.locator("#progress")).to_contain_text("inc")
    expect(page.locator("#nprocessing")).to_contain_text("queued")
    expect(page.locator("#nprocessing td").nth(1)).to_have_text("40")


def test_a_page_comes_back_to_life_after_its_process_was_killed(page: Page, stage: Stage) -> None:
    stage.show()
    open_page(page, stage.link)
    os.kill(stage.process().pid, signal.SIGKILL)
    expect(page.locator("#notice")).to_contain_text("connection")
    expect(page.locator("#notice")).to_be_hidden(timeout=30_000)
    expect(page.locator(".is-loading")).to_have_count(0, timeout=30_000)
    stage.show(runs=5)
    expect(page.locator("#task-stream .caption")).to_contain_text("35 tasks in")


async def _show_nobody(stage: Stage) -> None:
    stage.cluster.show(make_view(0))
