"""Two strangers prove to each other that they hold the cluster's token, before either decodes anything. No I/O here.

    connecting side                                     listening side

    Hello      magic, version, role, nonce  ──────────▶
               ◀──────────  Challenge  magic, version, verdict, nonce, proof of the listener
    Proof      proof of the connector, and behind it what the connector says first ──────▶
               ◀──────────  Verdict

A proof is an HMAC-SHA256 under the token over everything that was said: version, role and both nonces, with a label
that names the side that proves. So a proof is good for one direction, one role and one link: replayed or sent back to
its maker it is worth nothing. The listener proves first, so that a connector with another token learns it at once and
gives nothing away.

Every record has a fixed size, and each side says how many bytes it wants (``wanted``): it never reads more, so nothing
of what follows is touched before the handshake is done. Hence a connector, who knows by then whom it talks to, need not
wait for the verdict before it says something: a listener that does not believe its proof never reads the rest. Wrong
magic is answered by silence: that peer is none of ours.
"""

from __future__ import annotations

import hmac
import secrets
import struct
from collections.abc import Collection
from enum import IntEnum

from nbcluster.errors import HandshakeError
from nbcluster.protocol.messages import PROTOCOL_VERSION
from nbcluster.types import Role

MAGIC = b"nbclustr"
MIN_TOKEN = 16
"""Bytes. A shorter token might be guessed, an empty one is no secret at all."""

_NONCE = 32
_HELLO = struct.Struct(f"<8sHB{_NONCE}s")
_CHALLENGE = struct.Struct(f"<8sHB{_NONCE}s32s")
_PROOF = struct.Struct("32s")
_VERDICT = struct.Struct("B")

_ROLES = (Role.CLIENT, Role.WORKER, Role.CONTROL, Role.PEER, Role.STORE, Role.SENDER)
"""A role's number on the wire is its place here; never reorder."""


class Verdict(IntEnum):
    """What the listener makes of a connector."""

    ACCEPTED = 0
    WRONG_VERSION = 1
    WRONG_ROLE = 2
    WRONG_TOKEN = 3


def _prove(token: bytes, side: bytes, role: int, connector_nonce: bytes, listener_nonce: bytes) -> bytes:
    said = struct.pack("<HB", PROTOCOL_VERSION, role) + connector_nonce + listener_nonce
    return hmac.digest(token, MAGIC + side + said, "sha256")


def _check_token(token: bytes) -> bytes:
    if len(token) < MIN_TOKEN:
        raise HandshakeError(f"a token of {len(token)} bytes is too short to keep anybody out")
    return token


def _mismatch(theirs: int) -> HandshakeError:
    where = "here" if theirs > PROTOCOL_VERSION else "on the other side"
    return HandshakeError(
        f"the other side speaks version {theirs} of nbcluster's protocol, this side version {PROTOCOL_VERSION}: "
        f"upgrade the package nbcluster {where}",
        theirs=theirs,
        ours=PROTOCOL_VERSION,
    )


class ConnectorHandshake:
    """The connecting side: send :meth:`begin`, then feed it exactly what it wants until it wants nothing.

    Args:
        role: what this side is to the listener.
        token: the cluster's token.
    """

    def __init__(self, role: Role, token: bytes) -> None:
        self.role = role
        self._token = _check_token(token)
        self._nonce = secrets.token_bytes(_NONCE)
        self.has_begun = False
        """Somebody has asked for the first bytes, to send them."""
        self.wanted = _CHALLENGE.size
        """Bytes that :meth:`feed` expects next; 0 when the handshake has succeeded."""

    def begin(self) -> bytes:
        """The first bytes on the link."""
        self.has_begun = True
        return _HELLO.pack(MAGIC, PROTOCOL_VERSION, _ROLES.index(self.role), self._nonce)

    def feed(self, record: bytes) -> bytes:
        """Take the next ``wanted`` bytes; return what is to be sent.

        Raises:
            HandshakeError: the link is of no use; the text says why.
        """
        if len(record) != self.wanted:
            raise HandshakeError(f"{self.wanted} bytes were wanted, not {len(record)}")
        if len(record) == _CHALLENGE.size:
            return self._answer(record)
        if record[0] != Verdict.ACCEPTED:
            raise self._refused(record[0])
        self.wanted = 0
        return b""

    def _answer(self, record: bytes) -> bytes:
        magic, version, verdict, nonce, proof = _CHALLENGE.unpack(record)
        if magic != MAGIC:
            raise HandshakeError("what listens there is not nbcluster")
        if version != PROTOCOL_VERSION:
            raise _mismatch(version)
        if verdict != Verdict.ACCEPTED:
            raise self._refused(verdict)
        role = _ROLES.index(self.role)
        if not hmac.compare_digest(proof, _prove(self._token, b"listener", role, self._nonce, nonce)):
            raise HandshakeError("the cluster that listens there has another token: it is not the one that was meant")
        self.wanted = _VERDICT.size
        return _prove(self._token, b"connector", role, self._nonce, nonce)

    def _refused(self, verdict: int) -> HandshakeError:
        if verdict == Verdict.WRONG_ROLE:
            return HandshakeError(f"what listens there does not talk to a {self.role}")
        if verdict == Verdict.WRONG_TOKEN:
            return HandshakeError("the token was refused")
        return HandshakeError(f"the connection was refused for a reason unknown here ({verdict})")


class ListenerHandshake:
    """The listening side: feed it exactly what it wants until it wants nothing.

    ``refusal`` tells a failed handshake's outcome to the connector; the shell sends it, late, and then drops the link.

    Args:
        roles: who may connect.
        token: the cluster's token.
    """

    def __init__(self, roles: Collection[Role], token: bytes) -> None:
        self._roles = roles
        self._token = _check_token(token)
        self._nonce = secrets.token_bytes(_NONCE)
        self._expected = b""
        self._role: Role | None = None
        self.wanted = _HELLO.size
        """Bytes that :meth:`feed` expects next; 0 when the handshake has succeeded."""
        self.refusal = b""

    @property
    def role(self) -> Role:
        """What the connector is; known when the handshake has succeeded."""
        if self.wanted or self._role is None:
            raise HandshakeError("the connector has not proved anything yet")
        return self._role

    def feed(self, record: bytes) -> bytes:
        """Take the next ``wanted`` bytes; return what is to be sent.

        Raises:
            HandshakeError: the connector is to be refused; the text is for the log.
        """
        if len(record) != self.wanted:
            raise HandshakeError(f"{self.wanted} bytes were wanted, not {len(record)}")
        if self._role is None:
            return self._challenge(record)
        expected, self._expected = self._expected, b""  # there is one try
        if not hmac.compare_digest(record, expected):
            self.refusal = _VERDICT.pack(Verdict.WRONG_TOKEN)
            raise HandshakeError(f"a {self._role} came with a wrong token")
        self.wanted = 0
        return _VERDICT.pack(Verdict.ACCEPTED)

    def _challenge(self, record: bytes) -> bytes:
        magic, version, role, nonce = _HELLO.unpack(record)
        if magic != MAGIC:
            raise HandshakeError("somebody connected who is not nbcluster")
        if version != PROTOCOL_VERSION:
            self.refusal = self._refuse(Verdict.WRONG_VERSION)
            raise _mismatch(version)
        if role >= len(_ROLES) or _ROLES[role] not in self._roles:
            self.refusal = self._refuse(Verdict.WRONG_ROLE)
            raise HandshakeError(f"role {role} has no business here")
        self._role = _ROLES[role]
        self._expected = _prove(self._token, b"connector", role, nonce, self._nonce)
        self.wanted = _PROOF.size
        proof = _prove(self._token, b"listener", role, nonce, self._nonce)
        return _CHALLENGE.pack(MAGIC, PROTOCOL_VERSION, Verdict.ACCEPTED, self._nonce, proof)

    @staticmethod
    def _refuse(verdict: Verdict) -> bytes:
        return _CHALLENGE.pack(MAGIC, PROTOCOL_VERSION, verdict, bytes(_NONCE), bytes(32))
