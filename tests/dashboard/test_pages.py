from __future__ import annotations

import re

from nbcluster.dashboard.pages import PAGES, STATUS, individual_plots


def test_the_status_page_shows_every_plot() -> None:
    assert STATUS.path == "/status"
    assert [plot.slug for plot in STATUS.plots] == ["task-stream", "progress", "workers-memory", "nprocessing"]
    assert not STATUS.single


def test_every_plot_has_a_page_of_its_own_one_level_deep() -> None:
    assert individual_plots() == {
        "Task stream": "/individual-task-stream",
        "Progress": "/individual-progress",
        "Bytes per worker": "/individual-workers-memory",
        "Tasks processing per worker": "/individual-nprocessing",
    }
    assert all(re.fullmatch(r"/[a-z-]+", page.path) for page in PAGES)


def test_every_plot_says_what_will_appear_in_it() -> None:
    for plot in STATUS.plots:
        assert "will appear here" in plot.empty
