"""From certificates and keys as texts to what the ``ssl`` module works with.

Both sides show a certificate and check the other's (``CERT_REQUIRED``). Names in certificates are not compared: people
use addresses, and whoever has a certificate of the cluster's own authority belongs to it.
"""

from __future__ import annotations

import os
import re
import secrets
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nbcluster.protocol.tls import TlsIdentity

_KEY = re.compile(r"-----BEGIN ([A-Z ]*)PRIVATE KEY-----.*?-----END \1PRIVATE KEY-----\n?", re.DOTALL)


def connecting(identity: TlsIdentity) -> ssl.SSLContext:
    """For who connects.

    Raises:
        ValueError: the certificates or the key are none, or do not belong together.
    """
    return _context(identity, ssl.PROTOCOL_TLS_CLIENT)


def listening(identity: TlsIdentity) -> ssl.SSLContext:
    """For who is connected to.

    Raises:
        ValueError: the certificates or the key are none, or do not belong together.
    """
    return _context(identity, ssl.PROTOCOL_TLS_SERVER)


def _context(identity: TlsIdentity, protocol: ssl._SSLMethod) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    context.minimum_version = ssl.TLSVersion(identity.oldest)
    if identity.newest:
        context.maximum_version = ssl.TLSVersion(identity.newest)
    try:
        context.load_verify_locations(cadata=identity.authority)
        _load_chain(context, identity.certificate, identity.key)
        if identity.ciphers:
            context.set_ciphers(identity.ciphers)
    except ssl.SSLError as error:
        raise ValueError(f"these TLS credentials cannot be used: {error}") from error
    return context


def _load_chain(context: ssl.SSLContext, certificate: str, key: str) -> None:
    """``ssl`` reads keys from files only. Where there is no file in memory, it gets one that is encrypted."""
    text = f"{certificate.rstrip()}\n{key}".encode()
    if hasattr(os, "memfd_create"):
        with _memory_file(text) as path:
            context.load_cert_chain(path)
        return
    password = secrets.token_hex(32)
    with tempfile.TemporaryDirectory() as directory:
        path = str(Path(directory) / "chain.pem")
        Path(path).write_bytes(_encrypted(text.decode(), password))
        context.load_cert_chain(path, password=password)


@contextmanager
def _memory_file(text: bytes) -> Iterator[str]:
    descriptor = os.memfd_create("nbcluster-tls", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, text)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def _encrypted(text: str, password: str) -> bytes:
    """Certificates and a key in one text, with the key encrypted."""
    from cryptography.hazmat.primitives import serialization as s

    found = _KEY.search(text)
    if found is None:
        raise ValueError("these TLS credentials cannot be used: there is no key among them")
    key = s.load_pem_private_key(found[0].encode(), password=None)
    best = s.BestAvailableEncryption(password.encode())
    return _KEY.sub("", text).encode() + key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, best)
