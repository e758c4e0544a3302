"""What a client says of its cluster, and how it shows itself."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from nbcluster.arguments import check_path, check_whole, check_worker_count, check_workers
from nbcluster.client.connected import ConnectedClient, seconds_or_none
from nbcluster.client.states import CANCELLED, FutureState
from nbcluster.client.tables import SchedulerInfo
from nbcluster.comm.scheduler_file import StrPath, write
from nbcluster.commands import GetView, View
from nbcluster.errors import WorkerStartTimeoutError
from nbcluster.markup import escape
from nbcluster.snapshot import ClusterView
from nbcluster.types import Address, Key, Status, host_of
from nbcluster.units import format_bytes


class SchedulerAt(NamedTuple):
    """A scheduler, as a client knows it."""

    address: Address


class ObservingClient(ConnectedClient):
    """Looks at the cluster."""

    async def _view(self) -> ClusterView:
        answer = await self._session.call(GetView())
        assert isinstance(answer, View)
        self._session.view = answer.cluster
        return answer.cluster

    async def _look(self) -> None:
        await self._view()

    @property
    def scheduler(self) -> SchedulerAt:
        """Where the scheduler is: ``client.scheduler.address``."""
        return SchedulerAt(self._welcome.address)

    @property
    def futures(self) -> dict[Key, FutureState]:
        """What is known of each key that this client has a future for: ``client.futures[key].status``.

        What was cancelled is not among them: its key may be had again.
        """
        return {key: state for key, state in self._session.wants.alive().items() if state.status != CANCELLED}

    def scheduler_info(self, n_workers: int = -1) -> Any:
        """What the scheduler knows of itself and its workers, as plain dicts by worker address.

        Of an asynchronous client it is there at once, as it was a second ago at the most; to await it asks anew.
        """
        check_whole("n_workers", n_workers)
        view = self._session.view if self.asynchronous else None
        if view is not None:
            return info_of_view(view, n_workers).asking(lambda: self._info(n_workers))
        return self._sync(self._view, then=lambda view: info_of_view(view, n_workers))

    async def _info(self, n_workers: int) -> SchedulerInfo:
        return info_of_view(await self._view(), n_workers)

    def nthreads(self, workers: Any = None) -> Any:
        """Threads per worker address.

        Args:
            workers: names or addresses; None: all. One that is not there is left out.
        """
        chosen = check_workers("workers", workers)

        def pick(view: ClusterView) -> dict[str, int]:
            return {
                worker.address: worker.nthreads
                for worker in view.workers
                if worker.address and (chosen is None or worker.address in chosen or str(worker.name) in chosen)
            }

        return self._sync(self._view, then=pick)

    ncores = nthreads

    def write_scheduler_file(self, scheduler_file: StrPath) -> Any:
        """Write a file by which others find this cluster: ``Client(scheduler_file=…)``.

        It holds no secret: who may connect is decided by the cluster, as always.

        Raises:
            ValueError: this client itself was made from a scheduler file.
        """
        if self.scheduler_file is not None:
            raise ValueError(
                f"this client was made from the scheduler file {self.scheduler_file!r}: there is one already"
            )
        check_path("scheduler_file", scheduler_file)
        return self._sync(self._view, then=lambda view: write(scheduler_file, info_of_view(view)))

    def wait_for_workers(self, n_workers: int, timeout: float | str | None = None) -> Any:
        """Wait until this many workers are there.

        Raises:
            ValueError: ``n_workers`` is not a positive number.
            WorkerStartTimeoutError: they did not arrive in time.
        """
        check_worker_count("n_workers", n_workers)
        return self._sync(self._wait_for_workers, n_workers, seconds_or_none(timeout))

    async def _wait_for_workers(self, n_workers: int, timeout: float | None) -> None:
        loop = asyncio.get_running_loop()
        deadline = None if timeout is None else loop.time() + timeout
        while True:
            view = await self._view()
            there = sum(worker.status == Status.RUNNING for worker in view.workers)
            if there >= n_workers:
                return
            if deadline is not None and loop.time() > deadline:
                raise WorkerStartTimeoutError(there, n_workers, timeout or 0.0)
            await asyncio.sleep(0.02)

    @property
    def dashboard_link(self) -> str:
        """Where the dashboard is."""
        if self.cluster is not None:
            return str(self.cluster.dashboard_link)
        return self._welcome.dashboard_link

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop that the client's network side runs on."""
        return self._session.wants.loop

    # --- how it looks ---

    def __repr__(self) -> str:
        if self.status != "running":
            return "<Client: No scheduler connected>"
        text = f"<Client: {self._welcome.address!r}"
        view = self._session.view
        if view is not None:
            running = [worker for worker in view.workers if worker.address]
            threads = sum(worker.nthreads for worker in running)
            text += f" processes={len(running)} threads={threads}"
            limits = [worker.memory_limit for worker in running]
            if limits and all(limits):
                text += f", memory={format_bytes(sum(limit or 0 for limit in limits))}"
        return text + ">"

    def _repr_html_(self) -> str:
        html = f"<b>Client</b> {escape(repr(self)[1:-1].removeprefix('Client: '))}"
        link = self.dashboard_link if self.status == "running" else ""
        if link:
            html += f'<br><b>Dashboard</b> <a href="{escape(link)}" target="_blank">{escape(link)}</a>'
        return html

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Any:
        show = getattr(self.cluster, "_repr_mimebundle_", None)
        if show is not None and self.status == "running":
            return show(include, exclude)
        return {"text/plain": repr(self), "text/html": self._repr_html_()}


def info_of_view(view: ClusterView, n_workers: int = -1) -> SchedulerInfo:
    """A cluster's view as the plain dicts of ``scheduler_info``: of the workers that have joined."""
    joined = [worker for worker in view.workers if worker.address]
    workers = joined if n_workers < 0 else joined[:n_workers]
    port = urlsplit(view.dashboard_link).port if view.dashboard_link else None
    info = {
        "type": "Scheduler",
        "id": view.id,
        "address": view.address,
        "services": {} if port is None else {"dashboard": port},
        "started": view.started,
        "n_workers": len(joined),
        "total_threads": sum(worker.nthreads for worker in joined),
        "total_memory": sum(worker.memory_limit or 0 for worker in joined),
        "workers": {
            worker.address: {
                "type": "Worker",
                "id": worker.name,
                "host": host_of(worker.address),
                "name": worker.name,
                "nthreads": worker.nthreads,
                "memory_limit": worker.memory_limit,
                "resources": worker.resources,
                "local_directory": worker.local_directory,
                "status": str(worker.status),
                "pid": worker.pid,
                "last_seen": view.time,
                "services": {},
                "nanny": None,
                "metrics": {
                    "cpu": worker.cpu,
                    "memory": worker.memory,
                    "managed_bytes": worker.stored,
                    "executing": worker.executing,
                },
            }
            for worker in workers
        },
    }
    return SchedulerInfo(info)
