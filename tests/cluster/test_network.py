"""Hosts, network interfaces and ports, as people name them."""

from __future__ import annotations

from typing import Any

import pytest

from nbcluster.cluster.network import check_alone, interface_address, is_loopback, parse_ports


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.10", "::1", "localhost"])
def test_only_this_machine_reaches_its_loopback(host: str) -> None:
    assert is_loopback(host)
    check_alone(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "example.org", ""])
def test_what_others_reach_must_be_encrypted(host: str) -> None:
    assert not is_loopback(host)
    with pytest.raises(ValueError, match="must be encrypted: give security=True"):
        check_alone(host)


def test_an_unknown_interface_is_answered_by_those_that_there_are() -> None:
    with pytest.raises(ValueError, match="interface='nowhere0' is no network interface of this machine; there are "):
        interface_address("nowhere0")


@pytest.mark.parametrize(
    ("value", "ports"),
    [
        (None, []),
        (0, []),
        ("0", []),
        (9000, [9000]),
        ("9000", [9000]),
        ("9000:9002", [9000, 9001, 9002]),
        ([9001, 9000], [9001, 9000]),
    ],
)
def test_ports_are_tried_in_the_order_in_which_they_were_given(value: Any, ports: list[int]) -> None:
    assert parse_ports("worker_port", value) == ports


@pytest.mark.parametrize("value", ["http", "9000:", "9002:9000", -1, 65536, [], [1.5], True, b"\x01"])
def test_what_is_no_port_is_refused_by_its_name(value: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=r"^worker_port=.*; give 0 \(any\) to 65535"):
        parse_ports("worker_port", value)
