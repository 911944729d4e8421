"""The key exchange that a TLS server chose, from the clear part of its answer.

Python's ssl tells protocol and cipher, but before 3.15 not the group. The server's first messages have it in
clear: those of TLS 1.3 in ServerHello's key_share (RFC 8446, 4.2.8), of earlier versions in ServerKeyExchange
(RFC 8422, 5.4).
"""

from __future__ import annotations

from collections.abc import Iterator

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
    """The whole handshake messages before anything that is encrypted."""
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
