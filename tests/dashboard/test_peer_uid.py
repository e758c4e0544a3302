from __future__ import annotations

import os
import socket
import sys

import pytest

from nbcluster.dashboard.peer_uid import KNOWN, find_uid, peer_uid

V4 = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:2253 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 11 1
   1: 0100007F:D431 0100007F:2253 01 00000000:00000000 00:00000000 00000000  1001        0 12 1
   2: 0100007F:2253 0100007F:D431 01 00000000:00000000 00:00000000 00000000     0        0 13 1
""".splitlines()
V6 = """\
  sl  local_address                         remote_address                        st tx rx tr tm uid timeout inode
   0: 0000000000000000FFFF00000100007F:D432 0000000000000000FFFF00000100007F:2253 01 0:0 0:0 0 1002 0 14 1
   1: 00000000000000000000000001000000:D433 00000000000000000000000001000000:2253 01 0:0 0:0 0 1003 0 15 1
""".splitlines()

little_endian = pytest.mark.skipif(sys.byteorder != "little", reason="the tables above are of such a machine")


@little_endian
@pytest.mark.parametrize(
    ("client", "server", "uid"),
    [
        (("127.0.0.1", 0xD431), ("127.0.0.1", 0x2253), 1001),
        (("127.0.0.1", 0xD432), ("127.0.0.1", 0x2253), 1002),
        (("::ffff:127.0.0.1", 0xD432), ("127.0.0.1", 0x2253), 1002),
        (("::1", 0xD433), ("::1", 0x2253), 1003),
        (("127.0.0.1", 0xD434), ("127.0.0.1", 0x2253), None),
        (("127.0.0.1", 0xD431), ("127.0.0.1", 0x2254), None),
    ],
)
def test_the_owner_is_found_by_both_ends(client: tuple[str, int], server: tuple[str, int], uid: int | None) -> None:
    assert find_uid([*V4, *V6], client, server) == uid


@pytest.mark.skipif(not KNOWN, reason="only Linux tells")
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_the_kernel_knows_who_is_at_the_other_end(host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        server = socket.create_server((host, 0), family=family)
    except OSError:
        pytest.skip("this machine has no IPv6")
    with server, socket.create_connection(server.getsockname()[:2]), server.accept()[0] as accepted:
        assert peer_uid(accepted) == os.getuid()


@pytest.mark.skipif(not KNOWN, reason="only Linux tells")
def test_an_ipv4_client_of_a_socket_for_both_is_found() -> None:
    try:
        server = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    except OSError:
        pytest.skip("this machine has no IPv6")
    with server, socket.create_connection(("127.0.0.1", server.getsockname()[1])), server.accept()[0] as accepted:
        assert peer_uid(accepted) == os.getuid()
