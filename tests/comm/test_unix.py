from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest

from nbcluster.comm.unix import MAX_PATH
from tests.support.links import run, wire

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no Unix sockets")


def is_there(path: str) -> bool:
    return os.path.exists(path)


def test_the_socket_file_is_there_as_long_as_the_listener(loop_kind: str) -> None:
    async def main() -> None:
        async with wire("unix") as made:
            path = made.listener.address.removeprefix("unix://")
            assert is_there(path)
            await made.listener.close()
            assert not is_there(path)
            await made.listener.close()

    run(loop_kind, main())


def test_the_socket_of_somebody_who_listens_is_not_taken_from_him(loop_kind: str) -> None:
    async def main() -> None:
        async with wire("unix") as made:
            with pytest.raises(OSError, match="in use"):
                await made.listen(address=made.listener.address)
            near, _ = await made.pair()
            near.abort()

    run(loop_kind, main())


def test_a_path_of_the_longest_length_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The kernel's limit is what we say it is.
    monkeypatch.chdir(tmp_path)
    name = "x" * MAX_PATH
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(name)
    with socket.socket(socket.AF_UNIX) as sock, pytest.raises(OSError, match="too long"):
        sock.bind(name + "x" * 5)


def test_ends_go_by_the_process_at_the_other_side(loop_kind: str) -> None:
    async def main() -> None:
        async with wire("unix") as made:
            near, far = await made.pair()
            assert near.local_address == far.peer_address == f"unix://pid-{os.getpid()}"

    run(loop_kind, main())
