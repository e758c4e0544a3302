"""What a kernel and its Jupyter server say to each other over the control channel.

Imported in kernels too, where there may be no Jupyter server installed: nothing here knows of one.
"""

from __future__ import annotations

from nbcluster.protocol.records import Message
from nbcluster.types import Address


class Attach(Message, frozen=True):
    """A kernel asks for the cluster of the cell that it runs. Answered by ``Attached`` or ``Refused``."""

    request: int
    kernel_id: str
    pid: int
    cell: str
    """Names the cell within its notebook."""
    name: str | None
    """The ``name`` that the cell asks for."""
    keywords: bytes
    """Pickled. The server passes them on unopened; the cluster's process opens them."""
    digest: bytes
    """Equal for equal keywords."""
    executable: str
    cwd: str
    sys_path: list[str]
    environment: dict[str, str]


class Attached(Message, frozen=True):
    """The cluster runs."""

    request: int
    cluster_id: str
    name: str
    address: Address
    """Its token is where all processes of this user find it."""
    dashboard_link: str
    """A path on the Jupyter server, as the browser sees it."""


class Refused(Message, frozen=True):
    """It does not. ``kind`` is the name of an exception in ``errors`` or a built-in one."""

    request: int
    kind: str
    message: str


class Interrupted(Message, frozen=True):
    """Somebody interrupted the kernel: what its running cell is waiting for is no longer wanted."""


FromKernel = Attach
"""What a kernel may send."""

ToKernel = Attached | Refused | Interrupted
"""What a server may send."""
