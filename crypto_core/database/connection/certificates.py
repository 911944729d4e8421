"""Why a server's certificate can't be verified: libpq says only that it can't.

So the certificate is looked at once more, with Python's TLS, which gives OpenSSL's reason.
PostgreSQL documentation, section 54.2.10, "SSL Session Encryption" (SSLRequest).
"""

from __future__ import annotations

import re
import socket
import ssl
import struct
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from crypto_core.text.cleaning import clean

_SECONDS = 3.0
_SSL_REQUEST = struct.pack("!ii", 8, 80877103)
_NOT_VERIFIED = re.compile(
    r'connection to server at "(?P<host>[^"]+)"[^,]*, port (?P<port>\d+) failed:.*certificate verify failed'
)


def verification_failures(lines: Sequence[str], authorities: str | None) -> list[str]:
    """Return OpenSSL's reason for each server of libpq's lines whose certificate it could not verify.

    `authorities` is the URL's sslrootcert. Raises nothing.
    """
    servers = [found for line in lines if (found := _NOT_VERIFIED.search(line))]
    with suppress(OSError, ValueError, RuntimeError):  # no such file, or no home
        context = _context(authorities)
        reasons = (_reason(context, found["host"], int(found["port"])) for found in servers)
        return [reason for reason in reasons if reason]
    return []


def _context(authorities: str | None) -> ssl.SSLContext:
    own = str(Path.home() / ".postgresql" / "root.crt") if authorities is None else authorities
    context = ssl.create_default_context(cafile=None if own == "system" else own)
    # libpq looks at the host's name itself, and at no form of certificates beyond OpenSSL's own.
    context.check_hostname = False
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def _reason(context: ssl.SSLContext, host: str, port: int) -> str:
    with suppress(OSError), socket.create_connection((host, port), _SECONDS) as plain:
        plain.sendall(_SSL_REQUEST)
        if plain.recv(1) == b"S":
            try:
                context.wrap_socket(plain, server_hostname=host).close()
            except ssl.SSLCertVerificationError as error:
                return clean(error.verify_message, 200)
    return ""
