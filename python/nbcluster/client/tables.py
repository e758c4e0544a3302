"""Dicts that show themselves as tables in notebooks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Iterable
from typing import Any

from nbcluster.markup import escape
from nbcluster.units import format_bytes

_ROWS = 200


class WhoHas(dict[str, list[str]]):
    """Which workers hold each result: addresses by key."""

    def _repr_html_(self) -> str:
        rows = ([key, str(len(holders)), ", ".join(holders)] for key, holders in self.items())
        return table(["Key", "Copies", "Workers"], rows, len(self))


class HasWhat(dict[str, list[str]]):
    """Which results each worker holds: keys by address."""

    def _repr_html_(self) -> str:
        rows = ([worker, str(len(keys)), ", ".join(keys)] for worker, keys in self.items())
        return table(["Worker", "Keys", "Which"], rows, len(self))


class SchedulerInfo(dict[str, Any]):
    """What ``scheduler_info`` tells: of the scheduler, and of its workers by address."""

    _ask: Callable[[], Awaitable[SchedulerInfo]] | None = None

    def asking(self, ask: Callable[[], Awaitable[SchedulerInfo]]) -> SchedulerInfo:
        """The same, and to await it is to ask anew."""
        self._ask = ask
        return self

    def __await__(self) -> Generator[Any, None, SchedulerInfo]:
        if self._ask is None:
            raise TypeError("this client is not asynchronous: what scheduler_info() returns is there, without await")
        return self._ask().__await__()

    def _repr_html_(self) -> str:
        workers: dict[str, dict[str, Any]] = self["workers"]
        rows = (
            [
                str(worker["name"]),
                address,
                str(worker["nthreads"]),
                format_bytes(worker["memory_limit"]) if worker["memory_limit"] else "no limit",
                str(worker["status"]),
            ]
            for address, worker in workers.items()
        )
        said = f"{self['n_workers']} workers, {self['total_threads']} threads, {format_bytes(self['total_memory'])}"
        heads = ["Worker", "Address", "Threads", "Memory", "Status"]
        return f"<p><b>Scheduler</b> {escape(self['address'])}: {said}</p>{table(heads, rows, len(workers))}"


def table(heads: list[str], rows: Iterable[list[str]], count: int) -> str:
    """A plain table; of very many rows the first."""
    cells = []
    for number, row in enumerate(rows):
        if number == _ROWS:
            cells.append(f'<tr><td colspan="{len(heads)}">… and {count - _ROWS} more</td></tr>')
            break
        cells.append("<tr>" + "".join(_cell(text) for text in row) + "</tr>")
    head = "".join(f'<th style="text-align: left">{escape(text)}</th>' for text in heads)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(cells)}</tbody></table>"


def _cell(text: str) -> str:
    style = "text-align: left; max-width: 40em; overflow: hidden; text-overflow: ellipsis; white-space: nowrap"
    return f'<td style="{style}" title="{escape(text[:2000])}">{escape(text[:2000])}</td>'
