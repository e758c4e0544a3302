"""Who a party of an encrypted cluster is: what it shows to others, and by what it knows them."""

from __future__ import annotations

from nbcluster.protocol.records import Record


class TlsIdentity(Record, frozen=True):
    """Certificates and a key as PEM texts. It travels in memory only; what it shows of itself is no secret."""

    authority: str
    """The certificates by which others are known."""
    certificate: str
    key: str
    """Empty if ``certificate`` has it at its end."""
    ciphers: str = ""
    """In OpenSSL's notation; empty: the system's own choice."""
    oldest: int = 0x0303
    """The oldest version of TLS, as in ``ssl.TLSVersion``."""
    newest: int = 0
    """0: whatever both sides know."""

    def __repr__(self) -> str:
        return "TlsIdentity(…)"


class TlsIdentities(Record, frozen=True):
    """What a cluster needs to encrypt its connections."""

    scheduler: TlsIdentity
    worker: TlsIdentity
    client: TlsIdentity | None = None
    """For clients that show by other means that they are this user's."""
