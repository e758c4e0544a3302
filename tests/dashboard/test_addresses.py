from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from nbcluster.dashboard.addresses import Endpoint, open_socket, parse
from nbcluster.errors import ClusterError


@pytest.mark.parametrize(
    ("address", "endpoints"),
    [
        (None, []),
        (":8787", [("127.0.0.1", 8787)]),
        (8787, [("127.0.0.1", 8787)]),
        ("8787", [("127.0.0.1", 8787)]),
        ("", [("127.0.0.1", 0)]),
        (":0", [("127.0.0.1", 0)]),
        (0, [("127.0.0.1", 0)]),
        ("localhost:1234", [("127.0.0.1", 1234)]),
        ("0.0.0.0:1", [("0.0.0.0", 1)]),
        ("[::1]:1", [("::1", 1)]),
        ("node7", [("node7", 0)]),
        ("127.0.0.1:1, :2", [("127.0.0.1", 1), ("127.0.0.1", 2)]),
        ([":1", 2], [("127.0.0.1", 1), ("127.0.0.1", 2)]),
        ([], []),
    ],
)
def test_addresses_are_read_as_people_write_them(address: Any, endpoints: list[tuple[str, int]]) -> None:
    assert parse(address) == [Endpoint(host, port) for host, port in endpoints]


@pytest.mark.parametrize("address", [":http", ":65536", ":-1", "a:b:1", "http://localhost:8787", "local host:1"])
def test_what_is_no_address_is_named(address: str) -> None:
    with pytest.raises(ValueError, match="dashboard_address="):
        parse(address)


@pytest.mark.parametrize("address", [True, 1.5, {"port": 1}])
def test_what_is_no_text_is_named(address: Any) -> None:
    with pytest.raises(TypeError, match="dashboard_address="):
        parse(address)


def test_a_negative_port_is_no_port() -> None:
    with pytest.raises(ValueError, match="'-1' is no port"):
        parse(-1)


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield other.getsockname()[1]


def test_a_taken_port_is_passed_over(taken_port: int) -> None:
    opened, endpoint = open_socket(Endpoint("127.0.0.1", taken_port))
    with opened:
        assert endpoint.port != taken_port
        assert opened.getsockname() == ("127.0.0.1", endpoint.port)


def test_an_address_that_is_not_ours_is_an_error_that_says_so() -> None:
    with pytest.raises(ClusterError, match=r"192\.0\.2\.7:8787"):
        open_socket(Endpoint("192.0.2.7", 8787))


def test_urls_are_for_a_browser_on_this_machine() -> None:
    assert Endpoint("0.0.0.0", 1).url == "http://127.0.0.1:1"
    assert Endpoint("::1", 1).url == "http://[::1]:1"
    assert not Endpoint("0.0.0.0", 1).loopback
    assert Endpoint("127.0.0.1", 1).loopback
