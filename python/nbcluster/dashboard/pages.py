"""Which pages there are, and which plots each of them shows."""

from __future__ import annotations

from dataclasses import dataclass

from nbcluster.dashboard.plots.base import Plot
from nbcluster.dashboard.plots.memory import Memory
from nbcluster.dashboard.plots.processing import Processing
from nbcluster.dashboard.plots.progress import Progress
from nbcluster.dashboard.plots.task_stream import TaskStream

PLOTS: tuple[type[Plot], ...] = (TaskStream, Progress, Memory, Processing)


@dataclass(frozen=True)
class Page:
    """One page of plots."""

    path: str
    title: str
    plots: tuple[type[Plot], ...]

    @property
    def single(self) -> bool:
        """True if its one plot is to fill a pane, with nothing around it."""
        return len(self.plots) == 1


STATUS = Page("/status", "Status", PLOTS)

PAGES: tuple[Page, ...] = (
    STATUS,
    *(Page(f"/individual-{plot.slug}", plot.title, (plot,)) for plot in PLOTS),
)


def individual_plots() -> dict[str, str]:
    """Title to path, for whoever embeds single plots; the paths are below the dashboard's root."""
    return {page.title: page.path for page in PAGES if page.single}
