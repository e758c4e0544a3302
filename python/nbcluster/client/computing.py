"""Dask's collections on the cluster: ``get``, ``compute`` and ``persist``.

Dask itself optimizes collections and puts their results together; here graphs become tasks. Dask is imported when one
of these is called, never before.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator
from typing import Any, Literal

from nbcluster.arguments import check_flag, check_optional_flag
from nbcluster.client import others, submission
from nbcluster.client.annotating import Annotated, in_force, set_aside
from nbcluster.client.data import DataClient
from nbcluster.client.future import Future
from nbcluster.client.gathering import all_futures, with_parts
from nbcluster.client.graph_keys import key_text
from nbcluster.client.short_tracebacks import shortened
from nbcluster.client.states import CANCELLED, FutureState
from nbcluster.protocol.messages import Line
from nbcluster.types import Key
from nbcluster.units import parse_seconds


class ComputingClient(DataClient):
    """Computes graphs of dask's."""

    def get(
        self,
        dsk: Any,
        keys: Any,
        workers: object = None,
        allow_other_workers: bool = False,
        resources: object = None,
        sync: bool = True,
        asynchronous: bool | None = None,
        direct: bool | None = None,
        retries: int | None = None,
        priority: int = 0,
        fifo_timeout: float | str = "60s",
        actors: object = None,
        **kwargs: Any,
    ) -> Any:
        """Compute keys of a graph: a scheduler for dask, as in ``x.compute(scheduler=client.get)``.

        Args:
            dsk: a graph: a dict of tasks, a ``HighLevelGraph``, or the graph of a collection.
            keys: a key, or lists of keys, nested at will.
            workers: names or addresses of the workers that may run its tasks.
            allow_other_workers: ``workers`` is a preference, not a condition.
            resources: what each task occupies on its worker.
            sync: False returns futures.
            asynchronous: True returns something to be awaited, on any event loop.
            direct: accepted for compatibility: data takes the shortest way there is, whatever this says.
            retries: how often to run each task again if it raises.
            priority: higher runs first; among equals, tasks run in the order that dask finds best for memory.
            fifo_timeout: what needs tasks of an earlier graph takes their place in line if it is submitted so soon
                after that one; otherwise graphs of equal priority run first in, first out.
            actors: collections or keys, whose tasks make actors (see ``submit``); True: all that are asked for.
            kwargs: options of dask's own schedulers, which have no meaning here, such as ``num_workers``.

        Returns:
            Results, or futures, in the structure of ``keys``.

        Raises:
            TypeError: ``dsk`` is not a graph, or an option has the wrong type.
            KeyError: a key is not in the graph.
            ValueError: a task needs something that is not there.
            RuntimeError: tasks need each other in a circle.

        Example:
            >>> client.get({"x": 1, "y": (sum, ["x", 10])}, "y")
            11
        """
        options, line = self._graph_options(
            workers, allow_other_workers, resources, retries, priority, fifo_timeout, actors, kwargs
        )
        check_flag("sync", sync)
        for flag, value in (("asynchronous", asynchronous), ("direct", direct)):
            check_optional_flag(flag, value)
        flat = list(_flatten(keys))
        for key in flat:
            if not isinstance(key, Hashable):
                raise TypeError(f"keys={keys!r} has {key!r} in it, which is no key of a graph")
        futures = dict(zip(flat, self._submit_graph(dsk, flat, options, line), strict=True))
        packed = _in_structure_of(keys, futures)
        if not sync:
            return packed
        if self.asynchronous or asynchronous:
            return self._results_of(packed, futures.values(), asynchronous)
        try:
            return self.gather(packed, direct=direct)
        except Exception as error:
            raise shortened(error)  # noqa: B904 (it is the same)
        finally:
            _release(futures.values())

    async def _results_of(self, packed: Any, futures: Iterable[Future], asynchronous: bool | None) -> Any:
        try:
            return await self.gather(packed, asynchronous=asynchronous)
        except Exception as error:
            raise shortened(error)  # noqa: B904
        finally:
            _release(futures)

    def compute(
        self,
        collections: Any,
        sync: bool = False,
        optimize_graph: bool = True,
        workers: object = None,
        allow_other_workers: bool = False,
        resources: object = None,
        retries: int | None = 0,
        priority: int = 0,
        fifo_timeout: float | str = "60s",
        actors: object = None,
        traverse: bool = True,
        **kwargs: Any,
    ) -> Any:
        """Compute collections of dask's: arrays, dataframes, bags, delayed values.

        Args:
            collections: one, or a list of them; what is no collection stays as it is.
            sync: True waits for the results.
            optimize_graph: let dask optimize their graphs first.
            traverse: look for collections in lists, tuples, sets and dicts among ``collections`` too.

        The other arguments are those of ``get``.

        Returns:
            A future for each collection, or a list of them; with ``sync=True``, their results.

        Example:
            >>> import dask
            >>> client.compute(dask.delayed(sum)([1, 2, 3])).result()
            6
        """
        from dask.base import compute as compute_all
        from dask.delayed import delayed

        options, line = self._graph_options(
            workers, allow_other_workers, resources, retries, priority, fifo_timeout, actors, kwargs
        )
        for flag, value in (("sync", sync), ("optimize_graph", optimize_graph), ("traverse", traverse)):
            check_flag(flag, value)
        single = not isinstance(collections, (list, tuple, set, frozenset))
        items: list[Any] = [collections] if single else list(collections)
        if traverse:
            items = [delayed(one) if isinstance(one, (list, tuple, set, dict, Iterator)) else one for one in items]

        def compute(some: list[Any]) -> Iterable[Any]:
            with set_aside():
                done: Iterable[Any] = compute_all(
                    *some, traverse=False, optimize_graph=optimize_graph, scheduler=self._scheduler(options, line)
                )
            return done

        items = _by_type(items, compute)
        result = items[0] if single else items
        return self.gather(result) if sync else result

    def persist(
        self,
        collections: Any,
        optimize_graph: bool = True,
        workers: object = None,
        allow_other_workers: bool = False,
        resources: object = None,
        retries: int | None = None,
        priority: int = 0,
        fifo_timeout: float | str = "60s",
        actors: object = None,
        **kwargs: Any,
    ) -> Any:
        """Compute collections of dask's and keep their parts on the workers.

        Args:
            collections: one, or a list of them.
            optimize_graph: let dask optimize their graphs first.

        The other arguments are those of ``get``.

        Returns:
            Equal collections, at once, whose parts are futures: what is made of them starts from there.

        Example:
            >>> import dask.bag
            >>> numbers = client.persist(dask.bag.range(100, npartitions=4))
            >>> client.compute(numbers.sum()).result()
            4950
        """
        from dask.base import persist as persist_all

        options, line = self._graph_options(
            workers, allow_other_workers, resources, retries, priority, fifo_timeout, actors, kwargs
        )
        check_flag("optimize_graph", optimize_graph)
        single = not isinstance(collections, (list, tuple, set, frozenset))
        items: list[Any] = [collections] if single else list(collections)

        def persist(some: list[Any]) -> Iterable[Any]:
            with set_aside():
                kept: Iterable[Any] = persist_all(
                    *some, traverse=False, optimize_graph=optimize_graph, scheduler=self._scheduler(options, line)
                )
            return kept

        items = _by_type(items, persist)
        return items[0] if single else items

    def normalize_collection(self, collection: Any) -> Any:
        """An equal collection that starts from the parts that this client has futures for.

        ``compute`` and ``persist`` do so by themselves: it is for whoever wants to look at the graph.

        Example:
            >>> import dask
            >>> total = dask.delayed(sum)([1, 2])
            >>> kept = client.persist(total)
            >>> [future.key for future in client.futures_of(client.normalize_collection(total))] == [kept.key]
            True
        """
        if not hasattr(type(collection), "__dask_graph__"):
            raise TypeError(f"collection={collection!r} is none of dask's collections")
        graph = dict(collection.__dask_graph__() or {})
        states = {key: self._session.wants.state(key_text(key)) for key in graph}
        known = {key: state for key, state in states.items() if state is not None and state.status != CANCELLED}
        if not known:
            return collection
        futures = dict(zip(known, self._futures(known.values()), strict=True))
        rebuild, extra = collection.__dask_postpersist__()
        return rebuild({**graph, **futures}, *extra)

    def futures_of(self, futures: Any) -> list[Future]:
        """All futures in nested containers, and behind persisted collections, each once."""
        return all_futures(with_parts(futures))

    # --- graphs ---

    def _scheduler(self, options: Annotated, line: Line) -> Callable[..., list[Future]]:
        """A scheduler for dask whose results are futures."""

        def schedule(dsk: Any, keys: Any, **_: Any) -> list[Future]:
            return self._submit_graph(dsk, list(_flatten(keys)), options, line)

        return schedule

    def _submit_graph(self, dsk: Any, keys: list[Any], options: Annotated, line: Line) -> list[Future]:
        """Futures for keys of a graph, in their order."""
        from nbcluster.client.graph_submission import GraphSubmission

        wants = self._session.wants
        wants.check_open()
        wants.release_dead()  # graphs bring names of their own: these may have meant something else
        adopted: list[Future] = []
        foreign: list[FutureState] = []
        graph = GraphSubmission(
            dsk, keys, options, lambda key: self._is_known(key, adopted, foreign), self._session.share, line
        )
        context, cell = contextvars.copy_context(), self._cell()
        held = {}
        for wanted, message in graph.messages():
            for state in wants.add(wanted, context, message, cell):
                held[state.key] = state
        if foreign:
            others.hold(self, foreign)
        return self._futures([held[name] for name in graph.outcomes])

    def _is_known(self, key: Key, adopted: list[Future], foreign: list[FutureState]) -> bool:
        """Whether there is a future for a key. One of another client in this process will do: then we want it too.

        Dask hands out one expression to all that unpickle it in a process, and so with the futures of the first.
        """
        if self._session.wants.state(key) is not None:
            return True
        for other in self._others_here():
            state = other._session.wants.state(key)
            if state is not None and state.status != CANCELLED:
                others.submit_after(self, other)
                adopted.append(Future(key, self._this))
                foreign.append(state)
                return True
        return False

    def _graph_options(
        self,
        workers: object,
        allow_other_workers: object,
        resources: object,
        retries: object,
        priority: object,
        fifo_timeout: float | str,
        actors: object,
        others: dict[str, Any],
    ) -> tuple[Annotated, Line]:
        interval = parse_seconds(fifo_timeout, "fifo_timeout")
        unknown = sorted(set(others) - _OPTIONS_OF_OTHERS)
        if unknown:
            raise TypeError(f"{unknown[0]}={others[unknown[0]]!r} is no option of a graph's computation")
        given = submission.options(
            workers=workers,
            allow_other_workers=allow_other_workers,
            resources=resources,
            retries=retries,
            priority=priority,
        )
        return Annotated(given, in_force(), _keys_of_actors(actors)), self._line(interval)


_OPTIONS_OF_OTHERS = {"cache", "callbacks", "chunksize", "num_workers", "pool", "rerun_exceptions_locally"}
"""What dask's own schedulers take: how they run tasks in this process, where nothing is run here."""


def _flatten(keys: Any) -> Iterator[Any]:
    if isinstance(keys, list):
        for one in keys:
            yield from _flatten(one)
    else:
        yield keys


def _keys_of_actors(actors: object) -> Collection[Any] | Literal[True]:
    """Whose tasks make actors: those of keys and collections that are named, or True for all that are asked for."""
    if actors is None or isinstance(actors, bool):
        return True if actors else ()
    from dask.base import is_dask_collection

    several = isinstance(actors, (list, tuple, set, frozenset)) and not is_dask_collection(actors)
    keys: list[Any] = []
    for one in actors if several else [actors]:  # type: ignore[attr-defined]
        if is_dask_collection(one):
            keys += _flatten(one.__dask_keys__())
        elif isinstance(one, (str, tuple)):
            keys.append(one)
        else:
            raise TypeError(f"actors={actors!r} holds {one!r}, which is neither a collection nor a key of a graph")
    return keys


def _release(futures: Iterable[Future]) -> None:
    """Nobody wants them any more, although a traceback may keep the objects."""
    for future in futures:
        future.release()


def _in_structure_of(keys: Any, values: dict[Any, Any]) -> Any:
    return [_in_structure_of(one, values) for one in keys] if isinstance(keys, list) else values[keys]


def _by_type(items: list[Any], of_some: Callable[[list[Any]], Iterable[Any]]) -> list[Any]:
    """The same list with something else for each collection: collections of one type share a graph."""
    from dask.base import is_dask_collection

    kinds: dict[type, list[int]] = {}
    for place, item in enumerate(items):
        if is_dask_collection(item):
            kinds.setdefault(type(item), []).append(place)
    replaced = list(items)
    for places in kinds.values():
        for place, item in zip(places, of_some([items[place] for place in places]), strict=True):
            replaced[place] = item
    return replaced
