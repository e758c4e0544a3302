from __future__ import annotations

import os
from pathlib import Path

import pytest

from nbcluster.comm import tls_contexts
from nbcluster.comm.security import Security, security_of_client, security_of_cluster
from nbcluster.errors import CommError


def test_what_a_cluster_and_a_client_take() -> None:
    own = Security()
    assert security_of_cluster(None) is None
    assert security_of_cluster(own) is own
    made = security_of_cluster(True)
    assert made is not None
    assert made.require_encryption
    assert security_of_client(False) is None
    from_dictionary = security_of_client({"require_encryption": False})
    assert from_dictionary is not None
    assert not from_dictionary.require_encryption


def _written(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    seen: list[bytes] = []
    write = Path.write_bytes

    def spy(path: Path, data: bytes) -> int:
        seen.append(data)
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", spy)
    return seen


def test_nothing_in_memory_ever_reaches_a_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    seen = _written(monkeypatch)
    assert Security.temporary().get_listen_args("worker")["ssl_context"] is not None
    assert seen == []
    assert list(tmp_path.iterdir()) == []


def test_where_files_must_be_on_disk_the_key_is_encrypted(monkeypatch: pytest.MonkeyPatch) -> None:
    identity = Security.temporary().identity("scheduler")
    assert identity is not None
    seen = _written(monkeypatch)
    monkeypatch.delattr("os.memfd_create", raising=False)
    tls_contexts.listening(identity)
    [written] = seen
    assert b"BEGIN ENCRYPTED PRIVATE KEY" in written
    assert b"BEGIN PRIVATE KEY" not in written


def test_a_token_file_is_private_and_has_the_token(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("ab" * 32)
    path.chmod(0o600)
    security = Security(token_file=path)
    assert security.token == bytes.fromhex("ab" * 32)
    path.chmod(0o644)
    with pytest.raises(CommError, match="open to others"):
        security.token  # noqa: B018
    os.remove(path)
    with pytest.raises(CommError, match="there is no token"):
        security.token  # noqa: B018


def test_identities_do_not_show_their_keys() -> None:
    assert "BEGIN" not in repr(Security.temporary().identities())
