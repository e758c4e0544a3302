"""Where a cluster's scheduler listens for those who are not in its process: a port of this machine."""

from __future__ import annotations

from typing import NamedTuple

from nbcluster.cluster.network import ANYWHERE, LOOPBACK
from nbcluster.cluster.spec import ClusterSpec
from nbcluster.comm import tls_contexts
from nbcluster.comm.addresses import TcpAddress, machine_address
from nbcluster.errors import ClusterError
from nbcluster.scheduler.server import SchedulerServer
from nbcluster.types import Address


class Listening(NamedTuple):
    """A scheduler's port."""

    host: str
    """By which others reach this machine."""
    address: Address
    """The same with the port."""
    also: list[Address]
    """By what else it is reached from this machine."""


async def listen_at_port(server: SchedulerServer, spec: ClusterSpec) -> Listening:
    """Listen where a spec says.

    Raises:
        ClusterError: somebody else does, or the host is not this machine's.
    """
    anywhere = spec.host in ANYWHERE
    host = machine_address() if anywhere else spec.host
    wanted = TcpAddress("0.0.0.0" if anywhere else spec.host, spec.scheduler_port, spec.tls is not None)
    context = None if spec.tls is None else tls_contexts.listening(spec.tls.scheduler)
    try:
        listening = await server.listen(str(wanted), ssl=context)
    except OSError as error:
        raise ClusterError(
            f"scheduler_port={spec.scheduler_port} on {spec.host!r} is not to be had ({error}); "
            "give another one, or 0 for any"
        ) from error
    port = int(listening.rpartition(":")[2])
    also = [str(TcpAddress(LOOPBACK, port, wanted.encrypted))] if anywhere else []
    return Listening(host, str(TcpAddress(host, port, wanted.encrypted)), also)
