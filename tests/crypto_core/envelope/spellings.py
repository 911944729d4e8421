"""Spellings of v1 values, drawn, and the platform's published reader, which decides whether one opens."""

from __future__ import annotations

import base64
from random import Random

HEADER = bytes.fromhex("0102030078")
WORDS = (b"v1", b"v1", b"v1", b"v0", b"V1", b"v1 ", b"", b"v2", b"vb", b"dev", b"ghp_x", b"\xffz", b"\\012")
FOREIGN = (
    *(b"\n", b"\r\n", b" ", b"\t", b"\x0b", b"\0", b"-", b"_", b".", b"!", b"%", b"~", b"\\", b'"', b"'"),
    *(b"=", b"==", b"|", b"\xff", "é".encode(), "\ufeff".encode(), "\u200b".encode(), "A".encode("utf-16")),
)


def published_fields(value: bytes) -> tuple[bytes, bytes, bytes] | None:
    """EDK, nonce and ciphertext with which the published reader calls KMS and AES-GCM; None for its error."""
    try:
        _, *parts = base64.b64decode(value).split(b"|")
        edk, nonce, ciphertext = map(base64.b64decode, parts)
    except ValueError:
        return None
    return (edk, nonce, ciphertext) if edk and len(nonce) == 12 and len(ciphertext) > 16 else None


def drawn_value(random: Random, edk_header: bytes = b"") -> bytes:
    """A v1 value, or nearly one, spelt somehow."""
    header = edk_header or HEADER + random.randbytes(32)
    edk = header + random.randbytes(random.choice((147, 148, 149)))
    if random.random() < 0.1:
        edk = random.randbytes(random.choice((0, 1, 2, 40)))
    nonce = random.randbytes(random.choice((*[12] * 12, 0, 11, 13)))
    ciphertext = random.randbytes(random.choice((16, 17, 18, 19, 56, 57, 58, 300)))
    fields = [base64.b64encode(content) for content in (edk, nonce, ciphertext)]
    fields = [_respelt(random, field) if random.random() < 0.3 else field for field in fields]
    if random.random() < 0.1:
        random.choice((fields.pop, lambda: fields.append(b"x")))()
    value = _respelt(random, base64.b64encode(b"|".join((random.choice(WORDS), *fields))))
    return value.decode("latin-1").encode("utf-16") if random.random() < 0.03 else value


def respelt_value(random: Random, stored: str) -> bytes:
    """An envelope that is spelt otherwise, or not at all any more, under some version word."""
    _, *fields = base64.b64decode(stored).split(b"|")
    fields = [_respelt(random, field) if random.random() < 0.3 else field for field in fields]
    return _respelt(random, base64.b64encode(b"|".join((random.choice(WORDS), *fields))))


def stored_text(value: bytes) -> str:
    """A value as Keydeck reads it from a column of bytea: bytes that are no text are in hex."""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        text = "\0"
    return f"\\x{value.hex()}" if "\0" in text else text


def _respelt(random: Random, value: bytes) -> bytes:
    for _ in range(random.choice((0, 1, 1, 2))):
        place = random.randrange(len(value) + 1)
        match random.randrange(9):
            case 0:
                width, end = random.choice((76, 64, 38, 5, 4)), random.choice((b"\n", b"\r\n", b" "))
                value = end.join(value[n : n + width] for n in range(0, len(value), width))
            case 1:
                value += random.choice((b"\n", b"=", b"==", b"====", b"A", b"AAAA", b"=AAA", b" "))
            case 2:
                value = value.rstrip(b"=")
            case 3:
                value = value.replace(b"+", b"-").replace(b"/", b"_")
            case 4:
                value = random.choice(FOREIGN) + value
            case 5:
                value = value[:place] + value[place + 1 :]
            case 6:
                value = value[: place % 5] + b"=" + value[place % 5 :]
            case _:
                value = value[:place] + random.choice(FOREIGN) + value[place:]
    return value
