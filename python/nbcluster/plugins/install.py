"""Software and settings for the workers' processes."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from nbcluster.arguments import check_flag
from nbcluster.plugins.base import NannyPlugin, WorkerPlugin

logger = logging.getLogger("nbcluster.worker")

try:
    import fcntl
except ImportError:  # Windows: workers install one by one there anyway, or wait for pip's own lock
    fcntl = None  # type: ignore[assignment]


class InstallPlugin(WorkerPlugin):
    """Installs software: once for all workers that share an environment, and for later ones if it is not there yet.

    Args:
        install_fn: installs it; raises if it cannot.
        restart_workers: start all workers afresh afterwards.

    Example:
        >>> def fetch_model():
        ...     pathlib.Path("model.bin").touch()
        >>> client.register_plugin(InstallPlugin(fetch_model))  # doctest: +SKIP
    """

    idempotent = True

    def __init__(self, install_fn: Callable[[], None], restart_workers: bool = False) -> None:
        if not callable(install_fn):
            raise TypeError(f"install_fn={install_fn!r} is not callable")
        self._install = install_fn
        self.restart = check_flag("restart_workers", restart_workers)
        self.name = f"{type(self).__name__}-{uuid.uuid4()}"

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {getattr(self._install, '__name__', self._install)}>"

    def setup(self, worker: Any) -> None:
        """Install it, unless another worker has."""
        folder = Path(worker.shared_directory or tempfile.gettempdir())
        marker = folder / f"{self.name}.installed"
        with open(folder / f"{self.name}.lock", "w") as lock:
            if fcntl is not None:
                fcntl.flock(lock, fcntl.LOCK_EX)
            if not marker.exists():
                self._install()
                marker.touch()


class PipInstall(InstallPlugin):
    """Installs packages with pip, in the workers' environment.

    Args:
        packages: as in a requirements file.
        pip_options: more arguments for ``pip install``.
        restart_workers: start all workers afresh afterwards.

    Example:
        >>> client.register_plugin(PipInstall(["scikit-learn"], ["--upgrade"]))  # doctest: +SKIP
    """

    def __init__(
        self, packages: Sequence[str], pip_options: Sequence[str] | None = None, restart_workers: bool = False
    ) -> None:
        super().__init__(_installer("pip", packages, pip_options), restart_workers)


class CondaInstall(InstallPlugin):
    """Installs packages with conda, in the workers' environment.

    Args:
        packages: as ``conda install`` takes them.
        conda_options: more arguments for ``conda install``.
        restart_workers: start all workers afresh afterwards.

    Example:
        >>> client.register_plugin(CondaInstall(["graphviz"], ["-c", "conda-forge"]))  # doctest: +SKIP
    """

    def __init__(
        self, packages: Sequence[str], conda_options: Sequence[str] | None = None, restart_workers: bool = False
    ) -> None:
        super().__init__(_installer("conda", packages, conda_options), restart_workers)


def _installer(program: str, packages: object, options: object) -> _Installer:
    names = _texts("packages", packages, "names, like ['numpy']")
    if not names:
        raise ValueError(f"packages={packages!r} names nothing to install")
    return _Installer(
        program,
        names,
        _texts(f"{program}_options", () if options is None else options, "arguments, like ['--upgrade']"),
    )


def _texts(name: str, values: object, kind: str) -> list[str]:
    if isinstance(values, str) or not isinstance(values, Sequence) or not all(isinstance(v, str) for v in values):
        raise TypeError(f"{name}={values!r} is not a list of {kind}")
    return list(values)


class _Installer:
    def __init__(self, program: str, packages: list[str], options: list[str]) -> None:
        self.program = program
        self.packages = packages
        self.options = options

    def __repr__(self) -> str:
        return ", ".join(self.packages)

    def __call__(self) -> None:
        logger.info("%s installs %s", self.program, ", ".join(self.packages))
        if self.program == "conda":
            conda = os.environ.get("CONDA_EXE", "conda")
            self._run([conda, "install", "-y", "-p", sys.prefix, *self.options, *self.packages])
            return
        with tempfile.TemporaryDirectory() as folder:  # a requirements file: it may name environment variables
            requirements = Path(folder) / "requirements.txt"
            requirements.write_text("\n".join(self.packages))
            self._run([sys.executable, "-m", "pip", "install", *self.options, "-r", str(requirements)])

    def _run(self, command: list[str]) -> None:
        try:
            ended = subprocess.run(command, capture_output=True, text=True, check=False)
        except OSError as error:
            raise RuntimeError(f"{self.program} install failed: {command[0]} cannot be started ({error})") from error
        if ended.returncode:
            raise RuntimeError(f"{self.program} install failed with '{ended.stderr.strip()}'")


class Environ(NannyPlugin):
    """Sets environment variables in all workers' processes, and starts these afresh.

    Example:
        >>> client.register_plugin(Environ({"LEVEL": "debug"}))  # doctest: +SKIP
    """

    restart = True

    def __init__(self, environ: Mapping[str, Any] | None = None) -> None:
        if environ is not None and not isinstance(environ, Mapping):
            raise TypeError(f"environ={environ!r} is not a dict of variables, like {{'LEVEL': 'debug'}}")
        self.environ = {name: str(value) for name, value in (environ or {}).items()}
        for name, value in self.environ.items():
            if not isinstance(name, str) or not name or "=" in name or "\0" in name + value:
                raise ValueError(f"environ[{name!r}]={value!r} cannot be an environment variable")

    def __repr__(self) -> str:
        return f"<Environ: {', '.join(self.environ)}>"  # not their values, which may be secrets

    def setup(self, nanny: Any) -> None:
        """Set them."""
        os.environ.update(self.environ)
