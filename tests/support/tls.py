"""TLS credentials for tests: an authority of their own, and a certificate that it signed for this machine."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class Contexts(NamedTuple):
    """What each side of a connection needs; both verify the other."""

    listener: ssl.SSLContext
    connector: ssl.SSLContext


def make_contexts(directory: Path) -> Contexts:
    """Make a new authority and a certificate; the files are needed only until this returns."""
    now = datetime.datetime.now(datetime.timezone.utc)
    hour = datetime.timedelta(hours=1)

    def certificate(name: str, public_key: ec.EllipticCurvePublicKey, issuer: str) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - hour)
            .not_valid_after(now + hour)
        )

    authority_key = ec.generate_private_key(ec.SECP256R1())
    authority = (
        certificate("test authority", authority_key.public_key(), "test authority")
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    key = ec.generate_private_key(ec.SECP256R1())
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    own = (
        certificate("localhost", key.public_key(), "test authority")
        .add_extension(names, critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (directory / "authority.pem").write_bytes(authority.public_bytes(pem))
    (directory / "own.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()) + own.public_bytes(pem)
    )
    listener = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    connector = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for context in (listener, connector):
        context.load_verify_locations(directory / "authority.pem")
        context.load_cert_chain(directory / "own.pem")
        context.verify_mode = ssl.CERT_REQUIRED
    return Contexts(listener, connector)
