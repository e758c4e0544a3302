"""Documents that stay: the dashboard's figures in a file of their own, which needs neither a cluster nor a network."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from html import escape
from typing import Any, Literal

from bokeh.embed import components
from bokeh.models.renderers import GlyphRenderer
from bokeh.plotting import figure
from bokeh.resources import Resources

from nbcluster.dashboard.plots.memory import Memory
from nbcluster.dashboard.plots.profile import LEAST_ROWS, profile_figure
from nbcluster.dashboard.plots.task_stream import TaskStream
from nbcluster.dashboard.source import Source
from nbcluster.dashboard.text import format_bytes, format_duration, plural
from nbcluster.dashboard.theme import FONT, LIGHT, Theme
from nbcluster.protocol.profiles import Profile
from nbcluster.snapshot import ClusterView, TaskRecord

Mode = Literal["inline", "cdn", "relative", "absolute"]
"""Where a page may have BokehJS from."""
_SLOWEST = 12


def stream_figure(records: list[TaskRecord], view: ClusterView | None, theme: Theme = LIGHT) -> figure:
    """The task stream of these runs."""
    source = Source(-time.timezone, len(theme.hues), whole=True)
    if view is not None:
        source.set_view(view)
    source.add_records(sorted(records, key=lambda record: record.number))
    plot = TaskStream(theme, live=False)
    plot.update(source)
    return plot.figure


def flame_figure(profile: Profile, theme: Theme = LIGHT) -> figure:
    """The call trees of a profile."""
    return profile_figure(profile, theme)


def page_of(plot: figure, title: str, resources: Resources | None = None) -> str:
    """A page with one figure of rows, that needs nothing but itself."""
    script, part = components(plot)
    return _page(title, f"<section>{_framed(part, 60 + 26 * _rows(plot))}</section>", script, resources)


@dataclass
class Report:
    """What a performance report tells."""

    start: float
    stop: float
    code: str
    view: ClusterView
    records: list[TaskRecord]
    profile: Profile
    scheduler_profile: Profile
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """How long it took."""
        return max(self.stop - self.start, 1e-6)


def report_html(report: Report, mode: Mode | None = None) -> str:
    """The whole report as one page."""
    theme = LIGHT
    figures: dict[str, figure] = {}
    if report.records:
        figures["stream"] = stream_figure(report.records, report.view, theme)
    for name, profile in (("profile", report.profile), ("scheduler", report.scheduler_profile)):
        if profile.counts[0]:
            figures[name] = flame_figure(profile, theme)
    memory = Memory(theme)
    source = Source()
    source.set_view(report.view)
    memory.update(source)
    figures["memory"] = memory.figure
    script, parts = components({**figures})  # the script draws nothing at all if one of its parts is not in the page

    def section(title: str, name: str, height: int, note: str) -> str:
        if name not in parts:
            return _section(title, f'<p class="note">{escape(note)}</p>')
        return _section(title, _framed(parts[name], height))

    def depth(name: str) -> int:
        return 40 + 24 * _rows(figures[name]) if name in figures else 0

    rows = max(4, len({(record.worker, record.thread) for record in report.records}))
    sections = [
        _section("Summary", _summary(report)),
        _section("Functions", _functions(report)),
        section("Task stream", "stream", 60 + 26 * min(rows, 24), "No task ran."),
        section(
            "Profile of the tasks",
            "profile",
            depth("profile"),
            "No task ran for long enough to be sampled (every 10 ms).",
        ),
        section("Bytes per worker, at the end", "memory", 60 + 30 * max(4, len(report.view.workers)), ""),
        section("Profile of the scheduler", "scheduler", depth("scheduler"), "The scheduler was not sampled."),
        _section("Code", f"<pre>{escape(report.code)}</pre>"),
    ]
    return _page("Performance report", "".join(sections), script, Resources(mode=mode) if mode else None)


def _page(title: str, body: str, script: str, resources: Resources | None) -> str:
    return _PAGE.format(
        title=escape(title),
        css=_CSS.format(colours=LIGHT.css, font=FONT),
        resources=(resources or Resources(mode="inline")).render(),
        script=script,
        body=body,
    )


def _framed(part: str, height: int) -> str:
    return f'<div class="figure" style="height: {height}px">{part}</div>'


def _rows(plot: figure) -> int:
    renderers = [one for one in plot.renderers if isinstance(one, GlyphRenderer)]
    source: Any = renderers[0].data_source if renderers else None
    rows: Any = () if source is None else source.data["y"]
    return max(LEAST_ROWS, *(int(row) + 1 for row in rows), 0)


def _section(title: str, body: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{body}</section>"


def _summary(report: Report) -> str:
    busy = sum(record.stop - record.start for record in report.records)
    threads = sum(worker.nthreads for worker in report.view.workers)
    failed = sum(record.status == "error" for record in report.records)
    limits = [worker.memory_limit or 0 for worker in report.view.workers]
    facts = [
        ("Duration", format_duration(report.seconds)),
        ("Tasks", f"{len(report.records)}" + (f", {failed} failed" if failed else "")),
        ("Compute time", format_duration(busy) if report.records else "none"),
        ("Threads in use", f"{100 * busy / (report.seconds * threads):.0f} %" if threads else "none"),
        ("Workers", f"{plural(len(report.view.workers), 'worker')}, {plural(threads, 'thread')}"),
        ("Memory", format_bytes(sum(limits)) if all(limits) and limits else "no limit"),
        ("From", time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(report.start))),
        ("Versions", ", ".join(f"{name} {version}" for name, version in report.versions.items())),
    ]
    return "<dl>" + "".join(f"<div><dt>{escape(a)}</dt><dd>{escape(b)}</dd></div>" for a, b in facts) + "</dl>"


def _functions(report: Report) -> str:
    """Where the time went, by function, the most first."""
    by_name: dict[str, list[float]] = {}
    for record in report.records:
        by_name.setdefault(record.prefix, []).append(record.stop - record.start)
    most = sorted(by_name.items(), key=lambda item: -sum(item[1]))
    if not most:
        return '<p class="note">No task ran.</p>'
    total = sum(sum(times) for _, times in most) or 1e-9
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td>{len(times)}</td><td>{format_duration(sum(times))}</td>"
        f"<td>{format_duration(sum(times) / len(times))}</td><td>{format_duration(max(times))}</td>"
        f'<td><span class="bar" style="width: {100 * sum(times) / total:.1f}%"></span></td></tr>'
        for name, times in most[:_SLOWEST]
    )
    more = f'<p class="note">And {len(most) - _SLOWEST} more.</p>' if len(most) > _SLOWEST else ""
    heads = "".join(f"<th>{head}</th>" for head in ("Function", "Runs", "Time", "Mean", "Longest", "Share"))
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>{more}"


_CSS = """
:root {{ {colours} }}
body {{ margin: 0; background: var(--page); color: var(--text); font: 14px/1.5 {font}; }}
header, main {{ max-width: 1200px; margin: 0 auto; padding: 0 24px; }}
header h1 {{ font-size: 22px; margin: 28px 0 4px; }}
section {{ background: var(--panel); border: 1px solid var(--border); border-radius: 8px; }}
section {{ padding: 16px 20px; margin: 16px 0; }}
h2 {{ font-size: 15px; margin: 0 0 10px; }}
dl {{ display: grid; grid-template-columns: repeat(4, minmax(0, 1fr)); gap: 14px 24px; margin: 0; }}
dt {{ color: var(--muted); font-size: 12px; }}
dd {{ margin: 0; font-variant-numeric: tabular-nums; }}
table {{ border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }}
th {{ text-align: left; font-weight: 500; color: var(--muted); font-size: 12px; }}
th, td {{ padding: 4px 16px 4px 0; }}
td:last-child {{ width: 30%; padding-right: 0; }}
td:first-child {{ max-width: 400px; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }}
.bar {{ display: block; height: 10px; min-width: 2px; border-radius: 3px; background: var(--accent); }}
.note {{ color: var(--muted); margin: 0; }}
.figure > div {{ height: 100%; }}
pre {{ margin: 0; overflow-x: auto; font-size: 12.5px; }}
@media (max-width: 800px) {{ dl {{ grid-template-columns: repeat(2, minmax(0, 1fr)); }} }}
"""
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>{css}</style>
{resources}
{script}
</head>
<body>
<header><h1>{title}</h1></header>
<main>{body}</main>
</body>
</html>
"""
