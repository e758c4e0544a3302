from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from nbcluster.dashboard.gate import Gate, host_name, same_origin


class Connection:
    """As much of a socket as the gate looks at."""

    def __init__(self, local: str, family: int = socket.AF_INET) -> None:
        self.family = family
        self._local = local

    def getsockname(self) -> tuple[str, int]:
        return self._local, 8787


def status(gate: Gate, local: str, host: str) -> int | None:
    refusal = gate.refusal(Connection(local), host)  # type: ignore[arg-type]
    return None if refusal is None else refusal.status


@pytest.fixture
def unix_connection() -> Iterator[socket.socket]:
    ours, theirs = socket.socketpair()
    with closing(ours), closing(theirs):
        yield ours


OURS = Gate(find_uid=lambda connection: 1000, uid=1000)


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:8787", "LOCALHOST:1", "127.0.0.1:8787", "127.9.9.9", "[::1]:8787", "localhost.", "[::1]"],
)
def test_the_loopback_interface_is_visited_by_its_names(host: str) -> None:
    assert status(OURS, "127.0.0.1", host) is None


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "evil.example:8787",
        "192.0.2.7:8787",
        "localhost@evil.example",
        "evil.example#localhost",
        "localhost:port",
        "local host",
        "[::1",
        "169.254.169.254",
    ],
)
def test_a_rebound_name_is_refused(host: str) -> None:
    assert status(OURS, "127.0.0.1", host) == 403


def test_another_user_of_the_machine_is_refused() -> None:
    gate = Gate(find_uid=lambda connection: 1001, uid=1000)
    assert status(gate, "127.0.0.1", "localhost") == 403
    assert status(gate, "::1", "localhost") == 403
    assert status(gate, "::ffff:127.0.0.1", "localhost") == 403


def test_one_whom_the_kernel_does_not_know_is_refused() -> None:
    assert status(Gate(find_uid=lambda connection: None, uid=1000), "127.0.0.1", "localhost") == 403


def test_where_the_system_tells_nothing_the_host_is_still_checked() -> None:
    gate = Gate(find_uid=None)
    assert status(gate, "127.0.0.1", "localhost") is None
    assert status(gate, "127.0.0.1", "evil.example") == 403


def test_whoever_could_open_the_unix_socket_may_come_in(unix_connection: socket.socket) -> None:
    gate = Gate(find_uid=lambda connection: 1001, uid=1000)
    assert gate.refusal(unix_connection, "anything") is None


def test_another_interface_is_visited_by_address_or_by_one_of_its_names() -> None:
    gate = Gate(hosts=["Node7"], find_uid=lambda connection: None, uid=1000)
    assert status(gate, "192.0.2.7", "192.0.2.7:8787") is None
    assert status(gate, "192.0.2.7", "node7:8787") is None
    assert status(gate, "192.0.2.7", "evil.example") == 403


def test_host_names_are_read_as_browsers_write_them() -> None:
    assert host_name("[::1]:8787") == "::1"
    assert host_name("Example.ORG:80") == "example.org"
    assert host_name("a:99999") == ""


@pytest.mark.parametrize(
    ("origin", "same"),
    [
        ("http://localhost:8787", True),
        ("http://LOCALHOST:8787", True),
        ("http://localhost:8788", False),
        ("http://localhost", False),
        ("https://localhost:8787", False),
        ("http://localhost:8787.evil.example", False),
        ("http://evil.example", False),
        ("null", False),
        ("", False),
    ],
)
def test_only_a_page_of_this_very_server_has_the_same_origin(origin: str, same: bool) -> None:
    assert same_origin(origin, "localhost:8787", "http") is same
