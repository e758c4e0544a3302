"""A real JupyterLab for tests: its own folders, its own port, loopback only, below a base URL."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

BASE_URL = "/user/jo/"
"""Not the root: as on a JupyterHub, where an address that forgets the base URL is wrong."""


@dataclass(frozen=True)
class Lab:
    """A running JupyterLab."""

    url: str
    """Ends with the base URL and its slash."""
    token: str
    root: Path
    """Where notebooks are."""
    runtime_dir: Path
    log: Path
    process: subprocess.Popen[bytes]

    def write_notebook(self, name: str, cells: Sequence[str]) -> str:
        """Write a notebook of code cells, and return its path below the root."""
        notebook = {
            "nbformat": 4,
            "nbformat_minor": 5,
            "metadata": {
                "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
                "language_info": {"name": "python"},
            },
            "cells": [
                {
                    "cell_type": "code",
                    "id": f"cell-{number}",
                    "metadata": {},
                    "execution_count": None,
                    "outputs": [],
                    "source": source,
                }
                for number, source in enumerate(cells)
            ],
        }
        (self.root / name).write_text(json.dumps(notebook))
        return name


@contextlib.contextmanager
def running_lab(
    *,
    lab_extension: bool = True,
    arguments: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> Iterator[Lab]:
    """Start JupyterLab, wait until it answers, and stop it in the end.

    Without `lab_extension`, the page is that of an installation that has only the Python package.
    """
    # Not pytest's own folder: the paths of Unix sockets have to be short.
    with tempfile.TemporaryDirectory(prefix="nblab-", ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        root = home / "notebooks"
        root.mkdir()
        _write_settings(home / "config", lab_extension=lab_extension)
        port, token, log = _free_port(), secrets.token_hex(16), home / "log"
        command = [
            *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"),
            "--ServerApp.ip=127.0.0.1",
            f"--ServerApp.port={port}",
            "--ServerApp.port_retries=0",
            f"--ServerApp.base_url={BASE_URL}",
            f"--ServerApp.root_dir={root}",
            f"--IdentityProvider.token={token}",
            "--LabApp.expose_app_in_browser=True",
            "--LabApp.extension_manager=readonly",
            *arguments,
        ]
        with log.open("wb") as stream:
            process = subprocess.Popen(
                command,
                cwd=root,
                env=_environment(home) | dict(environment or {}),
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
            )
        lab = Lab(f"http://127.0.0.1:{port}{BASE_URL}", token, root, home / "runtime", log, process)
        try:
            _wait_until_up(lab)
            yield lab
        finally:
            _stop(process)


def _environment(home: Path) -> dict[str, str]:
    """Nothing of the tester's own Jupyter: neither settings nor a server around the tests."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER", "JPY_"))}
    folders = {
        "JUPYTER_CONFIG_DIR": home / "config",
        "JUPYTER_DATA_DIR": home / "data",
        "JUPYTER_RUNTIME_DIR": home / "runtime",
        "IPYTHONDIR": home / "ipython",
    }
    return own | {name: str(folder) for name, folder in folders.items()}


def _write_settings(config: Path, *, lab_extension: bool) -> None:
    news = config / "lab/user-settings/@jupyterlab/apputils-extension/notification.jupyterlab-settings"
    news.parent.mkdir(parents=True)
    news.write_text(json.dumps({"checkForUpdates": False, "fetchNews": "false"}))
    page = config / "labconfig/page_config.json"
    page.parent.mkdir()
    page.write_text(json.dumps({"disabledExtensions": {"nbcluster": not lab_extension}}))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_up(lab: Lab, timeout: float = 60) -> None:
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline and lab.process.poll() is None:
        with contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError):
            urllib.request.urlopen(f"{lab.url}api", timeout=5).close()
            return
        time.sleep(0.05)
    raise RuntimeError(f"JupyterLab did not start:\n{lab.log.read_text()}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise
