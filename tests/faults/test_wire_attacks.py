"""What strangers, other users and broken peers can do to a port: nothing."""

from __future__ import annotations

import asyncio
import hmac
import json
import os
import pickle
import random
import resource
import socket
import stat
import struct
import sys
import tracemalloc
import warnings
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import cloudpickle  # type: ignore[import-untyped]
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbcluster.comm import unix
from nbcluster.comm.admission import HandshakePolicy
from nbcluster.comm.credentials import ENVIRONMENT_VARIABLE, ClusterDirectory, find_token
from nbcluster.comm.transports import _StreamListener, connect, listen
from nbcluster.errors import CommClosedError, CommError, HandshakeError, ProtocolError
from nbcluster.protocol.framing import GOODBYE, INLINE, Decoder, Encoder
from nbcluster.protocol.handshake import MAGIC, ConnectorHandshake, ListenerHandshake
from nbcluster.protocol.messages import (
    PROTOCOL_VERSION,
    ClientMessage,
    DataItem,
    PutData,
    ReleaseKeys,
    ToClient,
    WantKeys,
)
from nbcluster.protocol.payload import Buffer, Frame, Payload
from nbcluster.types import Role
from tests.support.eventually import soon
from tests.support.links import TOKEN, Recorder, RecordingProxy, Stranger, Wire, frames, run, wire

MIB = 1 << 20
HELLO = struct.Struct("<8sHB32s")

as_root = pytest.mark.skipif(sys.platform != "linux" or os.getuid() != 0, reason="only root can become another user")
NOBODY = 65534


def honest_stream() -> bytes:
    """What a client might send: three frames, with small and large buffers, and a goodbye."""
    return (
        frames(WantKeys(["a", "b"]))
        + frames(PutData([DataItem("k", Payload(b"p", (Frame(b"small"), Frame(bytes(INLINE)))), 3, "t")]))
        + frames(ReleaseKeys(["a"]))
        + GOODBYE
    )


async def still_serves(made: Wire) -> None:
    """An honest client gets in, and its messages through."""
    made.accepted.clear()
    near, _, _, recorder = await made.started()
    near.send(WantKeys(["honest"]))
    assert await recorder.count(1) == [WantKeys(["honest"])]
    await near.close()
    assert await recorder.end() is None


# --- a connection that is cut ----------------------------------------------------------------------------------------


def test_a_handshake_can_be_cut_at_every_byte(transport: str, loop_kind: str) -> None:
    async def main() -> None:
        async with wire(transport) as made:
            for cut in range(HELLO.size):
                async with Stranger(made.listener.address) as stranger:
                    await stranger.send(ConnectorHandshake(Role.CLIENT, TOKEN).begin()[:cut])
            for cut in range(32):
                async with Stranger(made.listener.address) as stranger:
                    connector = ConnectorHandshake(Role.CLIENT, TOKEN)
                    await stranger.send(connector.begin())
                    await stranger.send(connector.feed(await stranger.receive(connector.wanted))[:cut])
            await still_serves(made)

    run(loop_kind, main())


def test_a_link_can_be_cut_at_every_byte(transport: str, loop_kind: str) -> None:
    stream = honest_stream()
    cuts = [*range(250), *range(250, len(stream), 97), *range(len(stream) - 60, len(stream))]

    async def main() -> None:
        async with wire(transport) as made:
            for cut in cuts:
                recorder = Recorder()
                async with Stranger(made.listener.address) as stranger:
                    await stranger.authenticate()
                    await stranger.send(stream[:cut])
                    (await made.arrival()).start(recorder)
                assert isinstance(await recorder.end(), CommClosedError), cut
            await still_serves(made)

    run(loop_kind, main())


def test_what_comes_right_behind_the_proof_can_be_cut_at_every_byte(transport: str, loop_kind: str) -> None:
    stream = honest_stream()

    async def main() -> None:
        async with wire(transport) as made:
            for cut in range(250):
                recorder = Recorder()
                async with Stranger(made.listener.address) as stranger:
                    connector = ConnectorHandshake(Role.CLIENT, TOKEN)
                    await stranger.send(connector.begin())
                    proof = connector.feed(await stranger.receive(connector.wanted))
                    await stranger.send(proof + stream[:cut])
                    (await made.arrival()).start(recorder)
                assert isinstance(await recorder.end(), CommClosedError), cut
                assert recorder.messages[:1] in ([], [WantKeys(["a", "b"])])
            await still_serves(made)

    run(loop_kind, main())


# --- garbage ---------------------------------------------------------------------------------------------------------

GARBAGE = [
    b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"POST /nbcluster HTTP/1.1\r\nContent-Length: 10000\r\n\r\n" + bytes(10_000),
    bytes.fromhex("16030102000100"),
    b"SSH-2.0-OpenSSH_9.6\r\n",
    b"\0" * 5000,
    b"\xff" * 5000,
    b"\n",
    struct.pack("<Q", 1 << 33),
    struct.pack(">Q", 1 << 62),
]


def test_garbage_on_a_port_is_dropped(transport: str, loop_kind: str) -> None:
    chance = random.Random(1)

    async def main() -> None:
        async with wire(transport, policy=HandshakePolicy(deadline=0.3)) as made:
            for data in [*GARBAGE, *(chance.randbytes(chance.randrange(1, 3000)) for _ in range(100))]:
                async with Stranger(made.listener.address) as stranger:
                    try:
                        await stranger.send(data)
                    except ConnectionError:  # it has been dropped before it was through
                        continue
                    assert await stranger.receive(100) == b""
            assert not made.accepted
            await still_serves(made)

    run(loop_kind, main())


def test_garbage_from_one_who_has_the_token_costs_him_his_link(transport: str, loop_kind: str) -> None:
    stream = honest_stream()
    chance = random.Random(2)

    async def main() -> None:
        async with wire(transport) as made:
            for data in [GARBAGE[0], GARBAGE[5], *(bytes(mutate(stream, chance)) for _ in range(100))]:
                recorder = Recorder()
                async with Stranger(made.listener.address) as stranger:
                    await stranger.authenticate()
                    (await made.arrival()).start(recorder)
                    try:
                        await stranger.send(data)
                    except ConnectionError:
                        pass
                error = await recorder.end()
                assert error is None or isinstance(error, ProtocolError | CommClosedError)
            await still_serves(made)

    run(loop_kind, main())


def mutate(stream: bytes, chance: random.Random) -> bytearray:
    """Like ``stream``, but for a few changes."""
    data = bytearray(stream)
    for _ in range(chance.randrange(1, 5)):
        at = chance.randrange(len(data))
        what = chance.randrange(5)
        if what == 0:
            data[at] ^= 1 << chance.randrange(8)
        elif what == 1:
            data[at] = chance.choice(b"\x00\x01\x7f\x80\x90\xc0\xc1\xc4\xc6\xca\xdb\xdd\xdf\xff")
        elif what == 2:
            del data[at : at + chance.randrange(1, 9)]
        elif what == 3:
            data[at:at] = chance.randbytes(chance.randrange(1, 9))
        else:
            data[at : at + 8] = struct.pack("<Q", 1 << chance.randrange(64))
        if not data:
            break
    return data


def feed(incoming: Any, data: Buffer) -> None:
    """Whatever the bytes are, a decoder may only refuse them."""
    try:
        Decoder(incoming).feed(data)
    except ProtocolError:
        pass


def test_a_hundred_thousand_fuzzed_frames_do_no_harm() -> None:
    chance = random.Random(3)
    whole = honest_stream()
    encoder = Encoder()
    encoder.add((WantKeys(["a", "b"]), PutData([DataItem("k", Payload(b"p", (Frame(b"small"),)), 3, "t")])))
    short = b"".join(encoder.take())
    for number in range(100_000):
        feed(ClientMessage | PutData, mutate(whole if number % 50 == 0 else short, chance))


@settings(max_examples=300, deadline=None)
@given(
    bodies=st.lists(st.binary(max_size=60), max_size=4),
    buffers=st.lists(st.integers(0, 1 << 64) | st.integers(INLINE - 1, INLINE + 1), max_size=3),
    tail=st.binary(max_size=100),
)
def test_frames_of_any_bytes_do_no_harm(bodies: list[bytes], buffers: list[int], tail: bytes) -> None:
    sizes = [size % (1 << 64) for size in buffers]
    stream = b"".join(struct.pack("<II", len(body), 0) + body for body in bodies)
    stream += struct.pack(f"<II{len(sizes)}Q", len(tail), len(sizes), *sizes) + tail + bytes(3 * INLINE)
    for incoming in (ClientMessage | PutData, ToClient):
        feed(incoming, stream)


# --- claims ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1 << 33, 1 << 62])
def test_an_oversized_buffer_is_refused_before_anything_is_allocated(size: int, transport: str, loop_kind: str) -> None:
    async def main() -> None:
        async with wire(transport) as made, Stranger(made.listener.address) as stranger:
            await stranger.authenticate()
            recorder = Recorder()
            (await made.arrival()).start(recorder)
            tracemalloc.start()
            await stranger.send(struct.pack("<IIQ", 1, 1, size) + b"\x90")
            assert isinstance(await recorder.end(), ProtocolError)
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert peak < MIB
            assert await stranger.receive(1) == b""

    run(loop_kind, main())


# --- silence ---------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32", reason="limits of descriptors are a POSIX matter")
def test_a_thousand_silent_connections_are_closed_and_keep_nobody_out(transport: str, loop_kind: str) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))

    async def main() -> None:
        policy = HandshakePolicy(deadline=0.5, waiting=256)
        async with wire(transport, policy=policy) as made:
            silent = [Stranger(made.listener.address) for _ in range(1000)]
            for number, stranger in enumerate(silent):
                await stranger.__aenter__()
                if number % 250 == 0:
                    await still_serves(made)
            closed = await asyncio.gather(*(stranger.receive(1) for stranger in silent))
            assert closed == [b""] * 1000
            for stranger in silent:
                await stranger.__aexit__()
            await still_serves(made)

    try:
        run(loop_kind, main())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_by_default_the_deadline_is_five_seconds() -> None:
    assert HandshakePolicy().deadline == 5.0


# --- pickles ---------------------------------------------------------------------------------------------------------


def test_a_pickle_from_a_stranger_is_never_unpickled(
    transport: str, loop_kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marker = tmp_path / "unpickled"

    class Marks:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(marker),)

    hostile = [pickle.dumps(Marks(), protocol) for protocol in range(6)] + [cloudpickle.dumps(Marks())]

    def caught(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("something was unpickled")

    for module in (pickle, cloudpickle):
        monkeypatch.setattr(module, "loads", caught)
        monkeypatch.setattr(module, "load", caught)
    monkeypatch.setattr(pickle, "Unpickler", caught)

    async def main() -> None:
        async with wire(transport, policy=HandshakePolicy(penalty=0.01, deadline=0.2)) as made:
            for data in hostile:
                body = data.ljust(32, b".")
                begin = HELLO.pack(MAGIC, PROTOCOL_VERSION, 0, body[:32])
                frame = struct.pack("<II", len(data), 0) + data
                for said, answered in (
                    ([data], 0),
                    ([body * 3], 0),
                    ([HELLO.pack(MAGIC, PROTOCOL_VERSION, 255, body[:32]) + frame], 75),
                    ([HELLO.pack(MAGIC, 9999, 0, body[:32]) + frame], 75),
                    ([begin, body[:32]], 75),
                    ([begin + frame, frame * 10], 75),
                ):
                    async with Stranger(made.listener.address) as stranger:
                        try:
                            for part in said:
                                await stranger.send(part)
                        except ConnectionError:
                            pass
                        assert len(await stranger.receive(1000)) <= answered + 1
            assert not made.accepted
            await still_serves(made)

    run(loop_kind, main())
    assert not marker.exists()


# --- wrong tokens ----------------------------------------------------------------------------------------------------


def forge(token: bytes, begin: bytes, challenge: bytes) -> bytes:
    """The proof that somebody with this token would give."""
    said = struct.pack("<HB", PROTOCOL_VERSION, begin[10]) + begin[11:43] + challenge[11:43]
    return hmac.digest(token, MAGIC + b"connector" + said, "sha256")


def test_ten_thousand_tries_with_wrong_and_empty_tokens_all_fail() -> None:
    chance = random.Random(4)
    tokens = [b"", b"\0", TOKEN[:-1], TOKEN + b"\1", TOKEN.hex().encode(), bytes(32)]
    tokens += [chance.randbytes(32) for _ in range(10_000 - len(tokens))]
    begin = HELLO.pack(MAGIC, PROTOCOL_VERSION, 0, bytes(32))
    for token in tokens:
        listener = ListenerHandshake({Role.CLIENT}, TOKEN)
        challenge = listener.feed(begin)
        with pytest.raises(HandshakeError):
            listener.feed(forge(token, begin, challenge))
        assert listener.wanted
    # That it is the tokens that are wrong, and not the forgery:
    listener = ListenerHandshake({Role.CLIENT}, TOKEN)
    assert listener.feed(forge(TOKEN, begin, listener.feed(begin))) == b"\0"


def test_guesses_with_messages_behind_them_wait_as_long_and_are_as_few(transport: str, loop_kind: str) -> None:
    stream = honest_stream()

    async def main() -> None:
        async with wire(transport, policy=HandshakePolicy(penalty=60, deadline=120, waiting=5)) as made:
            guesses = [Stranger(made.listener.address) for _ in range(10)]
            begin = HELLO.pack(MAGIC, PROTOCOL_VERSION, 0, bytes(32))
            for stranger in guesses:
                await stranger.__aenter__()
                await stranger.send(begin)
                await stranger.send(forge(bytes(32), begin, await stranger.receive(75)) + stream)
            assert isinstance(made.listener, _StreamListener)
            admission = made.listener._admission
            await soon(lambda: len(admission) == 5)
            assert await guesses[0].receive(1) == b""  # pushed out by the last
            last = asyncio.ensure_future(guesses[-1].receive(1))
            await still_serves(made)
            assert not last.done()
            assert not made.accepted
            last.cancel()
            await asyncio.wait([last])
            for stranger in guesses:
                await stranger.__aexit__()

    run(loop_kind, main())


def test_who_guesses_tokens_waits_for_each_answer_and_nobody_else_does(transport: str, loop_kind: str) -> None:
    async def main() -> None:
        policy = HandshakePolicy(penalty=60, deadline=120, waiting=20)
        async with wire(transport, policy=policy) as made:
            guesses = [Stranger(made.listener.address) for _ in range(60)]
            begin = HELLO.pack(MAGIC, PROTOCOL_VERSION, 0, bytes(32))
            for number, stranger in enumerate(guesses):
                await stranger.__aenter__()
                await stranger.send(begin)
                challenge = await stranger.receive(75)
                await stranger.send(forge(b"" if number % 2 else bytes(32), begin, challenge))
                if number % 20 == 19:
                    await still_serves(made)
            # Those who were pushed out by others learn nothing either; who waits gets no answer before its time.
            assert await guesses[0].receive(1) == b""
            last = asyncio.ensure_future(guesses[-1].receive(1))
            await still_serves(made)
            assert not last.done()
            last.cancel()
            await asyncio.wait([last])
            for stranger in guesses:
                await stranger.__aexit__()

    run(loop_kind, main())


# --- a proxy that records --------------------------------------------------------------------------------------------


def test_a_recorded_link_cannot_be_replayed_to_either_side(loop_kind: str) -> None:
    async def main() -> None:
        async with wire("tcp", policy=HandshakePolicy(penalty=0)) as made:
            async with RecordingProxy(made.listener.address) as proxy:
                near = await made.connect(proxy.address)
                near.start(Recorder())
                far = await made.arrival()
                recorder = Recorder()
                far.start(recorder)
                near.send(WantKeys(["secret"]))
                await recorder.count(1)
                await near.close()
                await recorder.end()
            # To the listener: all at once, and record by record.
            for pieces in ([proxy.said["connector"]], [proxy.said["connector"][:43], proxy.said["connector"][43:]]):
                async with Stranger(made.listener.address) as stranger:
                    for piece in pieces:
                        await stranger.send(piece)
                        await asyncio.sleep(0.01)
                    assert await stranger.receive(76) != proxy.said["listener"][:76]
            assert not made.accepted

            # To a connector.
            async def replay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                writer.write(proxy.said["listener"])
                writer.close()

            await refused_by_connectors(replay)
            await still_serves(made)

    run(loop_kind, main())


def test_what_a_party_says_cannot_be_reflected_to_it(loop_kind: str) -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        begin = await reader.readexactly(43)
        # As it is, made up to the size of a challenge with its own nonce for a proof, and with an empty one.
        writer.write((begin + begin[11:] + bytes(75))[:75])
        writer.close()

    async def main() -> None:
        await refused_by_connectors(echo)
        async with wire("tcp", policy=HandshakePolicy(penalty=0)) as made:
            for part in (slice(43, 75), slice(11, 43)):  # the listener's own proof, and its nonce
                async with Stranger(made.listener.address) as stranger:
                    await stranger.send(HELLO.pack(MAGIC, PROTOCOL_VERSION, 0, bytes(32)))
                    await stranger.send((await stranger.receive(75))[part])
                    assert await stranger.receive(10) == b"\3"
            # The listener's challenge as a connector's nonce, on a second link, to have it prove for the first.
            async with Stranger(made.listener.address) as first, Stranger(made.listener.address) as second:
                await first.send(HELLO.pack(MAGIC, PROTOCOL_VERSION, 0, bytes(32)))
                challenge = await first.receive(75)
                await second.send(HELLO.pack(MAGIC, PROTOCOL_VERSION, 0, challenge[11:43]))
                await first.send((await second.receive(75))[43:])
                assert await first.receive(10) == b"\3"
            assert not made.accepted

    run(loop_kind, main())


async def refused_by_connectors(
    visit: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> None:
    """A connector that meets this impostor refuses it."""
    server = await asyncio.start_server(visit, "127.0.0.1", 0)
    address = f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    with pytest.raises(HandshakeError):
        await connect(address, role=Role.CLIENT, token=TOKEN, incoming=ToClient, timeout=5)
    server.close()


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
