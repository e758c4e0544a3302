"""A variable that clients share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nbcluster.client.coordination.link import Request
from nbcluster.client.coordination.names import Name
from nbcluster.client.coordination.shared import SharedObject, check_timeout
from nbcluster.errors import TimeoutError
from nbcluster.protocol.coordination import DeleteVariable, GetVariable, HandedOver, Replied, SetVariable

if TYPE_CHECKING:
    from nbcluster.client.client import Client


class Variable(SharedObject):
    """One value that all clients and tasks see; the latest that was set counts.

    A value is a future, or anything that can be pickled; all go through the scheduler, so put large data into a future
    (``client.scatter``) and set the variable to that. The result of a future in a variable is kept, also when the
    client that set it is gone.

    Args:
        name: by default a new one. The same name is the same variable.
        client: the client to use; by default the current one.

    Example:
        >>> best = Variable("best")
        >>> best.set(0.25)
        >>> best.get(timeout=1)
        0.25
    """

    _kind = "variable"

    def __init__(self, name: Name | None = None, client: Client | None = None) -> None:
        super().__init__(name, client)

    def set(self, value: Any, timeout: float | str | None = "30 s") -> Any:
        """Set its value.

        Args:
            value: a future, something with futures in it, or anything that can be pickled.
            timeout: seconds to wait (or ``"500 ms"``) for the scheduler to confirm; None waits for ever.

        Raises:
            SerializationError: it cannot be pickled; ``path`` says what.
            ValueError: a future of another client, or one that was cancelled.
        """
        client = self.client
        _, seconds = check_timeout(timeout)
        shared, futures = client._share(value, "value")

        def then(answer: Replied, request: Request) -> None:
            futures.clear()  # until now they were held: from now on the scheduler does

        return client._request(lambda number: SetVariable(number, self._text, shared), then, seconds)

    def get(self, timeout: float | str | None = None) -> Any:
        """Its value, once it has one.

        Args:
            timeout: seconds to wait (or ``"500 ms"``); None waits for ever.

        Raises:
            TimeoutError: it was not set in time.
        """
        client = self.client
        wait, seconds = check_timeout(timeout)

        def then(answer: Any, request: Request) -> Any:
            if type(answer) is not HandedOver:
                raise TimeoutError(f"{self!r} was not set within {seconds:g} s")
            [value] = client._receive(answer, request)
            return value

        return client._request(lambda number: GetVariable(number, self._text, wait), then, seconds)

    def delete(self) -> None:
        """Forget its value, for everybody. With an asynchronous client, too, there is nothing to await."""
        client = self.client
        if client.asynchronous:
            client._session.coordination.tell(lambda number: DeleteVariable(number, self._text))
        else:
            client._request(lambda number: DeleteVariable(number, self._text))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.name,)
