from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from nbcluster.comm.credentials import process_start
from nbcluster.errors import HandshakeError
from nbcluster.jupyter import connection_file
from nbcluster.jupyter.connection_file import ConnectionFile

OWN = os.getpid()


@pytest.fixture(autouse=True)
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    return tmp_path / "runtime"


def content(pid: int = OWN, started: float | None = None) -> ConnectionFile:
    if started is None:
        started = process_start(pid) or 0.0
    return ConnectionFile(pid=pid, started=started, address="unix:///run/x.sock", token="ab" * 32)


def test_what_is_written_is_read_and_nobody_else_can() -> None:
    path = connection_file.write(content())
    assert connection_file.read(path) == content()
    assert path == connection_file.path_of(OWN)
    assert path.stat().st_mode & 0o777 == 0o600


def test_files_of_dead_servers_are_removed_and_those_of_live_ones_stay(runtime: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    alive = connection_file.write(content(os.getppid()))
    stale = connection_file.write(content(dead.pid, 1.0))
    foreign = runtime / "nbcluster-notes.json"
    foreign.write_text("{}")
    connection_file.write(content())
    assert (alive.exists(), stale.exists(), foreign.exists()) == (True, False, True)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o606, 0o660])
def test_a_file_that_others_may_read_or_write_does_not_count(mode: int) -> None:
    path = connection_file.write(content())
    path.chmod(mode)
    assert connection_file.read(path) is None


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_user_does_not_count() -> None:
    path = connection_file.write(content())
    os.chown(path, 12345, -1)
    assert connection_file.read(path) is None


def test_a_link_does_not_count_nor_does_anything_that_is_no_file(runtime: Path) -> None:
    path = connection_file.write(content())
    link = runtime / "link.json"
    link.symlink_to(path)
    assert connection_file.read(link) is None
    pipe = runtime / "pipe.json"
    os.mkfifo(pipe, 0o600)
    assert connection_file.read(pipe) is None
    assert connection_file.read(runtime) is None
    assert connection_file.read(runtime / "missing.json") is None


def test_a_server_that_is_gone_does_not_count_even_if_its_number_is_in_use_again() -> None:
    path = connection_file.write(content(started=(process_start(OWN) or 0.0) - 1))
    assert connection_file.read(path) is None


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"format": 1}', b"\xff\xfe", b'{"format": "1"}'])
def test_garbage_does_not_count(data: bytes) -> None:
    path = connection_file.write(content())
    path.write_bytes(data)
    assert connection_file.read(path) is None


def test_another_version_names_the_package_to_upgrade() -> None:
    path = connection_file.write(content())
    fields = msgspec.to_builtins(content())
    for theirs, where in ((2, "of this kernel"), (0, "of the Jupyter server")):
        path.write_bytes(msgspec.json.encode({**fields, "format": theirs, "new": True}))
        with pytest.raises(HandshakeError, match=f"upgrade the package nbcluster in the environment {where}"):
            connection_file.read(path)


def test_the_token_is_not_in_the_representation() -> None:
    assert "abab" not in repr(content())
