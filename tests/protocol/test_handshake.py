from __future__ import annotations

import hmac
import struct
from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbcluster.errors import HandshakeError
from nbcluster.protocol.handshake import MAGIC, MIN_TOKEN, ConnectorHandshake, ListenerHandshake
from nbcluster.protocol.messages import PROTOCOL_VERSION
from nbcluster.types import Role

TOKEN = bytes(range(32))
OTHER = bytes(range(1, 33))
EVERYBODY = frozenset(Role)


def hello(role: int = 0, nonce: bytes = b"n" * 32, magic: bytes = MAGIC, version: int = PROTOCOL_VERSION) -> bytes:
    return struct.pack("<8sHB32s", magic, version, role, nonce)


def shake_hands(connector: ConnectorHandshake, listener: ListenerHandshake) -> None:
    challenge = listener.feed(connector.begin())
    verdict = listener.feed(connector.feed(challenge))
    assert connector.feed(verdict) == b""


@pytest.mark.parametrize("role", Role)
def test_two_that_hold_the_token_agree_on_the_role(role: Role) -> None:
    connector, listener = ConnectorHandshake(role, TOKEN), ListenerHandshake({role}, TOKEN)
    shake_hands(connector, listener)
    assert connector.wanted == listener.wanted == 0
    assert listener.role is role


def test_each_side_says_how_many_bytes_it_wants_next_and_they_are_few() -> None:
    connector, listener = ConnectorHandshake(Role.CLIENT, TOKEN), ListenerHandshake(EVERYBODY, TOKEN)
    record = connector.begin()
    total = 0
    for side in (listener, connector, listener, connector):
        assert len(record) == side.wanted
        total += len(record)
        record = side.feed(record)
    assert record == b""
    assert total <= 4096


def test_nobody_has_a_role_before_the_handshake_is_done() -> None:
    listener = ListenerHandshake(EVERYBODY, TOKEN)
    with pytest.raises(HandshakeError):
        _ = listener.role
    listener.feed(hello())
    with pytest.raises(HandshakeError):
        _ = listener.role


def test_nonces_are_fresh() -> None:
    begins = {ConnectorHandshake(Role.CLIENT, TOKEN).begin() for _ in range(100)}
    challenges = {ListenerHandshake(EVERYBODY, TOKEN).feed(hello()) for _ in range(100)}
    assert len(begins) == len(challenges) == 100


# --- tokens ----------------------------------------------------------------------------------------------------------


def test_a_connector_with_another_token_sees_it_and_gives_nothing_away() -> None:
    connector, listener = ConnectorHandshake(Role.CLIENT, OTHER), ListenerHandshake(EVERYBODY, TOKEN)
    challenge = listener.feed(connector.begin())
    with pytest.raises(HandshakeError, match="another token"):
        connector.feed(challenge)


def test_a_proof_with_another_token_is_refused_and_the_refusal_says_so() -> None:
    listener = ListenerHandshake(EVERYBODY, TOKEN)
    challenge = listener.feed(hello(nonce=b"n" * 32))
    said = struct.pack("<HB", PROTOCOL_VERSION, 0) + b"n" * 32 + challenge[11:43]
    with pytest.raises(HandshakeError, match="wrong token"):
        listener.feed(hmac.digest(OTHER, MAGIC + b"connector" + said, "sha256"))
    honest = ConnectorHandshake(Role.CLIENT, TOKEN)
    honest.feed(ListenerHandshake(EVERYBODY, TOKEN).feed(honest.begin()))
    with pytest.raises(HandshakeError, match="token was refused"):
        honest.feed(listener.refusal)


@pytest.mark.parametrize("token", [b"", b"x", b"x" * (MIN_TOKEN - 1)])
def test_a_short_token_is_no_token(token: bytes) -> None:
    sides: list[Callable[[], Any]] = [
        lambda: ConnectorHandshake(Role.CLIENT, token),
        lambda: ListenerHandshake(EVERYBODY, token),
    ]
    for make in sides:
        with pytest.raises(HandshakeError, match="too short"):
            make()


def test_tokens_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []
    honest = hmac.compare_digest

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return honest(one, other)

    monkeypatch.setattr(hmac, "compare_digest", compare)
    shake_hands(ConnectorHandshake(Role.CLIENT, TOKEN), ListenerHandshake(EVERYBODY, TOKEN))
    assert [len(one) for one, _ in compared] == [32, 32]


def test_a_handshake_does_not_show_its_token() -> None:
    for side in (ConnectorHandshake(Role.CLIENT, TOKEN), ListenerHandshake(EVERYBODY, TOKEN)):
        assert TOKEN.hex() not in repr(side)
        assert repr(TOKEN) not in repr(side)


# --- replay, reflection, swapped roles -------------------------------------------------------------------------------


def test_a_recorded_proof_is_worth_nothing_on_another_link() -> None:
    connector, listener = ConnectorHandshake(Role.CLIENT, TOKEN), ListenerHandshake(EVERYBODY, TOKEN)
    begin = connector.begin()
    challenge = listener.feed(begin)
    proof = connector.feed(challenge)
    again = ListenerHandshake(EVERYBODY, TOKEN)
    again.feed(begin)
    with pytest.raises(HandshakeError):
        again.feed(proof)
    with pytest.raises(HandshakeError):
        ConnectorHandshake(Role.CLIENT, TOKEN).feed(challenge)


def test_there_is_one_try() -> None:
    connector, listener = ConnectorHandshake(Role.CLIENT, TOKEN), ListenerHandshake(EVERYBODY, TOKEN)
    proof = connector.feed(listener.feed(connector.begin()))
    with pytest.raises(HandshakeError):
        listener.feed(bytes(32))
    with pytest.raises(HandshakeError):
        listener.feed(proof)


def test_a_listener_does_not_accept_its_own_proof() -> None:
    listener = ListenerHandshake(EVERYBODY, TOKEN)
    challenge = listener.feed(hello())
    with pytest.raises(HandshakeError):
        listener.feed(challenge[-32:])


def test_a_connector_does_not_accept_its_own_words() -> None:
    connector = ConnectorHandshake(Role.CLIENT, TOKEN)
    nonce = connector.begin()[-32:]
    with pytest.raises(HandshakeError):
        connector.feed(struct.pack("<8sHB32s32s", MAGIC, PROTOCOL_VERSION, 0, nonce, nonce))


def test_proofs_from_two_listeners_cannot_be_crossed() -> None:
    # Whoever has no token asks one listener, and answers another with what it said.
    first, second = ListenerHandshake(EVERYBODY, TOKEN), ListenerHandshake(EVERYBODY, TOKEN)
    challenge = first.feed(hello(nonce=b"n" * 32))
    crossed = second.feed(hello(nonce=challenge[11:43]))
    for target, proof in product((first, second), (challenge[-32:], crossed[-32:])):
        with pytest.raises(HandshakeError):
            target.feed(proof)


def test_a_role_cannot_be_changed_on_the_way() -> None:
    connector, listener = ConnectorHandshake(Role.CLIENT, TOKEN), ListenerHandshake(EVERYBODY, TOKEN)
    begin = bytearray(connector.begin())
    begin[10] = 1
    with pytest.raises(HandshakeError):
        connector.feed(listener.feed(bytes(begin)))


@pytest.mark.parametrize("at", range(75))
def test_no_byte_of_a_challenge_can_be_changed(at: int) -> None:
    connector, listener = ConnectorHandshake(Role.CLIENT, TOKEN), ListenerHandshake(EVERYBODY, TOKEN)
    challenge = bytearray(listener.feed(connector.begin()))
    challenge[at] ^= 1
    with pytest.raises(HandshakeError):
        connector.feed(bytes(challenge))


# --- versions, roles, strangers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("theirs", "where"), [(PROTOCOL_VERSION + 1, "here"), (PROTOCOL_VERSION - 1, "other side")])
def test_a_mismatch_of_versions_names_what_to_upgrade_on_either_side(theirs: int, where: str) -> None:
    listener = ListenerHandshake(EVERYBODY, TOKEN)
    with pytest.raises(HandshakeError, match=rf"upgrade the package nbcluster .*{where}") as caught:
        listener.feed(hello(version=theirs))
    assert (caught.value.theirs, caught.value.ours) == (theirs, PROTOCOL_VERSION)  # type: ignore[attr-defined]
    reply = bytearray(listener.refusal)
    struct.pack_into("<H", reply, 8, theirs)
    with pytest.raises(HandshakeError, match=rf"upgrade the package nbcluster .*{where}"):
        ConnectorHandshake(Role.CLIENT, TOKEN).feed(bytes(reply))


@pytest.mark.parametrize("role", range(1, 256))
def test_a_role_that_is_not_expected_is_refused(role: int) -> None:
    listener = ListenerHandshake({Role.CLIENT}, TOKEN)
    with pytest.raises(HandshakeError, match="no business"):
        listener.feed(hello(role))
    with pytest.raises(HandshakeError, match="does not talk to a worker"):
        ConnectorHandshake(Role.WORKER, TOKEN).feed(listener.refusal)


def test_what_is_not_nbcluster_gets_no_answer() -> None:
    listener = ListenerHandshake(EVERYBODY, TOKEN)
    with pytest.raises(HandshakeError, match="not nbcluster"):
        listener.feed(b"GET / HTTP/1.1\r\n".ljust(listener.wanted, b"x"))
    assert listener.refusal == b""
    connector = ConnectorHandshake(Role.CLIENT, TOKEN)
    with pytest.raises(HandshakeError, match="not nbcluster"):
        connector.feed(b"HTTP/1.1 400 Bad Request\r\n".ljust(connector.wanted, b"x"))


@given(st.binary(max_size=300))
def test_random_bytes_only_ever_fail_the_handshake(data: bytes) -> None:
    sides: list[ConnectorHandshake | ListenerHandshake] = [
        ConnectorHandshake(Role.CLIENT, TOKEN),
        ListenerHandshake(EVERYBODY, TOKEN),
    ]
    for side in sides:
        for record in (data, data[: side.wanted].ljust(side.wanted, b"\0")):
            with pytest.raises(HandshakeError):
                side.feed(record)


@given(st.binary(min_size=1, max_size=1))
def test_only_one_verdict_is_good(verdict: bytes) -> None:
    connector, listener = ConnectorHandshake(Role.CLIENT, TOKEN), ListenerHandshake(EVERYBODY, TOKEN)
    connector.feed(listener.feed(connector.begin()))
    if verdict == b"\0":
        connector.feed(verdict)
    else:
        with pytest.raises(HandshakeError):
            connector.feed(verdict)
    assert (connector.wanted == 0) is (verdict == b"\0")
