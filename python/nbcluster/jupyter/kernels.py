"""What the server knows about its kernels, as little of it as clusters need to know.

The only place that asks Jupyter's kernel and session managers.
"""

from __future__ import annotations

import shutil
import sys
from typing import Any

from jupyter_core.utils import ensure_async

from nbcluster.snapshot import OwnerView


class Kernels:
    """The live kernels of one server, and the notebooks that they belong to."""

    def __init__(self, kernel_manager: Any, session_manager: Any, kernel_spec_manager: Any) -> None:
        self._kernels = kernel_manager
        self._sessions = session_manager
        self._specs = kernel_spec_manager

    def __contains__(self, kernel_id: object) -> bool:
        return kernel_id in self._kernels

    async def owners(self) -> dict[str, OwnerView]:
        """For every live kernel: the notebook it runs, or itself where it runs none."""
        notebooks: dict[str, str] = {}
        for session in await ensure_async(self._sessions.list_sessions()):
            # A console may share the kernel of a notebook: then it is still the notebook's.
            if session["type"] == "notebook":
                notebooks.setdefault(session["kernel"]["id"], session["path"])
        return {
            kernel_id: OwnerView(
                kind="notebook" if kernel_id in notebooks else "kernel",
                path=notebooks.get(kernel_id, ""),
                kernel_id=kernel_id,
                kernel_name=self._kernels.get_kernel(kernel_id).kernel_name,
            )
            for kernel_id in self._kernels.list_kernel_ids()
        }

    def pid(self, kernel_id: str) -> int | None:
        """The process that was started for a kernel; None if it is not on this machine.

        It may be a wrapper, such as ``conda run``, whose child is the kernel.
        """
        if kernel_id not in self._kernels:
            return None
        provisioner = self._kernels.get_kernel(kernel_id).provisioner
        pid: int | None = getattr(provisioner, "pid", None)
        return pid

    async def interpreter(self, kernel_name: str) -> tuple[str, dict[str, str]]:
        """The Python of an installed kernel, and the variables that its specification sets.

        Raises:
            ValueError: there is no such kernel, or it does not run Python.
        """
        specs = await ensure_async(self._specs.get_all_specs())
        if kernel_name not in specs:
            raise ValueError(f"there is no kernel {kernel_name!r}; there are {', '.join(sorted(specs))}")
        spec = specs[kernel_name]["spec"]
        executable = _python(spec["argv"][0]) if spec["argv"] else None
        if spec["language"].lower() != "python" or executable is None:
            raise ValueError(f"the kernel {kernel_name!r} does not say which Python it runs")
        return executable, dict(spec.get("env") or {})


def _python(command: str) -> str | None:
    """What runs when a kernel is started: for the server's own kernel, whose name is bare, its own Python."""
    if command in ("python", f"python{sys.version_info[0]}", f"python{sys.version_info[0]}.{sys.version_info[1]}"):
        return sys.executable
    return shutil.which(command)
