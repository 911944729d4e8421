"""One TLS handshake with a server, what it came to, and its certificate. Nothing is sent through it.

Python's ssl tells protocol and cipher, but before 3.15 not the group. The server's first messages have it in
clear: those of TLS 1.3 in ServerHello's key_share (RFC 8446, 4.2.8), of earlier versions in ServerKeyExchange
(RFC 8422, 5.4).
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from time import monotonic
from typing import TYPE_CHECKING

from crypto_core.values.clean_text import CleanText, clean, cleans

if TYPE_CHECKING:
    from cryptography.x509 import Certificate


@dataclass(frozen=True, slots=True)
@cleans(300)
class CertificateFact:
    """One certificate. Keys' sizes are in bits, `key_classical_bits` is the key's strength (SP 800-57).

    `key` is the key's algorithm, `signature` the one that the authority signed with, `signature_oid` its
    object identifier; `sha256` is the fingerprint of the whole certificate, in hexadecimal digits.
    """

    subject: CleanText
    issuer: CleanText
    serial: CleanText
    key: CleanText
    key_bits: int | None
    key_classical_bits: int | None
    signature: CleanText
    signature_oid: CleanText
    not_before: datetime
    not_after: datetime
    sha256: CleanText


def read_certificate(der: bytes) -> CertificateFact:
    """Return what a certificate says. Raises ValueError for bytes that are none."""
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.x509.oid import SignatureAlgorithmOID

    names = {oid: name for name, oid in vars(SignatureAlgorithmOID).items() if name.isupper()}
    try:
        found = x509.load_der_x509_certificate(der)
        key, bits = _key(found)
        return CertificateFact(
            subject=clean(found.subject.rfc4514_string(), 300),
            issuer=clean(found.issuer.rfc4514_string(), 300),
            serial=clean(f"{found.serial_number:x}", 60),
            key=clean(key),
            key_bits=bits,
            key_classical_bits=_strength(key, bits),
            signature=clean(names.get(found.signature_algorithm_oid, "unknown"), 60),
            signature_oid=clean(found.signature_algorithm_oid.dotted_string, 60),
            not_before=found.not_valid_before_utc,
            not_after=found.not_valid_after_utc,
            sha256=clean(sha256(der).hexdigest()),
        )
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ValueError("the certificate can't be read") from error


def _key(certificate: Certificate) -> tuple[str, int | None]:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

    try:
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return certificate.public_key_algorithm_oid.dotted_string, None
    if isinstance(key, rsa.RSAPublicKey):
        return "RSA", key.key_size
    if isinstance(key, ec.EllipticCurvePublicKey):
        return f"ECDSA {key.curve.name}", key.curve.key_size
    if isinstance(key, ed25519.Ed25519PublicKey):
        return "Ed25519", 256
    return ("Ed448", 456) if isinstance(key, ed448.Ed448PublicKey) else (type(key).__name__, None)


_RSA_STRENGTHS = ((15_360, 256), (7_680, 192), (3_072, 128), (2_048, 112), (1_024, 80))
"""SP 800-57 Part 1 Rev. 5, table 2: from so many bits on."""


def _strength(key: str, bits: int | None) -> int | None:
    if bits is None:
        return None
    if key == "RSA":
        return next((strength for least, strength in _RSA_STRENGTHS if bits >= least), 0)
    return min(bits // 2, 256)


GROUPS = {
    23: "secp256r1",
    24: "secp384r1",
    25: "secp521r1",
    29: "x25519",
    30: "x448",
    256: "ffdhe2048",
    257: "ffdhe3072",
    258: "ffdhe4096",
    512: "MLKEM512",
    513: "MLKEM768",
    514: "MLKEM1024",
    4587: "SecP256r1MLKEM768",
    4588: "X25519MLKEM768",
    4589: "SecP384r1MLKEM1024",
}
"""By number (IANA, "TLS Supported Groups")."""

_HANDSHAKE, _CHANGE_CIPHER = 22, 20
_SERVER_HELLO, _SERVER_KEY_EXCHANGE = 2, 12
_KEY_SHARE, _NAMED_CURVE = 51, 3
_VERSION_AND_RANDOM = 34

TIMEOUT_SECONDS = 3.0
_MOST_BYTES = 262_144
"""A server that sends more before the handshake ends is given up."""
_HEAD = 65_536


def group_of(answer: bytes) -> str | None:
    """Return the group in what a server sent first, "group N" for an unknown one; None if it names none.

    Of a HelloRetryRequest it is the group that is asked for, which is that of the ServerHello to come. Raises
    nothing, whatever the bytes are.
    """
    for kind, body in _messages(answer):
        number = _in_server_hello(body) if kind == _SERVER_HELLO else _in_key_exchange(kind, body)
        if number is not None:
            return GROUPS.get(number, f"group {number}")
    return None


def _messages(answer: bytes) -> Iterator[tuple[int, bytes]]:
    clear, rest = bytearray(), memoryview(answer)
    while len(rest) >= 5 and rest[0] in (_HANDSHAKE, _CHANGE_CIPHER):
        end = 5 + int.from_bytes(rest[3:5])
        if rest[0] == _HANDSHAKE:
            clear += rest[5:end]
        rest = rest[end:]
    while len(clear) >= 4 and len(clear) >= (end := 4 + int.from_bytes(clear[1:4])):
        yield clear[0], bytes(clear[4:end])
        del clear[:end]


def _in_server_hello(body: bytes) -> int | None:
    at = _VERSION_AND_RANDOM
    if len(body) <= at:
        return None
    at += 1 + body[at] + 3  # session id, cipher suite, compression
    extensions = memoryview(body)[at + 2 :]
    while len(extensions) >= 4:
        end = 4 + int.from_bytes(extensions[2:4])
        if int.from_bytes(extensions[:2]) == _KEY_SHARE and end >= 6 and len(extensions) >= 6:
            return int.from_bytes(extensions[4:6])
        extensions = extensions[end:]
    return None


def _in_key_exchange(kind: int, body: bytes) -> int | None:
    if kind != _SERVER_KEY_EXCHANGE or len(body) < 3 or body[0] != _NAMED_CURVE:
        return None
    return int.from_bytes(body[1:3])


@dataclass(frozen=True, slots=True)
class Handshake:
    """What client and server agreed on. `group` is None where the server named none in clear."""

    protocol: str
    cipher: str
    cipher_bits: int
    group: str | None
    certificate: CertificateFact | None


class HandshakeError(Exception):
    """There was no handshake; the text says why."""


def shake_hands(host: str, port: int, context: ssl.SSLContext, timeout: float = TIMEOUT_SECONDS) -> Handshake:
    """Return what a handshake came to. Takes `timeout` seconds at most for the whole of it.

    Raises HandshakeError for a server that does not answer, speaks no TLS or isn't who it should be.
    """
    deadline = monotonic() + timeout
    try:
        with socket.create_connection((host, port), timeout) as connection:
            return _Client(connection, context, host, deadline).handshake()
    except ssl.SSLCertVerificationError as error:
        raise HandshakeError(f"certificate not accepted: {clean(error.verify_message, 200)}") from error
    except ssl.SSLError as error:
        raise HandshakeError(f"no TLS: {clean(error.reason or error, 200)}") from error
    except TimeoutError as error:
        raise HandshakeError("no answer in time") from error
    except (OSError, ValueError) as error:
        raise HandshakeError(
            f"not reached: {clean(getattr(error, 'strerror', None) or error, 200)}"
        ) from error


class _Client:
    """A client whose incoming bytes can be read: Python's own socket hides them."""

    def __init__(
        self, connection: socket.socket, context: ssl.SSLContext, host: str, deadline: float
    ) -> None:
        self._connection = connection
        self._deadline = deadline
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        self._seen = bytearray()
        self._received = 0

    def handshake(self) -> Handshake:
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._exchange()
            else:
                break
        self._send()
        cipher = self._tls.cipher()
        name, _, bits = cipher if cipher is not None else ("", "", 0)
        protocol = self._tls.version() or ""
        return Handshake(protocol, name, bits, group_of(bytes(self._seen)), self._certificate())

    def _exchange(self) -> None:
        self._send()
        self._connection.settimeout(max(self._deadline - monotonic(), 0.001))
        received = self._connection.recv(_HEAD)
        self._received += len(received)
        if self._received > _MOST_BYTES:
            raise HandshakeError("no TLS: the server sends without end")
        if not received:
            self._incoming.write_eof()
            return
        self._seen += received[: max(_HEAD - len(self._seen), 0)]
        self._incoming.write(received)

    def _send(self) -> None:
        self._connection.settimeout(max(self._deadline - monotonic(), 0.001))
        self._connection.sendall(self._outgoing.read())

    def _certificate(self) -> CertificateFact | None:
        der = self._tls.getpeercert(binary_form=True)
        try:
            return read_certificate(der) if der else None
        except ValueError:
            return None
