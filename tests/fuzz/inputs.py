"""Known good values, the seeds made of them, and mutation that gets behind the base64.

A mutated base64 text is almost never base64 any more, so plain mutation tests one refusal over and over. Here
a stored value is taken apart, one of its fields or the way it is written is changed, and it is put together
again.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator
from random import Random

import atheris
from cryptography.fernet import Fernet

from crypto_core.envelope import (
    DEV_KEY,
    MAX_EDK_BYTES,
    MAX_KEY_ARN_BYTES,
    MAX_TOKEN_BYTES,
    NONCE_BYTES,
    TAG_BYTES,
    Format,
    seal,
    serialise,
)
from crypto_core.envelope.fields import encode
from crypto_core.values.references import TokenRef
from crypto_core.values.secret import DataKey, Secret

TOKEN = "github_pat_11ABCDEFG0" + "aB3" * 24
DATA_KEY, OTHER_DATA_KEY = bytes(range(32)), bytes(range(1, 33))
REF, OTHER_REF = (TokenRef("gh_connection", "access_token", f"gh-{number}") for number in (42, 43))
KEY_ARN = "arn:aws:kms:eu-central-1:111122223333:key/0a1b2c3d-0a1b-0a1b-0a1b-0a1b2c3d4e5f"
EDK = bytes.fromhex("0102030078") + bytes(range(70, 249))


def _counted(length: int) -> bytes:
    return bytes(range(7, 7 + length))


V1 = seal(Secret.of(TOKEN), DataKey(DATA_KEY), EDK, entropy=_counted)
V2 = seal(
    Secret.of(TOKEN), DataKey(DATA_KEY), EDK, format_=Format.V2, key_arn=KEY_ARN, ref=REF, entropy=_counted
)
BINDING = "acme-production"
V2_BOUND = seal(
    *(Secret.of(TOKEN), DataKey(DATA_KEY), EDK),
    format_=Format.V2_BOUND,
    key_arn=KEY_ARN,
    ref=REF,
    binding=BINDING,
    entropy=_counted,
)
KNOWN = {Format.V1: V1, Format.V2: V2, Format.V2_BOUND: V2_BOUND}
_FERNET_TOKEN = Fernet(DEV_KEY)._encrypt_from_parts(TOKEN.encode(), 1_760_000_000, _counted(16))
DEV = encode(b"dev|" + _FERNET_TOKEN).decode()

LONGEST_INPUT = 4_096
"""Bytes of an input. Longer fields are built from short inputs."""
MARKS = (b"v1", b"v2", b"vb", b"dev", b"v3", b"V1", b"v1 ", b"")
FIELDS = (*V1.to_fields(), *V2.to_fields(), *V2_BOUND.to_fields())
_BOUNDS = (NONCE_BYTES, TAG_BYTES, 32, 37, 64 + TAG_BYTES, MAX_KEY_ARN_BYTES, MAX_EDK_BYTES)
LENGTHS = tuple(sorted({0, 1, 2, 3, *(bound + beyond for bound in _BOUNDS for beyond in (-1, 0, 1))}))
LONG_LENGTHS = tuple(TAG_BYTES + MAX_TOKEN_BYTES + beyond for beyond in (0, 1, 64, 65))
"""Lengths of a field on both sides of every bound."""

AWKWARD = tuple(
    text.encode("utf-8", "surrogatepass")
    for text in (
        *("\0", "\n", "\x1b[31m", "\x85", "\xad", "\u0661", "\u017f", "\u200b", "\u2028", "\u202e", "\ud800"),
        *("\ufeff", "\ufffd", "\U0001f511", "e\u0301", "|", "=", ":", ".", "/", "alias/", "mrk-", "dev|"),
    )
)
"""Pieces that texts from outside may hold: controls, directions, other scripts' digits, half characters."""


def seeds() -> Iterator[bytes]:
    yield from (*(serialise(known).encode() for known in KNOWN.values()), DEV.encode())
    yield from (TOKEN.encode(), b"xoxb-1-2-abc", b"ATATT3xFfGF0", b"plain", b"")
    yield from (str(REF).encode(), b"jira_connection:7", b"t.c:\x1b[1m\xe2\x80\xae7")
    key_id = KEY_ARN.rpartition("/")[2]
    multi_region = KEY_ARN.replace(key_id, "mrk-" + "0a1b2c3d" * 4)
    alias_arn = KEY_ARN.replace(f"key/{key_id}", "alias/tokens")
    yield from (name.encode() for name in (KEY_ARN, key_id, multi_region, "alias/tokens", alias_arn))
    yield bytes(range(64))


def mutated(data: bytes, max_size: int, seed: int) -> bytes:
    """Return another input of at most `max_size` bytes; its first byte, the target, mostly stays."""
    random = Random(seed)
    changed: bytes | None = None
    choice = random.random()
    if choice < 0.6:
        changed = _rebuilt(data[1:], max_size, random)
    elif choice < 0.7:
        place = random.randint(1, max(len(data), 1))
        changed = data[1:place] + random.choice(AWKWARD) + data[place + random.randint(0, 1) :]
    if changed is None:
        return bytes(atheris.Mutate(data, max_size))
    return (data[:1] + changed)[:max_size]


def _rebuilt(stored: bytes, max_size: int, random: Random) -> bytes | None:
    # None where `stored` can't be taken apart.
    try:
        fields = binascii.a2b_base64(stored).split(b"|")
    except binascii.Error:
        return None
    if random.random() < 0.05:
        return _respelled(stored, random)
    random.choice(_CHANGES)(fields, random.randrange(len(fields)), random)
    rebuilt = encode(b"|".join(fields))
    return rebuilt if len(rebuilt) < max_size else None


def _change_content(fields: list[bytes], place: int, random: Random) -> None:
    # Fernet writes URL-safe base64; a mark isn't base64 and is changed as it stands.
    altchars = b"-_" if fields[0] == b"dev" else b"+/"
    content = fields[place]
    if place:
        try:
            content = base64.b64decode(content, altchars)
        except binascii.Error:
            place = 0
    change = random.choice((_scrambled, _scrambled, _bit_flipped, _resized))
    content = change(content, random)
    fields[place] = base64.b64encode(content, altchars) if place else content


def _change_spelling(fields: list[bytes], place: int, random: Random) -> None:
    fields[place] = _respelled(fields[place], random)


def _change_places(fields: list[bytes], place: int, random: Random) -> None:
    field = fields[place]
    fields[place : place + 1] = random.choice(([], [field, field], [random.choice(fields)], [field, b""]))


def _take_known(fields: list[bytes], place: int, random: Random) -> None:
    fields[place] = encode(random.choice(FIELDS)) if place else random.choice(MARKS)


_CHANGES: tuple[Callable[[list[bytes], int, Random], None], ...] = (
    *(_change_content, _change_content, _change_content),
    *(_change_spelling, _change_places, _take_known),
)


def _scrambled(content: bytes, random: Random) -> bytes:
    return bytes(atheris.Mutate(content, len(content) + 16))


def _bit_flipped(content: bytes, random: Random) -> bytes:
    changed = bytearray(content or b"\0")
    changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)


def _resized(content: bytes, random: Random) -> bytes:
    length = random.choice(LENGTHS)
    return content[:length].ljust(length, b"A")


def _respelled(text: bytes, random: Random) -> bytes:
    # Writes base64 as a lenient reader would still read it.
    place = random.randint(0, len(text))
    foreign = random.choice((b"\n", b" ", b"\0", b"-", b"=", b"\xc3\xa9"))
    return random.choice(
        (
            text.rstrip(b"="),
            text + b"=",
            text + b"====",
            text[:place] + foreign + text[place:],
            text.replace(b"+", b"-").replace(b"/", b"_"),
            _spare_bits_set(text),
        )
    )


def _spare_bits_set(text: bytes) -> bytes:
    digits = text.rstrip(b"=")
    return digits[:-1] + bytes([digits[-1] ^ 1]) + text[len(digits) :] if digits else text
