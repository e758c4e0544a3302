"""What ``get_logs`` returns: texts by source, that show well in a notebook."""

from __future__ import annotations

from collections.abc import Iterable

from nbcluster.markup import escape
from nbcluster.snapshot import LogLine

_COLOURS = {"WARNING": "orange", "ERROR": "crimson", "CRITICAL": "orangered", "STDERR": "gray"}


class Log(str):
    """The text of one source, oldest line first."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        lines = (f'<span style="color:{_colour(line)}">{escape(line)}</span>' for line in self.splitlines())
        return f'<pre><code style="background:none">{_join(lines)}</code></pre>'


class Logs(dict[str, Log]):
    """Logs by source: ``"Cluster"``, ``"Scheduler"``, and each worker's address."""

    def _repr_html_(self) -> str:
        return "\n".join(
            f"<details><summary>{escape(source)}</summary>{log._repr_html_()}</details>" for source, log in self.items()
        )


def logs_by_source(lines: Iterable[LogLine], sources: Iterable[str]) -> Logs:
    """Sort lines by source; each of ``sources`` is there, even if it wrote nothing."""
    texts: dict[str, list[str]] = {source: [] for source in sources}
    for line in lines:
        if line.source in texts:
            texts[line.source].append(line.text)
    return Logs({source: Log("\n".join(text)) for source, text in texts.items()})


def _join(lines: Iterable[str]) -> str:
    return "\n".join(lines)


def _colour(line: str) -> str:
    for level, colour in _COLOURS.items():
        if f" {level} " in line or f"- {level} -" in line:
            return colour
    return "inherit"
