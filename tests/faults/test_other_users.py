"""What other users of this machine can do to a cluster: nothing, not even with its address."""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import socket
import stat
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nbcluster.comm import unix
from nbcluster.comm.admission import HandshakePolicy
from nbcluster.comm.credentials import ENVIRONMENT_VARIABLE, ClusterDirectory, find_token
from nbcluster.comm.transports import connect, listen
from nbcluster.errors import CommError, HandshakeError
from nbcluster.protocol.handshake import MAGIC, ConnectorHandshake
from nbcluster.protocol.messages import (
    PROTOCOL_VERSION,
    ClientMessage,
    ToClient,
)
from nbcluster.types import Role
from tests.support.links import TOKEN, Stranger, run, wire
from tests.support.wire_attacks import HELLO, forge

as_root = pytest.mark.skipif(sys.platform != "linux" or os.getuid() != 0, reason="only root can become another user")
NOBODY = 65534
# --- another user of this machine ------------------------------------------------------------------------------------


def fork() -> int:
    with warnings.catch_warnings():
        # The child does little, and none of it with a lock that a thread may have held.
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def as_nobody(attempt: Callable[[], Any]) -> Any:
    """What a function returns that runs in a child process of another user."""
    read, write = os.pipe()
    child = fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            answer = attempt()
        except BaseException as error:
            answer = f"{type(error).__name__}: {error}"
        os.write(write, json.dumps(answer).encode())
        os._exit(0)
    os.close(write)
    with open(read, "rb") as pipe:
        answer = json.loads(pipe.read())
    os.waitpid(child, 0)
    return answer


def try_everything(directory: Path, address: str) -> dict[str, str]:
    """All that one can try who has the address of a cluster, but not its token."""

    def attempt(action: Callable[[], Any]) -> str:
        try:
            return f"got {action()!r}"
        except OSError as error:
            return type(error).__name__

    def talk(family: int, target: Any) -> bytes:
        with socket.socket(family) as sock:
            sock.settimeout(10)
            sock.connect(target)
            begin = HELLO.pack(MAGIC, PROTOCOL_VERSION, 0, bytes(32))
            sock.sendall(begin)
            challenge = sock.recv(75)
            sock.sendall(forge(b"", begin, challenge.ljust(75)))
            return sock.recv(100)

    host, port = address.removeprefix("tcp://").split(":")
    return {
        "list": attempt(lambda: os.listdir(directory)),
        "list parent": attempt(lambda: os.listdir(directory.parent)),
        "token": attempt((directory / "token").read_text),
        "record": attempt((directory / "cluster.json").read_text),
        "overwrite": attempt(lambda: (directory / "token").write_text("x")),
        "new file": attempt(lambda: (directory / "new").touch()),
        "socket": attempt(lambda: talk(socket.AF_UNIX, str(directory / "s.sock"))),
        "port": attempt(lambda: talk(socket.AF_INET, (host, int(port)))),
        "find": attempt(lambda: find_token(address)),
    }


@as_root
def test_another_user_gets_nothing_from_files_socket_and_port(loop_kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Not pytest's own directory: that one is closed to others by itself.
    base = Path("/tmp") / f"nb-{os.getpid()}-{loop_kind}"
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(base))

    async def main() -> None:
        with ClusterDirectory() as directory:
            options: dict[str, Any] = {
                "token": directory.token,
                "incoming": {Role.CLIENT: ClientMessage},
                "on_connection": lambda link: pytest.fail("somebody got in"),
                "policy": HandshakePolicy(penalty=0),
            }
            on_socket = await listen(f"unix://{directory.socket('s')}", **options)
            on_port = await listen("tcp://127.0.0.1:0", **options)
            directory.publish(on_port.address, on_socket.address)
            answers = await asyncio.get_running_loop().run_in_executor(
                None, as_nobody, lambda: try_everything(directory.path, on_port.address)
            )
            await on_socket.close()
            await on_port.close()
        # The port is open to all, and says no to all who have no token: its one word is "wrong token".
        assert answers.pop("port") == "got " + repr(b"\x03")
        assert answers.pop("find") == "CommError"
        assert set(answers.values()) == {"PermissionError"}, answers

    try:
        run(loop_kind, main())
    finally:
        for path in sorted(base.rglob("*"), reverse=True):
            path.unlink()
        base.rmdir()


@as_root
def test_another_user_does_not_get_through_a_socket_even_with_the_token(loop_kind: str) -> None:
    # As if the directory and the socket were open, and the token had leaked: the kernel still says who it is.
    path = Path("/tmp") / f"nb-{os.getpid()}-{loop_kind}.sock"

    def talk() -> str:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(10)
            sock.connect(str(path))
            connector = ConnectorHandshake(Role.CLIENT, TOKEN)
            try:
                sock.sendall(connector.begin())
                return repr(sock.recv(100))
            except ConnectionError:
                return repr(b"")

    async def main() -> None:
        listener = await listen(
            f"unix://{path}",
            token=TOKEN,
            incoming={Role.CLIENT: ClientMessage},
            on_connection=lambda link: pytest.fail("somebody got in"),
        )
        path.chmod(0o666)
        assert await asyncio.get_running_loop().run_in_executor(None, as_nobody, talk) == repr(b"")
        await listener.close()

    run(loop_kind, main())
    assert not path.exists()


@as_root
def test_a_socket_of_another_user_is_not_trusted(loop_kind: str, tmp_path: Path) -> None:
    path = Path("/tmp") / f"nb-{os.getpid()}-{loop_kind}.sock"
    listening, done = os.pipe()
    child = fork()
    if child == 0:
        try:
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            with socket.socket(socket.AF_UNIX) as sock:
                sock.bind(str(path))
                sock.listen()
                os.write(done, b"x")
                visitor, _ = sock.accept()
                # Whatever it is told, it must not be given a byte that is worth anything.
                os.write(done, visitor.recv(1000) + b".")
        finally:
            os._exit(0)
    os.close(done)
    os.read(listening, 1)

    async def main() -> None:
        with pytest.raises(HandshakeError, match="belongs to another user"):
            await connect(f"unix://{path}", role=Role.CLIENT, token=TOKEN, incoming=ToClient, timeout=5)

    run(loop_kind, main())
    assert os.read(listening, 1000) == b"."
    os.close(listening)
    os.waitpid(child, 0)
    path.unlink()


@pytest.mark.skipif(sys.platform != "linux", reason="asks the Linux kernel for the peer")
def test_the_peer_s_user_is_compared_with_ones_own(loop_kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unix.os, "geteuid", lambda: os.getuid() + 1)  # type: ignore[attr-defined]

    async def main() -> None:
        async with wire("unix") as made:
            with pytest.raises(HandshakeError, match="belongs to another user"):
                await made.connect()
            async with Stranger(made.listener.address) as stranger:
                assert await stranger.receive(1) == b""
            assert not made.accepted

    run(loop_kind, main())


@pytest.mark.skipif(sys.platform == "win32", reason="modes are a POSIX matter")
def test_sockets_are_for_their_owner_alone(loop_kind: str) -> None:
    async def main() -> None:
        async with wire("unix") as made:
            path = made.listener.address.removeprefix("unix://")
            assert stat.S_IMODE(os.stat(path).st_mode) == 0o600

    run(loop_kind, main())


# --- tokens stay where they belong -----------------------------------------------------------------------------------


def test_no_error_and_no_text_shows_a_token(transport: str, loop_kind: str) -> None:
    async def main() -> list[str]:
        texts = []
        async with wire(transport) as made:
            near, far = await made.pair()
            texts += [repr(near), repr(far), repr(made.listener), repr(vars(near)), repr(vars(far))]
            for token in (TOKEN[::-1], b""):
                with pytest.raises(CommError) as caught:
                    await made.connect(token=token)
                error: BaseException | None = caught.value
                while error is not None:
                    texts += [str(error), repr(error), repr(pickle.dumps(error))]
                    error = error.__cause__
        return texts

    for text in run(loop_kind, main()):
        for token in (TOKEN, TOKEN[::-1]):
            assert token.hex() not in text
            assert repr(token)[2:-1] not in text
