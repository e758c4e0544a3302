"""Where a worker listens, and by which address its peers reach it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from nbcluster.types import Address
from nbcluster.worker.config import WorkerConfig
from nbcluster.worker.links import listen_at_first


def first(taken: set[int], **config: Any) -> Address:
    """The address of a worker where these ports are taken, and any port is 5000."""

    async def listen(address: Address) -> Address:
        host, _, port = address.rpartition(":")
        if int(port) in taken:
            raise OSError(f"{address} is taken")
        return f"{host}:{int(port) or 5000}"

    made = WorkerConfig(scheduler="tcp://127.0.0.1:1", name=0, listen="tcp://127.0.0.1:0", **config)
    return asyncio.run(listen_at_first(made, listen))


def test_of_its_ports_it_takes_the_first_that_is_free() -> None:
    assert first({9000, 9001}, ports=[9000, 9001, 9002, 9003]) == "tcp://127.0.0.1:9002"


def test_without_ports_it_listens_where_it_was_told() -> None:
    assert first(set()) == "tcp://127.0.0.1:5000"


def test_if_none_is_free_the_last_one_says_so() -> None:
    with pytest.raises(OSError, match=r"tcp://127\.0\.0\.1:9001 is taken"):
        first({9000, 9001}, ports=[9000, 9001])


def test_peers_reach_it_by_its_contact_with_the_port_that_it_got() -> None:
    assert first(set(), contact="tcp://192.0.2.1:0") == "tcp://192.0.2.1:5000"
    assert first(set(), contact="tcp://192.0.2.1:80") == "tcp://192.0.2.1:80"
