"""The kernels of a server that has none: for tests of who owns which cluster."""

from __future__ import annotations

import sys

from nbcluster.snapshot import OwnerView


class FakeKernels:
    """What ``jupyter.kernels.Kernels`` tells, from a dictionary."""

    def __init__(self) -> None:
        self.live: dict[str, OwnerView] = {}

    def start(self, kernel_id: str, path: str = "") -> OwnerView:
        """A kernel is there, for a notebook or for nobody in particular."""
        owner = OwnerView(kind="notebook" if path else "kernel", path=path, kernel_id=kernel_id, kernel_name="python3")
        self.live[kernel_id] = owner
        return owner

    def stop(self, kernel_id: str) -> None:
        """A kernel is gone."""
        del self.live[kernel_id]

    def __contains__(self, kernel_id: object) -> bool:
        return kernel_id in self.live

    async def owners(self) -> dict[str, OwnerView]:
        return dict(self.live)

    async def interpreter(self, kernel_name: str) -> tuple[str, dict[str, str]]:
        if kernel_name != "python3":
            raise ValueError(f"there is no kernel {kernel_name!r}; there are python3")
        return sys.executable, {"FROM_SPEC": "1"}
