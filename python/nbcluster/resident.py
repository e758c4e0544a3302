"""What is looked at where it runs: the scheduler by functions that run in it, a worker by its tasks."""

from __future__ import annotations

from typing import ClassVar, NoReturn

from nbcluster.types import Address, host_of, port_of


class Resident:
    """A part of a cluster that has an address, says what there is to be seen of it, and goes nowhere."""

    _called: ClassVar[str]
    """How errors speak of it."""

    def __getattr__(self, name: str) -> NoReturn:
        there = ", ".join(one for one in dir(self) if not one.startswith("_"))
        raise AttributeError(f"{self._called} has no {name!r} to be looked at from here; there are {there}")

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"{self!r} stays where it runs; return what it tells, such as a name or a number")

    @property
    def address(self) -> Address:
        """Where it is."""
        raise NotImplementedError

    @property
    def ip(self) -> str:
        """The host in its address."""
        return host_of(self.address)

    @property
    def port(self) -> int:
        """The port in its address; 0 if there is none."""
        return port_of(self.address)
