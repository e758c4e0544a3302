"""What a client finds of what it was told to connect to, in either kind of use."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from nbcluster.client.destination import Destination
from nbcluster.client.target import Target
from nbcluster.comm import scheduler_file
from nbcluster.comm.credentials import ClusterDirectory
from nbcluster.comm.loop import LoopThread
from nbcluster.comm.security import Security
from nbcluster.errors import CommError, TimeoutError
from nbcluster.types import Status

ADDRESS = "tcp://127.0.0.1:65003"


class Cluster:
    scheduler_address = ADDRESS
    connect_address = "inproc://c1"
    token = b"secret"

    def __init__(self, status: Status = Status.RUNNING) -> None:
        self.status = status

    def __await__(self) -> Generator[Any, None, Cluster]:
        assert self.status is Status.CREATED
        self.status = Status.RUNNING
        yield
        return self


Find = Callable[[Destination], Target]


@pytest.fixture(params=["synchronous", "asynchronous"])
def find(request: pytest.FixtureRequest) -> Iterator[Find]:
    """Finds a destination from a thread, and from an event loop."""
    if request.param == "asynchronous":
        yield lambda destination: asyncio.run(destination.find_async())
        return
    loop_thread = LoopThread("test")
    loop_thread.start()
    yield lambda destination: destination.find(loop_thread)
    loop_thread.stop()


@pytest.fixture
def directory() -> Iterator[ClusterDirectory]:
    with ClusterDirectory() as directory:
        directory.publish(ADDRESS)
        yield directory


def test_a_target_is_found_already(find: Find) -> None:
    target = Target(ADDRESS, b"token")
    assert find(Destination(target)) is target


def test_a_cluster_object_says_how_to_get_in_and_stays_its_makers(find: Find) -> None:
    cluster = Cluster()
    assert find(Destination(cluster)) == Target("inproc://c1", b"secret", cluster, owned=False)


def test_a_closed_cluster_is_no_destination(find: Find) -> None:
    with pytest.raises(RuntimeError, match="already closed"):
        find(Destination(Cluster(Status.CLOSED)))


def test_a_cluster_that_nobody_has_awaited_starts_where_it_can_be() -> None:
    cluster = Cluster(Status.CREATED)
    assert asyncio.run(Destination(cluster).find_async()).cluster is cluster
    assert cluster.status is Status.RUNNING


def test_an_address_goes_with_the_secret_of_this_users_cluster(find: Find, directory: ClusterDirectory) -> None:
    assert find(Destination(ADDRESS)) == Target(ADDRESS, directory.token)


def test_a_secret_that_was_agreed_upon_is_looked_for_nowhere(find: Find, tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("ab" * 32)
    path.chmod(0o600)
    security = Security(token_file=str(path))
    assert find(Destination(ADDRESS, security=security)) == Target(ADDRESS, bytes.fromhex("ab" * 32))


def test_an_address_at_which_nobody_listens_is_named(find: Find, tmp_path: Path) -> None:
    with pytest.raises(CommError, match=r"nobody\.sock"):
        find(Destination(f"unix://{tmp_path}/nobody.sock", timeout=0))


def test_a_scheduler_file_names_the_address(find: Find, directory: ClusterDirectory, tmp_path: Path) -> None:
    path = tmp_path / "scheduler.json"
    scheduler_file.write(path, {"address": ADDRESS})
    assert find(Destination(None, str(path))) == Target(ADDRESS, directory.token)


def test_a_scheduler_file_that_is_about_to_be_written_is_waited_for(
    directory: ClusterDirectory, tmp_path: Path
) -> None:
    path = tmp_path / "scheduler.json"

    async def main() -> Target:
        looking = asyncio.ensure_future(Destination(None, str(path)).find_async())
        await asyncio.sleep(0)
        assert not looking.done()
        scheduler_file.write(path, {"address": ADDRESS})
        return await looking

    assert asyncio.run(main()).address == ADDRESS


def test_a_scheduler_file_that_nobody_writes_is_named(find: Find, tmp_path: Path) -> None:
    with pytest.raises(TimeoutError, match=r"nobody\.json' was not there after 0 s"):
        find(Destination(None, str(tmp_path / "nobody.json"), timeout=0))


def test_a_file_that_names_no_scheduler_is_an_error_at_once(find: Find, tmp_path: Path) -> None:
    path = tmp_path / "other.json"
    path.write_text(json.dumps(["something", "else"]))
    with pytest.raises(ValueError, match=r"other\.json"):
        find(Destination(None, str(path), timeout=3600))
