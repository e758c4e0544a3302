"""How a worker gets into a cluster that runs already: with which secret, under which name, reachable where."""

from __future__ import annotations

import asyncio
import contextlib
import math
import secrets
from collections.abc import Callable, Iterable
from typing import NamedTuple

from nbcluster.cluster.network import ANYWHERE, LOOPBACK, check_alone
from nbcluster.comm import tls_contexts
from nbcluster.comm.addresses import InprocAddress, TcpAddress, machine_address, parse
from nbcluster.comm.finding import wait_for_token
from nbcluster.comm.security import Security
from nbcluster.commands import GetView, View
from nbcluster.deadlines import within
from nbcluster.engines.control import ControlLink
from nbcluster.errors import ClusterClosedError, ClusterError, CommClosedError, CommError, TimeoutError
from nbcluster.protocol.joining import GiveUpName, Joined, LetGo, TakeName, ToHost, WorkerEnded
from nbcluster.protocol.tls import TlsIdentity
from nbcluster.types import Address, RunId, WorkerName

_LOOK = 0.02
_LAST = 5.0
"""Seconds that a scheduler has for saying that a worker has left."""


class Place(NamedTuple):
    """Where a worker is to listen for its peers, as far as somebody has said so."""

    host: str | None = None
    """An address of this machine."""
    ports: list[int] = []  # noqa: RUF012 (of a tuple, nobody changes it)
    protocol: str | None = None
    contact: Address | None = None
    """How its peers reach it, if not there."""


class Entry(NamedTuple):
    """What a worker needs for joining."""

    scheduler: Address
    token: bytes
    tls: TlsIdentity | None
    listen: Address
    """Where it is to listen for its peers."""
    contact: Address = ""
    """How they reach it, if not there; port 0 is the one at which it listens."""

    def __repr__(self) -> str:
        return f"Entry({self.scheduler!r}, token=…)"


async def find_entry(
    address: Address, security: Security | None, place: Place, on_wait: Callable[[CommError], None]
) -> Entry:
    """How to get in at an address. While nobody listens there, somebody is waited for.

    Raises:
        CommError: somebody else's cluster listens there.
        ValueError: the address is none, or needs credentials, or other workers would not reach that place.
    """
    parsed = parse(address)
    tls = None if security is None else security.identity("worker")
    encrypted = isinstance(parsed, TcpAddress) and parsed.encrypted
    if encrypted and tls is None:
        raise ValueError(f"{address} needs TLS credentials: give security= with tls_ca_file and tls_worker_cert")
    kinds = ["tls"] if encrypted else ["inproc", "tcp"] if isinstance(parsed, InprocAddress) else ["tcp"]
    chosen = place.host is not None or place.ports or place.contact
    protocol = place.protocol or kinds[-1 if chosen else 0]
    if protocol not in kinds:
        known = " or ".join(repr(kind) for kind in kinds)
        raise ValueError(f"protocol={protocol!r} does not go with the scheduler {address}; give {known}")
    if protocol == "inproc" and chosen:
        raise ValueError("protocol='inproc' has no host, port and contact_address; give 'tcp'")
    contact = place.contact or ""
    if contact and (not isinstance(reached := parse(contact), TcpAddress) or reached.encrypted != encrypted):
        raise ValueError(f"contact_address={contact!r} does not go with protocol={protocol!r}")
    host = place.host
    if host is None:
        near = not isinstance(parsed, TcpAddress) or parsed.is_loopback
        host = LOOPBACK if near else machine_address()
    elif not encrypted:
        check_alone(host)
    if host in ANYWHERE:
        host = "0.0.0.0"
        contact = contact or str(TcpAddress(machine_address(), 0, encrypted))
    listen = "inproc://" if protocol == "inproc" else str(TcpAddress(host, 0, encrypted))
    token = None if security is None else security.token
    return Entry(address, token or await wait_for_token(address, math.inf, on_wait), tls, listen, contact)


def new_name() -> str:
    """A name for a worker that was given none."""
    return f"worker-{secrets.token_hex(4)}"


class Lookout:
    """A link to a cluster that a worker joins: has its name, watches whether the cluster still runs.

    Made by :meth:`open`.
    """

    def __init__(self, on_told: Callable[[ToHost], None]) -> None:
        self._on_told = on_told
        self._link: ControlLink
        self._name: WorkerName | None = None
        self._pid: int | None = None
        self._joined = asyncio.Event()
        self.address: Address = ""
        """Where the peers of the worker reach it; empty while it has not joined."""
        self.local_directory = ""
        """Where the worker puts files of its own."""

    @classmethod
    async def open(cls, entry: Entry, timeout: float, on_told: Callable[[ToHost], None]) -> Lookout:
        """Connect; ``on_told`` is called with what is to happen to the worker.

        Raises:
            CommError: nobody answers there.
        """
        ssl = tls_contexts.connecting(entry.tls) if entry.tls and entry.scheduler.startswith("tls://") else None
        lookout = cls(on_told)
        lookout._link = await ControlLink.open(
            entry.scheduler, entry.token, lambda view: None, lambda reason, lost: None, timeout, ssl, lookout._told
        )
        return lookout

    def _told(self, message: ToHost) -> None:
        if isinstance(message, Joined):
            self._pid, self.address, self.local_directory = message.pid, message.address, message.local_directory
            self._joined.set()
        else:
            self._on_told(message)

    def expect(self) -> None:
        """Another worker is to come: what is known of a former one counts no more."""
        self._pid, self.address = None, ""

    async def take(self, name: WorkerName, *, supervised: bool, in_process: bool) -> None:
        """Take a name for a worker.

        Raises:
            ValueError: the name is taken.
            ClusterError: the cluster takes nobody from outside its process.
        """
        if self._link.welcome.live and not in_process:
            raise ClusterError(
                "the workers of this cluster are threads of its process and hand each other live objects: none can "
                "join from elsewhere; start it with protocol='tcp', or with processes=True"
            )
        await self._link.ask(lambda number: TakeName(number, name, supervised))
        self._name = name

    async def wait_for(self, pid: Callable[[], int | None], timeout: float) -> None:
        """Wait until the worker has joined, from this process.

        Raises:
            ClusterError: it did not in time, or the cluster has ended.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        while self._pid is None or self._pid != pid():
            if self._link.closed_because:
                raise ClusterClosedError(f"the cluster is closed: {self._link.closed_because}")
            if loop.time() > deadline:
                raise ClusterError(f"worker {self._name!r} did not join within {timeout:g} s")
            self._joined.clear()
            with contextlib.suppress(asyncio.TimeoutError):
                await within(self._joined.wait(), _LOOK)

    async def wait_gone(self, pid: int) -> None:
        """Wait until the scheduler knows that the worker of this process is gone."""
        with contextlib.suppress(ClusterClosedError):
            while True:
                answer = await self._link.call(GetView())
                assert isinstance(answer, View)
                if (self._name, pid) not in [(worker.name, worker.pid) for worker in answer.cluster.workers]:
                    return
                await asyncio.sleep(_LOOK)

    async def let_go(self) -> None:
        """Have the worker end once what it holds is elsewhere."""
        name = self._name
        assert name is not None
        with contextlib.suppress(ClusterClosedError):
            await self._link.ask(lambda number: LetGo(number, name))

    def tell_ended(self, pid: int, cause: str, running: Iterable[RunId], log: str) -> None:
        """Tell the scheduler how the worker's process ended."""
        assert self._name is not None
        self._link.tell(WorkerEnded(self._name, pid, cause, list(running), log))

    @property
    def ended(self) -> bool:
        """True if the cluster has ended."""
        return bool(self._link.closed_because)

    async def wait_ended(self) -> None:
        """Wait until the cluster has ended."""
        await self._link.wait_ended()

    async def close(self) -> None:
        """Give the name up, and watch no more."""
        name, self._name = self._name, None
        if name is not None:
            with contextlib.suppress(ClusterClosedError, CommClosedError, TimeoutError):
                await within(self._link.ask(lambda number: GiveUpName(number, name)), _LAST)
        await self._link.close()
