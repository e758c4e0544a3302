"""The contract between what runs tasks and what people see.

Clients, clusters, cards, sidebar and REST know only this.

An engine is started once, closed once, and lives on one event loop. Whether its scheduler runs in this
process (``LocalCluster``), in one of its own (``SubprocessCluster``) or belongs to a Jupyter server makes no
difference here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple

from nbcluster.commands import AnyAnswer, AnyCommand
from nbcluster.errors import ClusterError
from nbcluster.snapshot import ClusterView
from nbcluster.types import Address, Status

OnView = Callable[[ClusterView], None]


class Access(NamedTuple):
    """How a client in this process gets in."""

    address: Address
    token: bytes

    def __repr__(self) -> str:
        return f"Access({self.address!r}, token=…)"


class Engine(ABC):
    """A cluster that can be started, asked and closed."""

    shared: bool = False
    """True if others keep it: to let go of it does not end it."""

    @property
    @abstractmethod
    def address(self) -> Address:
        """Where clients connect; ``""`` before the start."""

    @property
    @abstractmethod
    def status(self) -> Status:
        """Where it is in its life."""

    @property
    @abstractmethod
    def view(self) -> ClusterView:
        """The latest view. Costs nothing; at most a second old while anybody is subscribed."""

    @property
    def dashboard_socket(self) -> str:
        """The Unix socket of its dashboard, for who shows it to others; ``""`` if there is none."""
        return ""

    @property
    def access(self) -> Access:
        """The best way in for a client of this process.

        Raises:
            ClusterError: clients of this process have no way in.
        """
        raise ClusterError(f"{self!r} takes no clients")

    @abstractmethod
    async def start(self) -> None:
        """Start, and return when the first workers that were asked for are there.

        Raises:
            ClusterError: it could not be started; says which step failed and what the process said.
        """

    @abstractmethod
    async def call(self, command: AnyCommand) -> AnyAnswer:
        """Carry out a command of ``commands``.

        Raises:
            ValueError, TypeError: the command's arguments are out of range.
            ClusterClosedError: the cluster is closed or closing.
        """

    @abstractmethod
    def subscribe(self, on_view: OnView, interval: float = 1.0) -> Callable[[], None]:
        """Call ``on_view`` on the loop after changes, at most every ``interval`` seconds.

        Returns:
            The way to stop it.
        """

    async def detach(self) -> None:
        """Let go of it: end it, unless it belongs to somebody else and goes on without us."""
        await self.close()

    @abstractmethod
    async def close(self, timeout: float = 10.0) -> None:
        """End everything that belongs to it. Idempotent; never raises for what is already gone."""
