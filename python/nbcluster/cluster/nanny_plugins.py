"""The plugins that a user adds to a nanny of theirs, in its process."""

from __future__ import annotations

import inspect
import logging
from typing import Any

from nbcluster.plugins.base import NannyPlugin, check_name, plugin_name

logger = logging.getLogger("nbcluster.worker")


class NannyPlugins:
    """Those of one nanny."""

    def __init__(self, nanny: Any) -> None:
        self._nanny = nanny
        self.by_name: dict[str, NannyPlugin] = {}

    async def add(self, plugin: NannyPlugin, name: str | None) -> None:
        """Set one up; one of its name is torn down first.

        Raises:
            TypeError: it is none.
            Exception: what its ``setup`` raises.
        """
        if not isinstance(plugin, NannyPlugin):
            raise TypeError(f"plugin={plugin!r} is not an object of a class that inherits from NannyPlugin")
        name = plugin_name(plugin) if name is None else check_name(name)
        if name in self.by_name:
            await self.remove(name)
        await _finished(plugin.setup(self._nanny))
        self.by_name[name] = plugin

    async def remove(self, name: str) -> None:
        """Tear one down.

        Raises:
            KeyError: there is none of this name.
        """
        if name not in self.by_name:
            known = ", ".join(map(repr, self.by_name)) or "none"
            raise KeyError(f"{name!r} is no plugin of {self._nanny!r}; there are {known}")
        await _finished(self.by_name.pop(name).teardown(self._nanny))

    async def close(self) -> None:
        """Tear all down, the latest first; what one raises is logged."""
        for name in reversed(list(self.by_name)):
            try:
                await self.remove(name)
            except Exception:
                logger.exception("The plugin %r failed when it was torn down", name)


async def _finished(outcome: Any) -> None:
    if inspect.isawaitable(outcome):
        await outcome
