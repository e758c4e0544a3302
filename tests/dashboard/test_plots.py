"""Every plot, on the model's side: what BokehJS will be told. How it looks is for the browser tests."""

from __future__ import annotations

from typing import Any

import pytest
from bokeh.document import Document
from bokeh.events import RangesUpdate, Reset
from bokeh.models import ColumnDataSource, HoverTool
from bokeh.models.annotations import Title

from nbcluster.dashboard.pages import PLOTS
from nbcluster.dashboard.plots.base import MOST_LABELS, Plot
from nbcluster.dashboard.plots.memory import Memory
from nbcluster.dashboard.plots.processing import Processing
from nbcluster.dashboard.plots.progress import Progress
from nbcluster.dashboard.plots.task_stream import TaskStream
from nbcluster.dashboard.source import Source
from nbcluster.dashboard.theme import DARK, LIGHT, Theme
from nbcluster.snapshot import ClusterView, PrefixView, TaskCounts, TaskRecord
from tests.support.fake_cluster import make_view, make_worker

PAYLOAD = "<img src=x onerror=alert(1)>"
every_plot = pytest.mark.parametrize("kind", PLOTS, ids=lambda kind: kind.slug)


def busy_view(name: str | int = 0, prefix: str = "inc") -> ClusterView:
    return make_view(
        [make_worker(name, processing=3, executing=1, stored=5), make_worker(1)],
        prefixes=[PrefixView(name=prefix, counts=TaskCounts(done=4, memory=3, erred=1, processing=2, queued=5))],
    )


def busy_source(name: str | int = 0, prefix: str = "inc") -> Source:
    source = Source()
    source.set_view(busy_view(name, prefix))
    source.add_records(
        [
            TaskRecord(
                key=f"{prefix}-{n}",
                prefix=prefix,
                worker=name,
                thread=0,
                start=float(n),
                stop=n + 0.5,
                status="error" if n == 2 else "finished",
                number=n,
            )
            for n in range(1, 4)
        ]
    )
    return source


def sources(plot: Plot) -> list[ColumnDataSource]:
    found = plot.figure.select({"type": ColumnDataSource})
    return [source for source in found if isinstance(source, ColumnDataSource)]


def span(plot: Plot) -> tuple[Any, Any]:
    """The stretch of the value axis that is shown; Bokeh's types allow dates too."""
    return plot.values.start, plot.values.end


def note(plot: Plot) -> dict[str, Any]:
    (found,) = plot.figure.tags
    assert isinstance(found, dict)
    return found


@every_plot
@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=lambda theme: theme.name)
def test_an_empty_plot_says_so_to_the_page(kind: type[Plot], theme: Theme) -> None:
    plot = kind(theme)
    plot.update(Source())
    assert note(plot) == {"empty": True, "caption": "", "summary": ""}
    assert plot.empty
    assert plot.figure.background_fill_color == theme.panel


@every_plot
def test_a_busy_plot_is_a_valid_document(kind: type[Plot]) -> None:
    plot = kind(LIGHT)
    plot.update(busy_source())
    assert not note(plot)["empty"]
    assert note(plot)["caption"]
    document = Document()
    document.add_root(plot.figure)
    document.validate()
    for source in sources(plot):
        assert len({len(column) for column in source.data.values()}) == 1


@every_plot
def test_nothing_is_sent_while_nothing_changes(kind: type[Plot]) -> None:
    plot = kind(LIGHT)
    source = busy_source()
    plot.update(source)
    document = Document()
    document.add_root(plot.figure)
    events: list[Any] = []
    document.on_change(events.append)
    plot.update(source)
    assert events == []


@every_plot
def test_tooltips_are_pairs_of_label_and_column_never_html(kind: type[Plot]) -> None:
    plot = kind(LIGHT)
    (hover,) = plot.figure.select({"type": HoverTool})
    assert isinstance(hover, HoverTool)
    columns = {name for source in sources(plot) for name in source.data}
    assert isinstance(hover.tooltips, list)
    for label, value in hover.tooltips:
        assert label.isalpha()
        assert value.startswith("@")
        assert value[1:] in columns
        assert "{" not in value


@every_plot
def test_no_text_goes_where_html_or_mathematics_is_read(kind: type[Plot]) -> None:
    plot = kind(LIGHT)
    plot.update(busy_source(PAYLOAD, "$$x$$" + PAYLOAD))
    title = plot.figure.title
    assert isinstance(title, Title)
    assert not title.text
    for axis in plot.figure.axis:
        assert not axis.axis_label
        assert all("$$" not in str(label) for label in axis.major_label_overrides.values())


@every_plot
def test_there_is_no_clutter(kind: type[Plot]) -> None:
    plot = kind(LIGHT)
    assert plot.figure.sizing_mode == "stretch_both"
    assert plot.figure.toolbar_location is None or plot.figure.toolbar.autohide
    assert plot.figure.toolbar_location is None or plot.figure.toolbar.logo is None


def test_many_rows_are_named_only_here_and_there() -> None:
    plot = Memory(LIGHT)
    source = Source()
    source.set_view(make_view(100))
    plot.update(source)
    (axis,) = plot.figure.yaxis
    assert 0 < len(axis.major_label_overrides) <= MOST_LABELS
    assert axis.major_label_overrides[0] == "0"
    assert plot.lanes.start == 99.5


def test_few_rows_do_not_become_fat() -> None:
    plot = Progress(LIGHT)
    plot.update(busy_source())
    assert plot.lanes.start == 4.5


def test_the_task_stream_follows_the_work() -> None:
    plot = TaskStream(LIGHT)
    source = busy_source()
    plot.update(source)
    start, end = span(plot)
    assert start < 1000.0 < 3500.0 < end
    source.add_records([_later(source)])
    plot.update(source)
    assert span(plot)[1] > 9000.0
    (runs,) = sources(plot)
    assert len(runs.data["y"]) == 4


def test_whoever_pans_is_left_alone_until_they_reset() -> None:
    plot = TaskStream(LIGHT)
    source = busy_source()
    plot.update(source)
    plot.values.update(start=1000.0, end=1500.0)
    plot.figure._trigger_event(RangesUpdate(plot.figure, x0=1000.0, x1=1500.0, y0=0, y1=0))
    source.add_records([_later(source)])
    plot.update(source)
    assert span(plot) == (1000.0, 1500.0)
    plot.figure._trigger_event(Reset(plot.figure))
    assert span(plot)[1] > 9000.0


def test_ticks_of_memory_are_round_figures() -> None:
    plot = Memory(LIGHT)
    plot.update(busy_source())
    (axis,) = plot.figure.xaxis
    assert list(axis.major_label_overrides.values()) == ["0 B", "128 MiB", "256 MiB", "384 MiB"]


def test_the_axis_of_processing_has_room_for_a_few_tasks() -> None:
    plot = Processing(LIGHT)
    plot.update(busy_source())
    assert plot.values.end == 4


def _later(source: Source) -> TaskRecord:
    number = source.last_record + 1
    return TaskRecord(
        key="inc-9", prefix="inc", worker=0, thread=0, start=8.5, stop=9.0, status="finished", number=number
    )
