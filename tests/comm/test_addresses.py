from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbcluster.comm.addresses import AnyAddress, InprocAddress, TcpAddress, UnixAddress, parse


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("tcp://127.0.0.1:8786", TcpAddress("127.0.0.1", 8786)),
        ("tls://node-7.cluster.example:0", TcpAddress("node-7.cluster.example", 0, encrypted=True)),
        ("tcp://[::1]:65535", TcpAddress("::1", 65535)),
        ("tcp://[fe80::1%eth0]:1", TcpAddress("fe80::1%eth0", 1)),
        ("unix:///run/user/1000/nbcluster/3f2a/s.sock", UnixAddress(Path("/run/user/1000/nbcluster/3f2a/s.sock"))),
        ("inproc://71-1", InprocAddress("71-1")),
        ("inproc://", InprocAddress("")),
    ],
)
def test_an_address_is_read_and_written_back(text: str, meaning: AnyAddress) -> None:
    assert parse(text) == meaning
    assert str(meaning) == text


def test_without_a_scheme_it_is_tcp() -> None:
    assert parse("localhost:8786") == TcpAddress("localhost", 8786)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "localhost",
        "tcp://",
        "tcp://localhost",
        "tcp://localhost:",
        "tcp://:8786",
        "tcp://localhost:65536",
        "tcp://localhost:-1",
        "tcp://localhost:+1",
        "tcp://localhost: 1",
        "tcp://localhost:1 ",
        "tcp://localhost:1/path",
        "tcp://localhost:٣",
        "tcp://user@localhost:1",
        "tcp://local host:1",
        "tcp://localhost:1\n",
        "tcp://-localhost:1",
        "tcp://a..:1\x00",
        "tcp://::1:8786",
        "tcp://[::1]8786",
        "tcp://[::1",
        "tcp://[localhost]:1",
        "tcp://[]:1",
        "unix://relative/path",
        "unix://",
        "unix:///with\0nul",
        "inproc://with/slash",
        "inproc://with space",
        "http://localhost:8786",
        "TCP://localhost:1",
        "ucx://localhost:1",
    ],
)
def test_what_is_no_address_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="is no address") as caught:
        parse(text)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize("value", [None, 8786, b"tcp://localhost:1", Path("/tmp")])
def test_what_is_no_text_is_no_address(value: Any) -> None:
    with pytest.raises(TypeError, match="an address is text"):
        parse(value)


@given(st.text(max_size=40) | st.text("tcpls:/[]0123456789.-", max_size=30))
def test_any_text_is_an_address_or_a_value_error(text: str) -> None:
    try:
        meaning = parse(text)
    except ValueError:
        return
    assert parse(str(meaning)) == meaning


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("localhost.example.org", False),
    ],
)
def test_only_loopback_is_loopback(host: str, expected: bool) -> None:
    assert TcpAddress(host, 1).is_loopback is expected
