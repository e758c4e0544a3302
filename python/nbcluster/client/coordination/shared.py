"""What all objects have in common that clients share by name."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, TypeVar

from nbcluster.client import defaults
from nbcluster.client.connected import seconds_or_none
from nbcluster.client.coordination.link import Make, Request
from nbcluster.client.coordination.names import Name, check_name, text_of

if TYPE_CHECKING:
    from nbcluster.client.client import Client

Self = TypeVar("Self", bound="SharedObject")


class SharedObject:
    """Something that has a name, and is the same for all who use that name, in whichever process.

    It belongs to the client that it was given, else to the one that is current when it is used: in a task, to the
    task's. Pickled, it travels as its name.
    """

    _kind: str

    def __init__(self, name: Name | None, client: Client | None) -> None:
        if name is not None:
            check_name("name", name)
        if client is not None:
            defaults.check_client("client", client)
        self._client = client
        self.name: Name = f"{self._kind}-{uuid.uuid4().hex}" if name is None or name == "" else name

    @property
    def _text(self) -> str:
        """The name, as the scheduler knows it."""
        return text_of(self.name)

    @property
    def client(self) -> Client:
        """The client that it is used through.

        Raises:
            ValueError: there is none.
        """
        return self._client or defaults.default_client()

    def _ask(self, make: Make, then: Callable[[Any, Request], Any] | None = None, timeout: float | None = None) -> Any:
        return self.client._request(make, then, timeout)

    def __await__(self: Self) -> Generator[Any, None, Self]:
        return self._made().__await__()

    async def _made(self: Self) -> Self:
        return self

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.name}>"


def check_timeout(timeout: Any) -> tuple[bool, float | None]:
    """Whether to wait at all, and for how many seconds; None is for ever."""
    seconds = seconds_or_none(timeout)
    return seconds is None or seconds > 0, seconds
