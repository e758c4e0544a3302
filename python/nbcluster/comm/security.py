"""``Security``: with what certificates a cluster's connections are encrypted."""

from __future__ import annotations

import datetime
import ssl
from pathlib import Path
from typing import Any

from nbcluster.comm import tls_contexts
from nbcluster.comm.credentials import read_token_file
from nbcluster.protocol.tls import TlsIdentities, TlsIdentity

ROLES = ("client", "scheduler", "worker")
_VERSIONS = (None, ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
VALID_DAYS = 365


class Security:
    """How the connections of a cluster are encrypted. The cluster's own secret is asked for on top of it.

    Args:
        require_encryption: encrypt every connection; by default if any credentials are given.
        tls_ca_file: certificates of the authority by which all parties know each other.
        tls_scheduler_cert, tls_worker_cert, tls_client_cert: each party's certificate.
        tls_scheduler_key, tls_worker_key, tls_client_key: each party's key; may be left out if the file of its
            certificate has the key too.
        tls_ciphers: allowed ciphers in OpenSSL's notation.
        tls_min_version: an ``ssl.TLSVersion``, TLS 1.2 (the default) or 1.3.
        tls_max_version: the same; by default whatever both sides know.
        token_file: a file that only you may read, with the 64 hexadecimal digits of the cluster's secret: for a cluster
            and its clients and workers on several machines, each with its copy. Not needed on one machine.

    Each credential is the path of a file in PEM format, or its text.

    Raises:
        TypeError, ValueError: names the argument, its value and what is allowed.

    Example:
        >>> security = Security(tls_ca_file="ca.pem", tls_scheduler_cert="s.pem", tls_worker_cert="w.pem")
        >>> security.require_encryption
        True
    """

    __slots__ = (
        "require_encryption",
        "tls_ca_file",
        "tls_ciphers",
        "tls_client_cert",
        "tls_client_key",
        "tls_max_version",
        "tls_min_version",
        "tls_scheduler_cert",
        "tls_scheduler_key",
        "tls_worker_cert",
        "tls_worker_key",
        "token_file",
    )

    require_encryption: bool
    tls_ca_file: str | None
    tls_ciphers: str | None
    tls_min_version: ssl.TLSVersion
    tls_max_version: ssl.TLSVersion | None
    token_file: str | None

    def __init__(self, require_encryption: bool | None = None, **credentials: Any) -> None:
        known = [name for name in self.__slots__ if name != "require_encryption"]
        unknown = sorted(set(credentials) - set(known))
        if unknown:
            raise TypeError(f"Unknown parameters: {unknown!r}; Security takes require_encryption, {', '.join(known)}")
        if require_encryption is not None and not isinstance(require_encryption, bool):
            raise TypeError(f"require_encryption={require_encryption!r} is neither True nor False")
        for name, value in credentials.items():
            if name.endswith("_version"):
                if value not in _VERSIONS:
                    raise ValueError(f"{name}={value!r} is not supported, expected one of {list(_VERSIONS)}")
            elif value is not None and not isinstance(value, (str, Path)):
                raise TypeError(f"{name}={type(value).__name__} is not a path or text; give the path of a PEM file")
        if require_encryption is None:
            require_encryption = any(value is not None for value in credentials.values())
        self.require_encryption = require_encryption
        for name in known:
            value = credentials.get(name)
            setattr(self, name, str(value) if isinstance(value, Path) else value)
        self.tls_min_version = credentials.get("tls_min_version") or ssl.TLSVersion.TLSv1_2

    @classmethod
    def temporary(cls, **credentials: Any) -> Security:
        """New credentials for all parties of one cluster: a key, and a certificate that is its own authority.

        The key is of 2,048 bits (RSA). They are valid for a year and exist in memory only.

        Args:
            credentials: as for ``Security``.
        """
        certificate, key = _self_signed()
        made = {f"tls_{role}_{part}": text for role in ROLES for part, text in (("cert", certificate), ("key", key))}
        return cls(**{"require_encryption": True, "tls_ca_file": certificate, **made, **credentials})

    # --- for connections ---

    def get_tls_config_for_role(self, role: str) -> dict[str, str | None]:
        """The credentials of a party, ``"client"``, ``"scheduler"`` or ``"worker"``, as they were given."""
        if role not in ROLES:
            raise ValueError(f"role={role!r} is unknown; there are {', '.join(ROLES)}")
        certificate, key = getattr(self, f"tls_{role}_cert"), getattr(self, f"tls_{role}_key")
        return {"ca_file": self.tls_ca_file, "ciphers": self.tls_ciphers, "cert": certificate, "key": key}

    def get_connection_args(self, role: str) -> dict[str, Any]:
        """What a party of this role connects with; ``"ssl_context"`` is None if it has no certificate."""
        identity = self.identity(role)
        context = None if identity is None else tls_contexts.connecting(identity)
        return {"ssl_context": context, "require_encryption": self.require_encryption, "extra_conn_args": {}}

    def get_listen_args(self, role: str) -> dict[str, Any]:
        """What a party of this role listens with; ``"ssl_context"`` is None if it has no certificate."""
        identity = self.identity(role)
        context = None if identity is None else tls_contexts.listening(identity)
        return {"ssl_context": context, "require_encryption": self.require_encryption}

    def identity(self, role: str) -> TlsIdentity | None:
        """The credentials of a party, read; None if it has no certificate.

        Raises:
            ValueError: a file cannot be read; names the argument.
        """
        given = self.get_tls_config_for_role(role)
        if not (given["ca_file"] and given["cert"]):
            return None
        return TlsIdentity(
            _text("tls_ca_file", given["ca_file"]),
            _text(f"tls_{role}_cert", given["cert"]),
            _text(f"tls_{role}_key", given["key"]),
            given["ciphers"] or "",
            int(self.tls_min_version),
            int(self.tls_max_version or 0),
        )

    def identities(self) -> TlsIdentities:
        """What a cluster needs.

        Raises:
            ValueError: something is missing or cannot be used; names the argument.
        """
        scheduler, worker = self.identity("scheduler"), self.identity("worker")
        if scheduler is None or worker is None:
            needed = ("tls_ca_file", "tls_scheduler_cert", "tls_worker_cert")
            missing = ", ".join(name for name in needed if not getattr(self, name))
            raise ValueError(f"security={self!r} cannot encrypt: it lacks {missing}; give them, or security=True")
        tls_contexts.listening(scheduler)
        tls_contexts.listening(worker)
        return TlsIdentities(scheduler, worker, self.identity("client"))

    @property
    def token(self) -> bytes | None:
        """The cluster's secret, if it is in a ``token_file``.

        Raises:
            CommError: the file has none, or is not this user's alone.
        """
        return None if self.token_file is None else read_token_file(Path(self.token_file))

    # --- how it looks ---

    def _shown(self) -> dict[str, str]:
        shown = {}
        for name in sorted(self.__slots__):
            value = getattr(self, name)
            if isinstance(value, str) and "\n" in value:
                shown[name] = "Temporary (In-memory)"
            elif isinstance(value, str) and name != "tls_ciphers":
                shown[name] = f"Local ({Path(value).absolute()})"
            elif isinstance(value, ssl.TLSVersion):
                shown[name] = value.name
            elif value is not None:
                shown[name] = str(value)
        return shown

    def __repr__(self) -> str:
        return f"Security({', '.join(f'{name}={value}' for name, value in self._shown().items())})"

    def _repr_html_(self) -> str:
        from html import escape  # only here: no scheduler and no worker needs its tables

        rows = "".join(
            f"<tr><th style='text-align:left'>{escape(name)}</th><td>{escape(value)}</td></tr>"
            for name, value in self._shown().items()
        )
        return f"<b>Security</b><table>{rows}</table>"


def security_of_cluster(value: object) -> Security | None:
    """What ``security`` may be for a cluster. Raises ``TypeError`` for anything else."""
    if value is None or isinstance(value, Security):
        return value
    if value is True:
        return Security.temporary()
    raise TypeError(
        f"security must be a Security object, or True for temporary credentials; security={value!r} is neither"
    )


def security_of_client(value: object) -> Security | None:
    """What ``security`` may be for a client: that of its cluster (None), or also a dictionary of credentials."""
    if value is False:
        return None
    if isinstance(value, dict):
        if not all(isinstance(name, str) for name in value):
            raise TypeError(f"security={value!r} is not a dict of Security's arguments by name")
        return Security(**value)
    return security_of_cluster(value)


def _text(name: str, value: str | None) -> str:
    if value is None or "\n" in value:
        return value or ""
    try:
        return Path(value).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{name}={value!r} cannot be read: {error}") from error


def _self_signed() -> tuple[str, str]:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives import serialization as s
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "nbcluster")])
    now = datetime.datetime.now(tz=datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("nbcluster")]), critical=False)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))  # clocks of several machines differ
        .not_valid_after(now + datetime.timedelta(days=VALID_DAYS))
        .sign(key, hashes.SHA256())
    )
    text = key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption()).decode()
    return certificate.public_bytes(s.Encoding.PEM).decode(), text
