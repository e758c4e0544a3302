"""How a worker gets into a cluster that runs already: with which secret, under which name, reachable where."""

from __future__ import annotations

import asyncio
import secrets
from typing import NamedTuple

from nbcluster.comm import tls_contexts
from nbcluster.comm.addresses import InprocAddress, TcpAddress, UnixAddress, machine_address, parse
from nbcluster.comm.credentials import find_token
from nbcluster.comm.security import Security
from nbcluster.commands import GetView, View
from nbcluster.engines.control import ControlLink
from nbcluster.errors import ClusterError
from nbcluster.protocol.tls import TlsIdentity
from nbcluster.snapshot import WorkerView
from nbcluster.types import Address, Status, WorkerName

_LOOK = 0.02


class Entry(NamedTuple):
    """What a worker needs for joining."""

    scheduler: Address
    token: bytes
    tls: TlsIdentity | None
    listen: Address
    """Where it is to listen for its peers."""

    def __repr__(self) -> str:
        return f"Entry({self.scheduler!r}, token=…)"


def find_entry(address: Address, security: Security | None, host: str | None = None) -> Entry:
    """How to get in at an address.

    Raises:
        CommError: no cluster of this user listens there.
        ValueError: the address is none, or needs credentials.
    """
    parsed = parse(address)
    tls = None if security is None else security.identity("worker")
    if isinstance(parsed, TcpAddress) and parsed.encrypted and tls is None:
        raise ValueError(f"{address} needs TLS credentials: give security= with tls_ca_file and tls_worker_cert")
    token = None if security is None else security.token
    if isinstance(parsed, InprocAddress):
        listen = "inproc://"
    elif isinstance(parsed, UnixAddress):
        listen = str(TcpAddress("127.0.0.1", 0))
    else:
        own = host or ("127.0.0.1" if parsed.is_loopback else machine_address())
        listen = str(TcpAddress(own, 0, parsed.encrypted))
    return Entry(address, token or find_token(address), tls, listen)


def new_name() -> str:
    """A name for a worker that was given none."""
    return f"worker-{secrets.token_hex(4)}"


class Lookout:
    """Watches a cluster that a worker joins: who is there, and whether it still runs. Made by :meth:`open`."""

    def __init__(self, link: ControlLink) -> None:
        self._link = link

    @classmethod
    async def open(cls, entry: Entry, timeout: float) -> Lookout:
        """Connect.

        Raises:
            CommError: nobody answers there.
        """
        ssl = tls_contexts.connecting(entry.tls) if entry.tls and entry.scheduler.startswith("tls://") else None
        link = await ControlLink.open(
            entry.scheduler, entry.token, lambda view: None, lambda reason, lost: None, timeout, ssl=ssl
        )
        return cls(link)

    async def workers(self) -> list[WorkerView]:
        """Those that are there."""
        answer = await self._link.call(GetView())
        assert isinstance(answer, View)
        return answer.cluster.workers

    async def check(self, name: WorkerName, *, in_process: bool) -> None:
        """See that a worker of this name may come.

        Raises:
            ValueError: the name is taken.
            ClusterError: the cluster takes nobody from outside its process.
        """
        if any(worker.name == name for worker in await self.workers()):
            raise ValueError(f"name taken, {name!r}: the cluster has a worker of this name; give another one")
        if self._link.welcome.live and not in_process:
            raise ClusterError(
                "the workers of this cluster are threads of its process and hand each other live objects: none can "
                "join from elsewhere; start it with processes=True, or use nbcluster.Scheduler"
            )

    async def wait_for(self, name: WorkerName, timeout: float) -> None:
        """Wait until a worker has joined.

        Raises:
            ClusterError: it did not in time.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        while not any(w.name == name and w.address and w.status == Status.RUNNING for w in await self.workers()):
            if loop.time() > deadline:
                raise ClusterError(f"worker {name!r} did not join within {timeout:g} s")
            await asyncio.sleep(_LOOK)

    async def wait_ended(self) -> None:
        """Wait until the cluster has ended."""
        await self._link.wait_ended()

    async def close(self) -> None:
        """Watch no more."""
        await self._link.close()
