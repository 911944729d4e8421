"""One TLS handshake with a server, and what it came to. Nothing is sent through it."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from time import monotonic

from crypto_core.algorithms.certificate import CertificateFact, read_certificate
from crypto_core.algorithms.server_hello import group_of
from crypto_core.text.cleaning import clean

TIMEOUT_SECONDS = 3.0
_MOST_BYTES = 262_144
"""A server that sends more before the handshake ends is given up."""
_HEAD = 65_536


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
