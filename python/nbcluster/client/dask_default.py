"""Dask's default scheduler: the default client, as long as there is one, and within ``as_current()`` that client.

Dask may be imported before the first client is made, later, or never, and nothing here imports it. Whoever computes a
collection without naming a scheduler then gets the client that is the current one at that time.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import ModuleType
from typing import TYPE_CHECKING, Any

from nbcluster.client import defaults
from nbcluster.client.dask_functions import DaskFunctions
from nbcluster.client.import_hooks import WhenImported

if TYPE_CHECKING:
    from nbcluster.client.client import Client

_CONFIG = "dask.config"
_BASE = "dask.base"
_NAMES = ("distributed", "dask.distributed")
"""By which dask's users ask for the default client, as in ``compute(scheduler="distributed")``."""

_SHUFFLE = "dataframe.shuffle.method"


class DefaultClient:
    """What dask's configuration names as its scheduler: whichever client is the current one.

    Dask knows by the name of the class that there is a ``get`` and an ``asynchronous``.
    """

    @property
    def asynchronous(self) -> bool:
        """Whether the current client is to be used with ``await``; then dask refuses to compute by it."""
        client = _current()
        return client is not None and client.asynchronous

    @property
    def get(self) -> Callable[..., Any]:
        """The current client's ``get``."""
        client = _current()
        if client is not None:
            return client.get
        from dask.base import get_scheduler
        from dask.threaded import get

        scheduler: Callable[..., Any] = get
        if _hook.may_leave:  # else there is one for others: tasks, or whoever is within a block
            _hook.leave()  # all clients were forgotten, not closed
            scheduler = get_scheduler() or get
        return scheduler

    def __repr__(self) -> str:
        return f"<DefaultClient: {defaults.current()!r}>"


def _current() -> Client | None:
    """The current client, but in a forked process, to which its links do not belong."""
    return defaults.current() if os.getpid() == _hook.pid else None


def get_of_default(dsk: Any, keys: Any, **options: Any) -> Any:
    """The ``get`` of whichever client is the current one."""
    return DefaultClient().get(dsk, keys, **options)


class _Hook:
    """Sets dask's configuration, now or when dask is imported, and takes that back."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._client = DefaultClient()
        self._config: ModuleType | None = None
        self._settings: list[tuple[str, Any, Any]] = []
        """What was set: its name, the value, and dask's own way to take it back."""
        self._entered = False
        self.pid = 0
        """Whose clients they are."""
        self.stays = False
        """It is never taken back."""
        self._default = False
        """There is a default client."""
        self._blocks = 0
        """In how many blocks a client is the current one."""
        self._waiting: list[WhenImported] = []
        self._named: dict[str, Callable[..., Any]] = {}
        """Dask's schedulers by name."""
        self._functions = DaskFunctions(_current)

    @property
    def may_leave(self) -> bool:
        """Whether nobody but a default client keeps it."""
        return not self.stays and not self._blocks

    def follow(self, there_is_a_default: bool) -> None:
        """There is a default client, or there is none."""
        with self._lock:
            self._default = there_is_a_default
            self._settle()

    def count(self, blocks: int) -> None:
        """There are so many blocks more."""
        with self._lock:
            self._blocks += blocks
            self._settle()

    def _settle(self) -> None:
        if self._default or self._blocks:
            self.enter()
        else:
            self.leave()

    def set_again(self) -> AbstractContextManager[Any]:
        """Set what somebody has set to something else since then; to be taken back at the end of a ``with`` block."""
        with self._lock:
            config = self._config
            if config is None or config.get("scheduler", None) is self._client:
                return nullcontext()
            setting: AbstractContextManager[Any] = config.set(scheduler=self._client)
            return setting

    def enter(self) -> None:
        with self._lock:
            self.pid = os.getpid()
            if not self._entered:
                self._entered = True
                self._waiting = [WhenImported(_CONFIG, self._found), WhenImported(_BASE, self._found_names)]
                self._functions.enter()

    def leave(self) -> None:
        with self._lock:
            if self.stays:
                return
            self._entered = False
            self._functions.leave()
            for waiting in self._waiting:
                waiting.cancel()
            for name in _NAMES:
                if self._named.get(name) is get_of_default:
                    del self._named[name]
            settings, self._settings = self._settings, []
            for name, value, setting in settings:
                if self._config is not None and self._config.get(name, None) is value:
                    setting.__exit__(None, None, None)  # else somebody has set something else since then, and keeps it

    def _found(self, config: ModuleType) -> None:
        """Dask has been imported."""
        with self._lock:
            if self._entered and not self._settings:
                self._set(config)

    def _found_names(self, base: ModuleType) -> None:
        with self._lock:
            if self._entered:
                self._named = base.named_schedulers
                for name in _NAMES:
                    self._named.setdefault(name, get_of_default)

    def _set(self, config: ModuleType) -> None:
        chosen: dict[str, Any] = {"scheduler": self._client}
        if config.get(_SHUFFLE, None) is None:
            chosen[_SHUFFLE] = "tasks"  # else dask would shuffle by way of the disk, as in one process
        self._config = config
        self._settings = [(name, value, config.set({name: value})) for name, value in chosen.items()]


_hook = _Hook()


def serve_tasks() -> None:
    """This process does nothing but run tasks: what they compute with dask is computed by the cluster they run on."""
    _hook.stays = True
    _hook.enter()


def follow(there_is_a_default: bool) -> None:
    """The first default client has come, or the last one has gone."""
    _hook.follow(there_is_a_default)


@contextmanager
def chosen() -> Iterator[None]:
    """What is computed in this block without naming a scheduler is computed by the current client.

    So it is if another scheduler was configured before, or if no client is the default one. Dask's configuration is
    that of the whole process: threads without a client of their own compute by themselves meanwhile.
    """
    _hook.count(1)
    try:
        with _hook.set_again():
            yield
    finally:
        _hook.count(-1)
