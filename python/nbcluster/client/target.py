"""What a client connects to: from the first argument of ``Client`` to an address and a token."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, TypeGuard

from nbcluster.comm.credentials import find_token
from nbcluster.comm.security import Security
from nbcluster.protocol.tls import TlsIdentity
from nbcluster.types import Address


class ClusterLike(Protocol):
    """What a client needs of a cluster object."""

    @property
    def scheduler_address(self) -> str:
        """Where others connect."""


def is_cluster(place: object) -> TypeGuard[ClusterLike]:
    """True for an object that has what a client needs of a cluster; not for the class of such objects."""
    return hasattr(place, "scheduler_address") and not isinstance(place, type)


class Target(NamedTuple):
    """Where to connect, with what, and which cluster object stands behind it."""

    address: Address
    token: bytes
    cluster: Any = None
    owned: bool = False
    """True if the client made the cluster, and so closes it."""
    tls: TlsIdentity | None = None
    """What the client shows at a ``tls://`` address, if not what its ``security`` says."""


def of_address(address: Address, security: Security | None = None) -> Target:
    """A cluster of this user's, found by its address; or one whose secret was agreed upon."""
    token = None if security is None else security.token
    return Target(address, token or find_token(address))


def of_cluster(cluster: Any, owned: bool) -> Target:
    """A cluster object: ours says how to get in; any other is found by its address.

    Raises:
        RuntimeError: it is closed.
    """
    status = str(getattr(cluster, "status", "running")).rpartition(".")[2]
    if status in ("closed", "closing", "failed"):
        raise RuntimeError(f"Trying to connect to an already closed or closing Cluster {cluster!r}.")
    connect_address = getattr(cluster, "connect_address", None)
    if connect_address is None:
        return Target(cluster.scheduler_address, find_token(cluster.scheduler_address), cluster, owned)
    return Target(connect_address, cluster.token, cluster, owned)
