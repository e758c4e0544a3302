"""An event that clients share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nbcluster.client.coordinating import nothing_of, value_of
from nbcluster.client.coordination.names import Name
from nbcluster.client.coordination.shared import SharedObject, check_timeout
from nbcluster.protocol.coordination import AwaitFlag, GetFlag, SetFlag

if TYPE_CHECKING:
    from nbcluster.client.client import Client


class Event(SharedObject):
    """A flag that is set or not; who waits for it goes on once it is set. Like ``asyncio.Event``, across processes.

    It stays set when its client goes, until somebody clears it.

    Args:
        name: by default a new one. The same name is the same event.
        client: the client to use; by default the current one.

    Example:
        >>> ready = Event("ready")
        >>> future = client.submit(lambda event: event.wait(10), ready)
        >>> ready.set()
        >>> future.result()
        True
    """

    _kind = "event"

    def __init__(self, name: Name | None = None, client: Client | None = None) -> None:
        super().__init__(name, client)

    def wait(self, timeout: float | str | None = None) -> Any:
        """Wait until it is set.

        Args:
            timeout: seconds to wait (or ``"500 ms"``); None waits for ever.

        Returns:
            True; False if it was not set in time.
        """
        wait, seconds = check_timeout(timeout)
        return self._ask(lambda number: AwaitFlag(number, self._text, wait), value_of, seconds)

    def set(self) -> Any:
        """Set it: all who wait go on."""
        return self._ask(lambda number: SetFlag(number, self._text, True), nothing_of)

    def clear(self) -> Any:
        """Clear it: from now on one has to wait."""
        return self._ask(lambda number: SetFlag(number, self._text, False), nothing_of)

    def is_set(self) -> Any:
        """Whether it is set."""
        return self._ask(lambda number: GetFlag(number, self._text), value_of)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.name,)
