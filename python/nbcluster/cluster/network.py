"""Hosts, network interfaces and ports, as people name them."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection

LOOPBACK = "127.0.0.1"
ANYWHERE = ("", "0.0.0.0")
"""Hosts that mean all addresses of this machine."""


def is_loopback(host: str) -> bool:
    """True if only this machine can connect there."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_alone(host: str) -> None:
    """See that nothing that is not encrypted is reached from other machines.

    Raises:
        ValueError: it would be.
    """
    if not is_loopback(host):
        raise ValueError(
            f"host={host!r} is reached from other machines, and connections to them must be encrypted: give "
            f"security=True or a Security object; or {LOOPBACK!r}, or another address of this machine alone"
        )


def interface_address(interface: str) -> str:
    """The IPv4 address of a network interface.

    Raises:
        ValueError: there is no such interface, or it has none.
    """
    import psutil  # takes long to import, and few ask for an interface

    addresses = psutil.net_if_addrs()
    if interface not in addresses:
        known = ", ".join(sorted(addresses))
        raise ValueError(f"interface={interface!r} is no network interface of this machine; there are {known}")
    for address in addresses[interface]:
        if address.family.name == "AF_INET":
            return str(address.address)
    raise ValueError(f"interface={interface!r} has no IPv4 address")


def parse_ports(name: str, value: object) -> list[int]:
    """Accept a port, a range like ``"9000:9010"`` or a list: of them the first that is free; none is any port.

    Raises:
        TypeError, ValueError: names the argument, its value and what is allowed.
    """
    allowed = "give 0 (any) to 65535, a range like '9000:9010', or a list of ports"
    if value is None:
        return []
    ports: list[object]
    if isinstance(value, str):
        first, colon, last = value.partition(":")
        if not (first.isdecimal() and (last.isdecimal() if colon else True)):
            raise ValueError(f"{name}={value!r} is not a port; {allowed}")
        ports = list(range(int(first), min(int(last or first), 65536) + 1))
    elif isinstance(value, Collection) and not isinstance(value, bytes):
        ports = list(value)
    else:
        ports = [value]
    if not all(isinstance(port, int) and not isinstance(port, bool) for port in ports):
        raise TypeError(f"{name}={value!r} is not a port; {allowed}")
    if not ports or not all(0 <= port < 65536 for port in ports if isinstance(port, int)):
        raise ValueError(f"{name}={value!r} is out of range; {allowed}")
    return [] if ports == [0] else [port for port in ports if isinstance(port, int)]
