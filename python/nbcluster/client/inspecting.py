"""What there is on the cluster: who holds what, who runs what, what happened, what was logged."""

from __future__ import annotations

import logging
import os
import time
import warnings
from collections.abc import Callable, Iterable
from typing import Any

from nbcluster import versions
from nbcluster.arguments import (
    check_choice,
    check_flag,
    check_keys,
    check_several,
    check_text,
    check_whole,
    check_workers,
)
from nbcluster.client.connected import ConnectedClient
from nbcluster.client.gathering import futures_in
from nbcluster.client.tables import HasWhat, WhoHas
from nbcluster.commands import GetLogs, Logs
from nbcluster.protocol import inspection as i
from nbcluster.snapshot import LogLine
from nbcluster.types import Address, Key

PATIENCE = 10.0
"""Seconds that workers have to answer; those that have not by then are left out."""

_LINES = 10_000


class InspectingClient(ConnectedClient):
    """Looks into the cluster."""

    async def _ask_workers(self, look: i.AnyLook, workers: list[str] | None = None) -> i.Sights:
        answer = await self._session.inspect(i.AskWorkers(look, workers), PATIENCE)
        assert isinstance(answer, i.Sights)
        return answer

    # --- data ---

    def who_has(self, futures: Any = None) -> Any:
        """Which workers hold each result.

        Args:
            futures: futures, in any containers; None: all results that there are.

        Returns:
            A dict from key to the addresses of the workers.

        Example:
            >>> x = client.submit(abs, -1)
            >>> x.result()
            1
            >>> len(client.who_has([x])[x.key])
            1
        """
        keys = None if futures is None else [future.key for future in futures_in("futures", futures)]
        return self._sync(self._session.inspect, i.AskHolders(keys), then=lambda said: WhoHas(said.by_name))

    def has_what(self, workers: Any = None) -> Any:
        """Which results each worker holds.

        Args:
            workers: names or addresses; None: all.

        Returns:
            A dict from worker address to keys.

        Raises:
            ValueError: a name that no worker bears.
        """
        question = i.AskHoldings(check_workers("workers", workers))
        return self._sync(self._session.inspect, question, then=lambda said: HasWhat(said.by_name))

    def processing(self, workers: Any = None) -> Any:
        """Which tasks each worker has to run: those that it is running, and those that it was sent ahead of need.

        Args:
            workers: names or addresses; None: all.

        Returns:
            A dict from worker address to keys.
        """
        question = i.AskProcessing(check_workers("workers", workers))
        return self._sync(self._session.inspect, question, then=lambda said: said.by_name)

    def nbytes(self, keys: Iterable[Key] | None = None, summary: bool = True) -> Any:
        """How many bytes results take.

        Args:
            keys: of these only; None: of all that are there.
            summary: added up by the names of their functions, not key by key.

        Example:
            >>> x = client.submit(abs, -1)
            >>> x.result()
            1
            >>> client.nbytes([x.key])
            {'abs': 32}
        """
        chosen = None if keys is None else check_keys("keys", keys)
        question = i.AskSizes(chosen, check_flag("summary", summary))
        return self._sync(self._session.inspect, question, then=lambda said: said.by_name)

    # --- runs ---

    def call_stack(self, futures: Any = None, keys: Iterable[Key] | None = None) -> Any:
        """Where in the code the running tasks are.

        Args:
            futures: futures, or collections of dask's, whose tasks are of interest.
            keys: or their keys. None of both: all tasks that are running.

        Returns:
            A dict from worker address to a dict from key to the call stack, a list whose first item is the outermost
            call. Workers and tasks that are not running are not in it.
        """
        wanted = [] if keys is None else check_keys("keys", keys)
        if futures is not None:
            wanted += [future.key for future in futures_in("futures", futures)]
        chosen = wanted if keys is not None or futures is not None else None

        def stacks(said: i.Sights) -> dict[Address, dict[Key, list[str]]]:
            found: dict[Address, dict[Key, list[str]]] = {}
            for worker, sight in said.by_worker.items():
                assert isinstance(sight, i.Runs)
                for run in sight.runs:
                    if run.state == "running":
                        found.setdefault(worker, {})[run.key] = list(run.stack)
            return found

        return self._sync(self._ask_workers, i.LookAtRuns(chosen), then=stacks)

    def story(self, *keys_or_stimuli: Any, on_error: str = "raise") -> Any:
        """What happened to keys, or because of something: transitions, as the scheduler and the workers saw them.

        Args:
            keys_or_stimuli: keys or futures, or what moved them, such as ``"TasksDone"``.
            on_error: ``"ignore"`` gives nothing instead of an error.

        Returns:
            A list of tuples, those of the scheduler first: ``("scheduler", key, before, after, {}, stimulus, time)``,
            and ``(worker, key, before, after, after, {}, stimulus, time)``.
        """
        check_choice("on_error", on_error, "raise", "ignore")
        names = [check_text("keys_or_stimuli", getattr(name, "key", name)) for name in keys_or_stimuli]
        return self._sync(self._story, names, on_error)

    async def _story(self, names: list[str], on_error: str) -> list[tuple[Any, ...]]:
        lines: list[tuple[Any, ...]] = []
        try:
            said = await self._session.inspect(i.AskStory(names))
            assert isinstance(said, i.StoryLines)
            now = time.time()
            lines += [("scheduler", x.key, x.before, x.after, {}, x.stimulus, now - x.ago) for x in said.lines]
            sights = await self._ask_workers(i.LookAtStory(names))
        except Exception:
            if on_error == "raise":
                raise
            return lines
        now = time.time()
        for worker, sight in sights.by_worker.items():
            assert isinstance(sight, i.StoryLines)
            lines += [(worker, x.key, x.before, x.after, x.after, {}, x.stimulus, now - x.ago) for x in sight.lines]
        return lines

    # --- versions ---

    def get_versions(self, check: bool = False, packages: Iterable[str] | None = None) -> Any:
        """What the client, the scheduler and the workers run on.

        Args:
            check: raise if versions differ that must not, warn if others do.
            packages: import names of more packages to look at.

        Returns:
            A dict with ``"client"``, ``"scheduler"`` and ``"workers"`` (by address), each with ``"host"`` and
            ``"packages"``.

        Raises:
            ValueError: with ``check``: versions of what nbcluster itself needs differ.
        """
        names = () if packages is None else check_several("packages", packages, "import names")
        names = [check_text("packages", name) for name in names]
        return self._sync(self._get_versions, check_flag("check", check), names)

    async def _get_versions(self, check: bool, packages: list[str]) -> dict[str, Any]:
        look = i.LookAtVersions(packages)
        scheduler = await self._session.inspect(i.AskScheduler(look))
        assert isinstance(scheduler, i.Versions)
        sights = await self._ask_workers(look)
        mine = i.Versions(versions.host(), versions.packages(packages))
        workers = {worker: sight for worker, sight in sights.by_worker.items() if isinstance(sight, i.Versions)}
        if check:
            _check_versions({"this client": mine, "the scheduler": scheduler, **workers}, packages)
        return {
            "scheduler": _plain(scheduler),
            "workers": {worker: _plain(sight) for worker, sight in workers.items()},
            "client": _plain(mine),
        }

    # --- logs ---

    def get_scheduler_logs(self, n: int | None = None) -> Any:
        """What the scheduler logged.

        Args:
            n: only the latest so many lines.

        Returns:
            A list of ``(level, line)``, the newest first. (``cluster.get_logs()`` has all logs in order.)
        """
        most = _most(n)

        def pick(answer: Logs) -> list[tuple[str, str]]:
            return _newest([line for line in answer.lines if line.source == "Scheduler"], most)

        return self._sync(self._logs, then=pick)

    async def _logs(self) -> Logs:
        answer = await self._session.call(GetLogs(limit=10 * _LINES))
        assert isinstance(answer, Logs)
        return answer

    def get_worker_logs(self, n: int | None = None, workers: Any = None, nanny: bool = False) -> Any:
        """What workers logged and printed; what a worker said survives its death.

        Args:
            n: only the latest so many lines of each.
            workers: names or addresses; None: all that are there.
            nanny: what those who start and watch them said of them, instead.

        Returns:
            A dict from worker address to a list of ``(level, line)``, the newest first.
        """
        return self._sync(
            self._get_worker_logs, _most(n), check_workers("workers", workers), check_flag("nanny", nanny)
        )

    async def _get_worker_logs(
        self, most: int, workers: list[str] | None, nanny: bool
    ) -> dict[Address, list[tuple[str, str]]]:
        there = await self._session.inspect(i.AskProcessing(workers))  # knows all names, and refuses others
        assert isinstance(there, i.Lists)
        view = self._session.view
        names = {} if view is None else {worker.address: worker.name for worker in view.workers}
        answer = await self._logs()
        found: dict[Address, list[tuple[str, str]]] = {}
        for address in there.by_name:
            if nanny:
                about = _mentions(names.get(address), address)
                lines = [line for line in answer.lines if line.source == "Cluster" and about(line.text)]
            else:
                lines = [line for line in answer.lines if line.source == address]
            found[address] = _newest(lines, most)
        return found

    def forward_logging(self, logger_name: str | None = None, level: int | str = logging.NOTSET) -> Any:
        """Have what workers' loggers say handled by the loggers of the same names here.

        A record has to be worth handling where it is made, and here: both loggers' levels count. Here it has one more
        attribute, ``worker``.

        Args:
            logger_name: this logger and those below it; None: all.
            level: only records of this level and worse.

        Raises:
            ValueError: there is no such level.
        """
        number = logging.getLevelName(level) if isinstance(level, str) else level
        if isinstance(number, bool) or not isinstance(number, int):
            raise ValueError(f"level={level!r} is no level; give one of logging's, such as 'INFO' or logging.INFO")
        check_whole("level", number)
        return self._sync(self._forward, i.ForwardLogs(_logger(logger_name), number, [os.getpid()]))

    def unforward_logging(self, logger_name: str | None = None) -> Any:
        """Stop what ``forward_logging`` began."""
        return self._sync(self._forward, i.ForwardLogs(_logger(logger_name), None))

    async def _forward(self, order: i.ForwardLogs) -> None:
        self._session.wants.post(order)
        # Orders and questions take the same way: who has answered this has heard of the order.
        await self._ask_workers(i.LookAtRuns([]))


def _logger(name: str | None) -> str:
    if name is not None and not isinstance(name, str):
        raise TypeError(f"logger_name={name!r} is not the name of a logger; give text, or None for all")
    return "" if name is None or name == "root" else check_text("logger_name", name)


def _most(n: int | None) -> int:
    if n is None:
        return _LINES
    return check_whole("n", n, least=0)


def _newest(lines: list[LogLine], most: int) -> list[tuple[str, str]]:
    latest = lines[max(0, len(lines) - most) :]
    return [(line.level, f"{_moment(line.time)} - {line.text}") for line in reversed(latest)]


def _moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds)) + f",{int(seconds % 1 * 1000):03d}"


def _mentions(name: Any, address: Address) -> Callable[[str], bool]:
    words = ("Worker", "worker")
    return lambda text: (
        address in text
        or any(f"{word} {name}{after}" in f"{text} " for word in words for after in (" ", ":", ",", "."))
    )


def _plain(said: i.Versions) -> dict[str, Any]:
    return {"host": said.host, "packages": said.packages}


def _check_versions(parties: dict[str, i.Versions], packages: list[str]) -> None:
    def differing(names: Iterable[str]) -> list[str]:
        lines = []
        for name in names:
            found = {party: said.packages.get(name) for party, said in parties.items()}
            if len(set(found.values())) > 1:
                lines.append(
                    f"{name}: " + ", ".join(f"{version or 'none'} in {party}" for party, version in found.items())
                )
        return lines

    must = differing(("python", *versions.REQUIRED))
    should = differing((*versions.OPTIONAL, *packages))
    if should:
        warnings.warn("Versions differ.\n" + "\n".join(should), stacklevel=2)
    if must:
        raise ValueError("Versions differ that must be the same everywhere.\n" + "\n".join(must))
