"""The card without any script, for pages that only show: GitHub, nbviewer, an exported notebook.

Style is inline, for these pages drop style sheets, and takes its colours from the page, light or dark. All
that comes from the cluster is text that anybody may have chosen: it is escaped.
"""

from __future__ import annotations

from html import escape

from nbcluster.snapshot import ClusterView
from nbcluster.types import Status
from nbcluster.widgets.figures import (
    STATUS_TEXTS,
    figures_of,
    is_link,
    is_ready,
    moment,
    owner_text,
    tasks_text,
)

_FRAME = "border: 1px solid rgba(128, 128, 128, 0.4); border-radius: 6px; display: inline-block; padding: 8px 14px"
_HEAD = "font-weight: 600; margin-right: 10px"
_BADGE = "border: 1px solid {0}; border-radius: 10px; color: {0}; font-size: 85%; padding: 0 8px"
_LINK = "color: inherit; text-decoration: underline"
_TABLE = "border-collapse: collapse; margin: 6px 0 0"
_LABEL = "font-weight: normal; opacity: 0.7; padding: 2px 16px 2px 0; text-align: left"
_VALUE = "padding: 2px 0; text-align: left"

# Each has enough contrast on white and on black.
_GOOD, _CHANGING, _BAD, _OVER = "#2e8b57", "#b8860b", "#d9534f", "#808080"
_COLOURS = {
    Status.RUNNING: _GOOD,
    Status.BROKEN: _BAD,
    Status.FAILED: _BAD,
    Status.CLOSED: _OVER,
}


def html_of(view: ClusterView) -> str:
    """A small table that says how a cluster is, at this moment."""
    figures = figures_of(view)
    rows = {
        "Workers": f"{figures.workers:,}"
        if figures.workers == view.requested
        else f"{figures.workers:,} of {view.requested:,}",
        "Threads": f"{figures.threads:,}",
        "Memory": figures.memory_text,
        "Tasks": tasks_text(view.tasks),
        "Adapting": _adapting(view),
        "Owner": owner_text(view.owner),
        "Address": view.address,
        "As of": moment(view.time),
    }
    body = "".join(_row(label, escape(text)) for label, text in rows.items() if text)
    if is_ready(view) and is_link(view.dashboard_link):
        link = escape(view.dashboard_link)
        body += _row(
            "Dashboard", f'<a style="{_LINK}" href="{link}" target="_blank" rel="noopener noreferrer">{link}</a>'
        )
    colour = _COLOURS.get(view.status, _CHANGING)
    message = f'<div style="color: {colour}">{escape(view.message)}</div>' if view.message else ""
    return (
        f'<div style="{_FRAME}">'
        f'<div><span style="{_HEAD}">{escape(view.name) or "Unnamed cluster"}</span>'
        f'<span style="{_BADGE.format(colour)}">{STATUS_TEXTS[view.status]}</span></div>'
        f'{message}<table style="{_TABLE}"><tbody>{body}</tbody></table></div>'
    )


def _row(label: str, html: str) -> str:
    return f'<tr><th style="{_LABEL}">{label}</th><td style="{_VALUE}">{html}</td></tr>'


def _adapting(view: ClusterView) -> str:
    if view.adaptive is None:
        return ""
    most = view.capacity if view.adaptive.maximum is None else view.adaptive.maximum
    return f"between {view.adaptive.minimum:,} and {most:,} workers"
