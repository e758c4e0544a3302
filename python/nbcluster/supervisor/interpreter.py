"""Where a process of the cluster runs: which Python, which directory, which environment and ``sys.path``.

Workers run where the kernel runs, whoever starts them: so a helper module beside the notebook imports.
"""

from __future__ import annotations

import os
import site
import sys
from pathlib import Path

import msgspec

from nbcluster import surroundings

THREAD_LIMITS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
"""A cluster runs many tasks at once; libraries that use all CPUs for each would fight over them."""

_PACKAGE_PARENT = Path(__file__).resolve().parents[2]


class Interpreter(msgspec.Struct, frozen=True, kw_only=True):
    """A Python and its surroundings."""

    executable: str
    cwd: str
    environ: dict[str, str]
    sys_path: list[str] | None = None
    """None: what the executable finds by itself."""

    @classmethod
    def current(cls, environ: dict[str, str] | None = None) -> Interpreter:
        """That of this process; ``environ`` is what to have besides, or instead."""
        return cls(
            executable=sys.executable,
            cwd=os.getcwd(),
            environ={**surroundings.environment(), **(environ or {})},
            sys_path=list(sys.path),
        )

    def command(self, module: str, *arguments: str) -> list[str]:
        """The command line that runs the ``main`` of a module of ours as a process."""
        return [self.executable, "-m", "nbcluster.start", module, *arguments]

    def start_environ(self) -> dict[str, str]:
        """What a process is started with: our defaults, where the user has not set anything.

        These must be there before the process starts: the numeric libraries read them once.
        """
        environ = dict.fromkeys(THREAD_LIMITS, "1")
        environ.update(self.environ)
        if self._finds_us_by_luck():
            paths = [str(_PACKAGE_PARENT), environ.get("PYTHONPATH", "")]
            environ["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
        return environ

    def enter(self) -> None:
        """Become at home here, in a process that :meth:`command` started in ``START_DIRECTORY``."""
        if "PYTHONPATH" in self.environ:
            os.environ["PYTHONPATH"] = self.environ["PYTHONPATH"]
        else:
            os.environ.pop("PYTHONPATH", None)
        if self.sys_path is not None:
            sys.path[:] = self.sys_path
        elif sys.path[:1] == [START_DIRECTORY]:
            sys.path[0] = ""
        os.chdir(self.cwd)

    def _finds_us_by_luck(self) -> bool:
        """True if this package was imported from where the executable does not look by itself."""
        if self.executable != sys.executable:
            return False
        return str(_PACKAGE_PARENT) not in {*site.getsitepackages(), site.getusersitepackages()}


START_DIRECTORY = os.path.abspath(os.sep)
"""``python -m`` imports from its current directory first: start where no file of the user's hides a module."""
