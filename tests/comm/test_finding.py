from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest

from nbcluster.comm import finding
from nbcluster.comm.credentials import ClusterDirectory
from nbcluster.comm.finding import wait_for_token
from nbcluster.errors import CommError


def test_a_cluster_that_is_about_to_start_is_waited_for(tmp_path: Path) -> None:
    address = f"unix://{tmp_path / 'scheduler.sock'}"

    async def main() -> bytes:
        looking = asyncio.ensure_future(wait_for_token(address, timeout=20))
        await asyncio.sleep(0)
        with ClusterDirectory() as directory:
            directory.publish(address)
            assert await looking == directory.token
            return directory.token

    assert asyncio.run(main())


def test_where_somebody_else_listens_nobody_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finding, "_GRACE", 0.01)

    async def main() -> None:
        server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            with pytest.raises(CommError, match=f"no cluster of this user listens at tcp://127.0.0.1:{port}"):
                await wait_for_token(f"tcp://127.0.0.1:{port}", timeout=3600)

    asyncio.run(asyncio.wait_for(main(), 30))


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "unix:///nowhere/there.sock", "inproc://nobody"])
def test_if_nobody_comes_the_address_is_named(address: str) -> None:
    async def main() -> None:
        with pytest.raises(CommError, match=address):
            await wait_for_token(address, timeout=0.2)

    asyncio.run(main())


def test_what_is_no_address_is_refused_at_once() -> None:
    async def main() -> None:
        with pytest.raises(ValueError, match="is no address"):
            await wait_for_token("tcp://nowhere", timeout=3600)

    asyncio.run(asyncio.wait_for(main(), 30))


def test_a_link_that_is_there_in_the_turn_in_which_its_caller_gives_up_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    closed: list[str] = []

    class Writer:
        def close(self) -> None:
            closed.append("closed")

    async def open_all_the_same(path: str) -> tuple[None, Writer]:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return None, Writer()

    async def main() -> None:
        waiting = asyncio.ensure_future(wait_for_token("unix:///nobody/listens", 10))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    monkeypatch.setattr(asyncio, "open_unix_connection", open_all_the_same)
    asyncio.run(main())
    assert closed == ["closed"]
