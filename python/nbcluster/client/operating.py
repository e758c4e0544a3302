"""What a client has its cluster do to workers and to data: restart, retire, copy, move, drop."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any, Literal

from nbcluster.arguments import check_flag, check_several, check_whole, check_workers
from nbcluster.client.future import Future
from nbcluster.client.gathering import futures_in
from nbcluster.client.observing import ObservingClient, info_of_view
from nbcluster.client.running import RunningClient
from nbcluster.errors import TimeoutError
from nbcluster.protocol.operating import (
    ManageMemory,
    Rebalance,
    Replicate,
    RestartCluster,
    RestartWorkers,
    Retire,
)
from nbcluster.protocol.records import Message
from nbcluster.types import Key
from nbcluster.units import parse_seconds

if TYPE_CHECKING:
    from nbcluster.client.executor import ClientExecutor

RESTART_TIMEOUT = 120.0


class OperatingClient(ObservingClient, RunningClient):
    """Operates the cluster."""

    async def _operate(self, make: Callable[[int], Message]) -> dict[str, str]:
        return await self._session.operate(make)

    # --- workers ---

    def restart(self, timeout: float | str | None = None, wait_for_workers: bool = True) -> Any:
        """Cancel and forget everything, and start all workers afresh.

        Args:
            timeout: seconds that the workers have to come back; None means two minutes.
            wait_for_workers: False waits only until the old ones are gone.

        Raises:
            TimeoutError: they did not come back in time.
        """
        seconds = RESTART_TIMEOUT if timeout is None else parse_seconds(timeout, "timeout")
        wait = check_flag("wait_for_workers", wait_for_workers)
        return self._sync(
            self._operate,
            lambda request: RestartCluster(request, seconds, wait),
            then=lambda _: None,
        )

    def restart_workers(
        self, workers: Collection[str], timeout: float | str | None = None, raise_for_error: bool = True
    ) -> Any:
        """Start some workers afresh. What they were running runs elsewhere; what only they held is computed again.

        Args:
            workers: names or addresses.
            timeout: seconds that they have to come back; None means two minutes.
            raise_for_error: False returns ``"timed out"`` for those that did not, and raises nothing.

        Returns:
            ``"OK"`` for each of them, as it was named.

        Raises:
            ValueError: one of them is not known, or has no nanny and was not started by the cluster.
            TimeoutError: one did not come back in time.
        """
        check_flag("raise_for_error", raise_for_error)
        if workers is None:
            raise TypeError("workers=None is not a list of worker names or addresses; client.restart() restarts all")
        given = [workers] if isinstance(workers, (str, int)) else check_several("workers", workers, "worker names")
        names = check_workers("workers", given) or []
        seconds = RESTART_TIMEOUT if timeout is None else parse_seconds(timeout, "timeout")

        def finish(answer: dict[str, str]) -> dict[Any, str]:
            late = [name for name, status in answer.items() if status != "OK"]
            if late and raise_for_error:
                raise TimeoutError(f"{len(late)} workers were not back within {seconds:g} s: {', '.join(late)}")
            return {name: answer[str(name)] for name in given}

        return self._sync(self._operate, lambda request: RestartWorkers(request, names, seconds), then=finish)

    def retire_workers(
        self,
        workers: Collection[str] | None = None,
        close_workers: bool = True,
        *,
        names: Collection[str] | None = None,
        n: int | None = None,
        minimum: int = 0,
    ) -> Any:
        """Let workers go: they get no more tasks, finish what they run, and their results are copied to others first.

        A cluster that adapts stops doing so, for it would start others in their place.

        Args:
            workers: names or addresses; None means those that have nothing to do and hold no results.
            close_workers: False leaves their processes running, without tasks.
            names: the same as ``workers``.
            n: without ``workers``: let so many go, the least busy first.
            minimum: without ``workers``: keep so many at least.

        Returns:
            What is known of those that went, by address.

        Example:
            >>> address = list(client.scheduler_info()["workers"])[0]
            >>> gone = client.retire_workers([address])  # doctest: +SKIP
        """
        chosen = check_workers("workers", workers)
        if names is not None:
            chosen = [*(chosen or ()), *(check_workers("names", names) or ())]
        if n is not None:
            n = check_whole("n", n, least=0)
        minimum = check_whole("minimum", minimum, least=0)
        return self._sync(self._retire, chosen, check_flag("close_workers", close_workers), n, minimum)

    async def _retire(self, workers: list[str] | None, close: bool, n: int | None, minimum: int) -> dict[str, Any]:
        known = info_of_view(await self._view())["workers"]
        answer = await self._operate(lambda request: Retire(request, workers, close, n, minimum))
        return {address: known.get(address, {"name": name}) for address, name in answer.items()}

    # --- data ---

    def replicate(
        self,
        futures: Any,
        n: int | None = None,
        workers: Collection[str] | None = None,
        branching_factor: int = 2,
    ) -> Any:
        """Copy results to more workers, so that many tasks can read them there; and wait until that is done.

        Args:
            futures: a future, or containers with futures in them.
            n: how many workers are to hold each of them; None means all.
            workers: names or addresses of those that may; None means any.
            branching_factor: how many copies are made at a time of each that there is.

        Raises:
            ValueError: ``n`` is less than 1, or no worker is meant.
        """
        if n is not None:
            n = check_whole("n", n, least=1)
        branching_factor = check_whole("branching_factor", branching_factor, least=1)
        names = check_workers("workers", workers)
        found = self._mine(futures)
        return self._sync(
            self._when_there,
            found,
            lambda request, keys: Replicate(request, keys or [], n, names, branching_factor),
        )

    def rebalance(self, futures: Any = None, workers: Collection[str] | None = None) -> Any:
        """Move results between workers until they hold about equally much.

        Args:
            futures: what may be moved; None means everything.
            workers: names or addresses of those that take part; None means all. With an empty list nothing moves.

        Raises:
            ValueError: none of these workers is running.
        """
        names = check_workers("workers", workers)
        found = None if futures is None else self._mine(futures)
        if names == []:
            found, names = [], None
        return self._sync(self._when_there, found, lambda request, keys: Rebalance(request, keys, names))

    def _mine(self, futures: Any) -> list[Future]:
        found = futures_in("futures", futures)
        for future in found:
            if future.client is not self:
                raise ValueError(f"{future!r} belongs to another client ({future.client!r}); ask that one")
        return found

    async def _when_there(self, futures: list[Future] | None, make: Callable[[int, list[Key] | None], Message]) -> None:
        keys = None
        if futures is not None:
            await self._session.wait([future._state for future in futures])
            for future in futures:
                error = future._state.exception()
                if error is not None:
                    raise error
            keys = [future.key for future in futures]
        await self._operate(lambda request: make(request, keys))

    @property
    def amm(self) -> ActiveMemoryManager:
        """What drops spare copies of results."""
        return ActiveMemoryManager(self)

    # --- other interfaces ---

    def get_executor(self, **kwargs: Any) -> ClientExecutor:
        """An executor of ``concurrent.futures`` whose calls run as tasks of this cluster.

        Args:
            kwargs: keywords of ``submit`` for all of them: ``workers``, ``retries``, ``resources`` and so on.

        Example:
            >>> with client.get_executor() as executor:
            ...     list(executor.map(pow, [2, 3], [10, 2]))
            [1024, 9]
        """
        from nbcluster.client.executor import ClientExecutor

        return ClientExecutor(self._this, **kwargs)


class ActiveMemoryManager:
    """Drops spare copies of results every few seconds: those that no task needs where they are.

    Copies that were asked for, by ``replicate`` or ``scatter(broadcast=True)``, are not spare. It runs until it is
    stopped. Asynchronous clients await each method.

    Example:
        >>> client.amm.running()
        True
    """

    def __init__(self, client: OperatingClient) -> None:
        self._client = client

    def __repr__(self) -> str:
        return f"<ActiveMemoryManager of {self._client!r}>"

    def start(self) -> Any:
        """Drop spare copies from now on."""
        return self._ask("start")

    def stop(self) -> Any:
        """Drop none any more."""
        return self._ask("stop")

    def run_once(self) -> Any:
        """Drop them now."""
        return self._ask("run_once")

    def running(self) -> Any:
        """Whether they are dropped every few seconds."""
        return self._ask("running", lambda answer: answer["running"] == "yes")

    def _ask(
        self,
        action: Literal["start", "stop", "run_once", "running"],
        then: Callable[[dict[str, str]], Any] = lambda _: None,
    ) -> Any:
        client = self._client
        return client._sync(client._operate, lambda request: ManageMemory(request, action), then=then)
