"""The parts of the live card that only show: each a piece of HTML made from a view. Pure.

Every text that comes from the cluster is escaped here: names, keys and log lines are anybody's. The
``data-testid`` attributes are those of the lab extension's card.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from html import escape

from nbcluster.snapshot import ClusterView, LogLine, WorkerView
from nbcluster.types import Status
from nbcluster.units import format_bytes
from nbcluster.widgets.figures import (
    ENDED,
    STATUS_TEXTS,
    Figures,
    figures_of,
    is_link,
    is_ready,
    lease_text,
    moment,
    owner_text,
    progress_of,
    share,
    snippet,
    tasks_text,
)

_MOODS = {
    Status.RUNNING: "good",
    Status.BROKEN: "bad",
    Status.FAILED: "bad",
    Status.CLOSED: "over",
}
_LINE_MOODS = {"CRITICAL": "bad", "ERROR": "bad", "WARNING": "warning", "STDERR": "warning"}

_ICON = (
    '<svg class="nbw-Icon" viewBox="0 0 24 24" aria-hidden="true">'
    '<path d="M11.2 11.9 5 8.3l.8-1.4 6.2 3.6 6.2-3.6.8 1.4-6.2 3.6v7.2h-1.6z"/><circle cx="12" cy="11.4" r="3.3"/>'
    '<circle cx="5" cy="7.3" r="2.5"/><circle cx="19" cy="7.3" r="2.5"/><circle cx="12" cy="19.5" r="2.5"/></svg>'
)


def title(view: ClusterView, doing: str, now: float) -> str:
    """Name, state, owner and lease. ``doing`` is what the card is waiting for, e.g. ``"Scaling…"``."""
    mood = "changing" if doing else _MOODS.get(view.status, "changing")
    parts = [
        _ICON,
        f'<span class="nbw-Name" data-testid="nbcluster-name" title="{escape(view.name)}">'
        f"{escape(view.name) or 'Unnamed cluster'}</span>",
        f'<span class="nbw-Status nbw-mod-{mood}" role="status" data-testid="nbcluster-status">'
        f"{doing or STATUS_TEXTS[view.status]}</span>",
    ]
    if owner := owner_text(view.owner):
        path = view.owner.path if view.owner else ""
        parts.append(
            f'<span class="nbw-Owner" data-testid="nbcluster-owner" title="{escape(path)}">{escape(owner)}</span>'
        )
    if lease := lease_text(view.owner, now):
        parts.append(f'<span class="nbw-Lease" data-testid="nbcluster-lease">{lease}</span>')
    return f'<div class="nbw-Title">{"".join(parts)}</div>'


def message(view: ClusterView) -> str:
    """What the cluster itself has to say, or nothing."""
    if not view.message:
        over = "Not connected to a cluster any more. Run the cell again to have one."
        return notice("info", over, "nbcluster-ended") if view.status is Status.CLOSED else ""
    kind = {Status.FAILED: "error", Status.BROKEN: "warning"}.get(view.status, "info")
    return notice(kind, view.message, "nbcluster-message")


def notice(kind: str, text: str, testid: str) -> str:
    """Something that a person should know; ``kind`` is ``info``, ``warning`` or ``error``."""
    role = "alert" if kind == "error" else "status"
    return f'<div class="nbw-Notice nbw-mod-{kind}" role="{role}" data-testid="{testid}">{escape(text)}</div>'


def hint(text: str, bad: bool = False) -> str:
    """A remark beside a control."""
    return f'<p class="nbw-Hint{" nbw-mod-bad" if bad else ""}">{escape(text)}</p>'


def question(text: str) -> str:
    """What is asked before something is done that cannot be undone."""
    return f'<span role="alert">{escape(text)}</span>'


def figures(view: ClusterView) -> str:
    """Workers, threads, memory and processor time, at a glance."""
    sums: Figures = figures_of(view)
    awaited = is_ready(view) and sums.workers != view.requested
    limit = "" if sums.memory_limit is None else format_bytes(sums.memory_limit)
    return (
        '<div class="nbw-Figures">'
        + _figure("Workers", sums.workers, f"{sums.workers:,}", f"{view.requested:,}" if awaited else "")
        + _figure("Threads", sums.threads, f"{sums.threads:,}")
        + _figure("Memory", sums.memory, format_bytes(sums.memory), limit, share(sums.memory, sums.memory_limit))
        + _figure("CPU", round(sums.cpu), f"{sums.cpu:.0f} %", "", share(sums.cpu, 100))
        + "</div>"
    )


def _figure(label: str, value: float, text: str, of: str = "", part: float | None = None) -> str:
    small = f" <small>of {of}</small>" if of else ""
    bar = "" if part is None else _meter(part, alarming=label == "Memory")
    testid = f"nbcluster-figure-{label.lower()}"
    return (
        f'<div><div class="nbw-Label">{label}</div><div class="nbw-Figure" data-testid="{testid}" '
        f'data-value="{value}">{text}{small}</div>{bar}</div>'
    )


def _meter(part: float, alarming: bool = False) -> str:
    """A thin bar beside a figure that says the same in words; one that is ``alarming`` is red when full."""
    full = " nbw-mod-full" if alarming and part >= 90 else ""
    return f'<div class="nbw-Meter{full}" aria-hidden="true"><div style="width: {part:.1f}%"></div></div>'


def tasks(view: ClusterView) -> str:
    """How far the work is: a bar with a part for each group of tasks, and the numbers."""
    progress = progress_of(view.tasks)
    groups = [(name, count) for name, count in progress.groups if count]
    bars = "".join(
        f'<div class="nbw-mod-{name}" style="width: {share(count, progress.total):.3f}%"></div>'
        for name, count in groups
    )
    legend = "".join(f'<li class="nbw-mod-{name}">{count:,} {name}</li>' for name, count in groups)
    counts = " ".join(f'data-{name}="{count}"' for name, count in progress.groups)
    return (
        f'<div class="nbw-Tasks" data-testid="nbcluster-tasks" data-value="{view.tasks.done}" '
        f'data-total="{progress.total}" {counts}>'
        f'<div class="nbw-Tasks-head"><span class="nbw-Label">Tasks</span>'
        f"<span>{tasks_text(view.tasks)}</span></div>"
        f'<div class="nbw-Tasks-bar" role="progressbar" aria-label="Tasks" aria-valuemin="0" '
        f'aria-valuemax="{progress.total}" aria-valuenow="{progress.finished + progress.failed}">{bars}</div>'
        f"<ul>{legend}</ul></div>"
    )


def workers(view: ClusterView) -> str:
    """A row for each worker: how it is, what it uses, and how its last process ended."""
    if not view.workers:
        return hint("There are no workers.")
    heads = ("Worker", "State", "Threads", "Memory", "CPU", "Running", "Done", "Restarts")
    head = "".join(f'<th scope="col">{text}</th>' for text in heads)
    rows = "".join(_worker(worker) for worker in view.workers)
    return (
        f'<div class="nbw-Scroll"><table class="nbw-Workers"><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _worker(worker: WorkerView) -> str:
    name, limit = escape(str(worker.name)), worker.memory_limit
    memory = format_bytes(worker.memory) + (f" of {format_bytes(limit)}" if limit else "")
    last = f"<small>last process: {escape(worker.last_exit)}</small>" if worker.last_exit else ""
    cells = (
        f"{STATUS_TEXTS[worker.status]}{last}",
        f"{worker.nthreads:,}",
        memory + (_meter(share(worker.memory, limit), alarming=True) if limit else ""),
        f"{worker.cpu:.0f} %{_meter(share(worker.cpu, 100 * worker.nthreads))}",
        f"{worker.executing:,}",
        f"{worker.done:,}",
        f"{worker.restarts:,}",
    )
    return (
        f'<tr data-testid="nbcluster-worker" data-worker="{name}" data-status="{worker.status}">'
        f'<th scope="row" title="{escape(worker.address)}">{name}</th>'
        + "".join(f"<td>{cell}</td>" for cell in cells)
        + "</tr>"
    )


def info(view: ClusterView) -> str:
    """What one needs to know to use the cluster from elsewhere."""
    facts = {
        "Address": view.address,
        "Id": view.id,
        "Started": moment(view.started),
        "Clients": f"{view.clients:,}",
        **view.versions,
    }
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts.items() if value)
    code = (
        '<p class="nbw-Label">Connect from any notebook or script of yours</p>'
        f'<pre data-testid="nbcluster-snippet">{escape(snippet(view))}</pre>'
        if is_ready(view)
        else ""
    )
    return f'<div class="nbw-Info" data-testid="nbcluster-info"><dl>{rows}</dl>{code}</div>'


def dashboard(view: ClusterView) -> str:
    """The dashboard in a frame, and the way to it where frames do not work.

    There is a frame for each theme; style shows one, and as both are lazy only that one is loaded.
    """
    link = view.dashboard_link
    if not is_ready(view):
        ended = view.status in ENDED
        return hint(f"There is {'no dashboard any more' if ended else 'a dashboard as soon as the cluster runs'}.")
    if not is_link(link):
        return hint("This cluster has no dashboard.")
    url, more = escape(link), "&amp;" if "?" in link else "?"
    frames = "".join(
        f'<iframe class="nbw-mod-{theme}" data-testid="nbcluster-dashboard-frame" title="Dashboard" '
        f'loading="lazy" sandbox="allow-scripts allow-same-origin allow-downloads" '
        f'src="{url}{more}theme={theme}"></iframe>'
        for theme in ("light", "dark")
    )
    return (
        '<div class="nbw-Dashboard"><p class="nbw-Hint">In a tab of its own: '
        f'<a href="{url}" target="_blank" rel="noopener noreferrer" data-testid="nbcluster-dashboard-link">'
        f"{url}</a></p>{frames}</div>"
    )


def log_lines(lines: Sequence[LogLine], earlier: int, none: str) -> str:
    """The end of a log. ``earlier`` lines are left out; ``none`` is said if there are no lines.

    The box is laid out from its end: so the end is what one sees, with no script to scroll there.
    """
    above = hint(f"{earlier:,} earlier lines are not shown.") if earlier else ""
    body = "".join(map(_line, lines)) or hint(none)
    return (
        '<div class="nbw-Log" role="log" tabindex="0" aria-label="Log" data-testid="nbcluster-logs">'
        f"<div>{above}{body}</div></div>"
    )


def _line(line: LogLine) -> str:
    worker = line.source if line.worker is None else str(line.worker)
    return (
        f'<div class="nbw-Line nbw-mod-{_LINE_MOODS.get(line.level, "plain")}" '
        f'data-testid="nbcluster-log-line" data-level="{escape(line.level)}" '
        f'data-worker="{escape("" if line.worker is None else worker)}">'
        f"<time>{time.strftime('%H:%M:%S', time.localtime(line.time))}</time>"
        f"<span>{escape(line.level)}</span>"
        f'<span title="{escape(line.source)}">{escape(worker)}</span>'
        f"<span>{escape(line.text)}</span></div>"
    )
