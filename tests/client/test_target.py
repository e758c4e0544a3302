from __future__ import annotations

from typing import Any

import pytest

from nbcluster.client.target import is_cluster, of_address, of_cluster
from nbcluster.comm.credentials import ClusterDirectory
from nbcluster.errors import CommError
from nbcluster.types import Status


class Ours:
    status = Status.RUNNING
    scheduler_address = "tcp://127.0.0.1:1"
    connect_address = "inproc://c1"
    token = b"secret"


class Theirs:
    status = "running"

    def __init__(self, address: str) -> None:
        self.scheduler_address = address


def test_a_cluster_of_ours_says_how_to_get_in() -> None:
    cluster = Ours()
    target = of_cluster(cluster, owned=True)
    assert (target.address, target.token, target.cluster, target.owned) == ("inproc://c1", b"secret", cluster, True)


def test_any_other_is_found_by_its_address() -> None:
    with ClusterDirectory() as directory:
        directory.publish("tcp://127.0.0.1:65001", "unix:///nowhere")
        assert of_address("tcp://127.0.0.1:65001").token == directory.token
        target = of_cluster(Theirs("tcp://127.0.0.1:65001"), owned=False)
        assert (target.address, target.token) == ("tcp://127.0.0.1:65001", directory.token)


def test_an_address_that_is_nobodys_is_named() -> None:
    with pytest.raises(CommError, match=r"127\.0\.0\.1:65002"):
        of_address("tcp://127.0.0.1:65002")


@pytest.mark.parametrize("status", ["closed", "closing", "failed", Status.CLOSED, Status.FAILED, "Status.closed"])
def test_a_closed_cluster_takes_no_clients(status: Any) -> None:
    cluster = Ours()
    cluster.status = status
    with pytest.raises(RuntimeError, match="already closed or closing"):
        of_cluster(cluster, owned=False)


def test_what_has_a_scheduler_address_is_a_cluster() -> None:
    assert is_cluster(Ours())
    assert is_cluster(Theirs("x"))
    assert not is_cluster("tcp://127.0.0.1:1")
    assert not is_cluster(5)
