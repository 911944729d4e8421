"""What is fuzzed, and what must hold for every input.

Each target takes bytes. Beside its own assertions, only a KeydeckError may come out of the code under test,
and where the input is a stored value or a token, that error and everything chained to it must not hold a
piece of the input's content.
"""

from __future__ import annotations

import base64
import binascii
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import TypeVar

import atheris

import crypto_core
from crypto_core.encryption_context import encode as encode_context
from crypto_core.encryption_context import encryption_context
from crypto_core.envelope import (
    DEV_KEY,
    VERSIONS,
    Envelope,
    Format,
    classify,
    open_dev,
    open_envelope,
    parse,
    seal,
    serialise,
)
from crypto_core.envelope.fields import encode
from crypto_core.errors import (
    AuthenticationFailedError,
    KeydeckError,
    MalformedEnvelopeError,
    MissingReferenceError,
    UnsupportedFormatError,
)
from crypto_core.foreign import clean
from crypto_core.key_names import is_key_arn, parse_key_name, region_of, same_key, short_key
from crypto_core.references import TokenRef, parse_reference
from crypto_core.secret import DataKey, Secret
from tests.fuzz.inputs import (
    DATA_KEY,
    DEV,
    FIELDS,
    KEY_ARN,
    KNOWN,
    LENGTHS,
    LONG_LENGTHS,
    MARKS,
    OTHER_DATA_KEY,
    OTHER_REF,
    REF,
    TOKEN,
)

T = TypeVar("T")

SLICE = 12
"""Bytes of hidden content in a row that no error may hold."""
_BETWEEN = b"\xff" * SLICE
_HOME = Path(crypto_core.__file__).parent


# What must hold for every error


def attempt(
    operation: Callable[[], T], hidden: Callable[[], Iterator[bytes]] | None = None, *, named: str = ""
) -> T | KeydeckError:
    """Return what `operation` returns, or the error of ours that it raises.

    The error must hold nothing of what is `hidden`; `named` is what the caller named, which it may repeat.
    """
    try:
        return operation()
    except KeydeckError as error:
        if hidden is not None:
            require_silent(error, hidden(), named.encode("utf-8", "surrogatepass"))
        return error


def require_silent(error: BaseException, hidden: Iterator[bytes], named: bytes) -> None:
    """Assert that neither the error nor what is chained to it holds 12 bytes in a row of what is hidden."""
    content = _BETWEEN.join(hidden)
    for piece in _pieces_told(tuple(_told(error))):
        assert piece not in content or piece in named, f"an error tells {piece!r}"


def _told(error: BaseException | None) -> Iterator[str]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield str(error)
        yield from map(str, error.args)
        yield from map(str, vars(error).values())
        error = error.__cause__ or error.__context__


@lru_cache(maxsize=4096)
def _pieces_told(texts: tuple[str, ...]) -> frozenset[bytes]:
    # Errors are few and inputs many, so what an error may say anyway is taken out once.
    pieces: set[bytes] = set()
    for text in texts:
        pieces |= _pieces(text.encode("utf-8", "surrogatepass"))
    return frozenset(pieces - _OWN_WORDS)


def _pieces(text: bytes) -> set[bytes]:
    return {text[start : start + SLICE] for start in range(len(text) - SLICE + 1)}


_OWN_WORDS = _pieces(str(REF).encode())
for _module in (*_HOME.glob("*.py"), *_HOME.glob("envelope/*.py")):
    _OWN_WORDS |= _pieces(_module.read_bytes())
"""What errors may say: the product's own words, and the reference of the known envelopes."""


def _contents(stored: str) -> Iterator[bytes]:
    # A stored value, what it decodes to, its fields, and what those decode to, as bytes are shown too.
    text = stored.encode("utf-8", "surrogatepass")
    yield text
    for field in _leniently_decoded(text).split(b"|"):
        content = _leniently_decoded(field)
        yield from (field, content, repr(content).encode(), content.hex().encode())


def _leniently_decoded(text: bytes) -> bytes:
    try:
        return binascii.a2b_base64(text)
    except binascii.Error:
        return b""


# Stored values


def stored_value(payload: bytes) -> None:
    """Any text as a stored value: classify, parse, serialise, open."""
    check_stored(_text(payload))


def built_value(payload: bytes) -> None:
    """A stored value built from fields: literal, known, known but damaged, or of a length near a bound."""
    provider = atheris.FuzzedDataProvider(payload)
    mark = _pick(provider, MARKS)
    fields = [_field(provider) for _ in range(provider.ConsumeIntInRange(2, 5))]
    stored = encode(b"|".join((mark, *map(encode, fields)))).decode()
    parsed = check_stored(stored)
    version = next((v for v in VERSIONS.values() if v.format.encode() == mark), None)
    if version is not None and len(fields) == len(version.field_names):
        made = attempt(lambda: version.from_fields(*fields), lambda: iter(fields))
        assert isinstance(made, KeydeckError) == isinstance(parsed, KeydeckError), (
            "parse and from_fields differ"
        )
        assert isinstance(made, KeydeckError) or made == parsed


def check_stored(stored: str) -> Envelope | KeydeckError:
    """Assert everything that holds for a stored value; return what `parse` returned or raised."""
    format_ = classify(stored).format
    parsed = attempt(lambda: parse(stored), lambda: _contents(stored))
    if isinstance(parsed, KeydeckError):
        expected = MalformedEnvelopeError if format_ in VERSIONS else UnsupportedFormatError
        assert type(parsed) is expected, f"{format_} is refused as {type(parsed).__name__}"
        return parsed
    assert parsed.format is format_, "parse and classify differ"
    assert serialise(parsed) == stored, "two spellings of one envelope are read"
    assert _canonical(stored), "base64 that isn't canonical is read"
    assert all(content.hex() not in repr(parsed) for _, content in parsed.parts())
    assert parsed.edk_prefix is None or parsed.encrypted_data_key.startswith(parsed.edk_prefix)
    _check_opening(parsed, stored)
    return parsed


def _check_opening(envelope: Envelope, stored: str) -> None:
    known = KNOWN[envelope.format]

    def opened(key: bytes, ref: TokenRef | None) -> Secret | KeydeckError:
        return attempt(lambda: open_envelope(envelope, DataKey(key), ref), lambda: _contents(stored))

    token = opened(DATA_KEY, REF)
    if isinstance(token, KeydeckError):
        assert type(token) is AuthenticationFailedError
        assert _sealed(envelope) != _sealed(known), "the known envelope doesn't open"
        return
    # KMS authenticates the encrypted data key, so an envelope opens whatever stands there.
    assert _sealed(envelope) == _sealed(known), "an envelope opens that nobody sealed"
    assert token == Secret.of(TOKEN), "an envelope opens to another token"
    assert type(opened(OTHER_DATA_KEY, REF)) is AuthenticationFailedError
    assert type(opened(DATA_KEY[:-1], REF)) is MalformedEnvelopeError
    if envelope.format is Format.V2:
        assert type(opened(DATA_KEY, OTHER_REF)) is AuthenticationFailedError
        assert type(opened(DATA_KEY, None)) is MissingReferenceError


def _sealed(envelope: Envelope) -> list[tuple[str, bytes]]:
    return [part for part in envelope.parts() if part[0] != "encrypted data key"]


def _canonical(stored: str) -> bool:
    fields = base64.b64decode(stored).split(b"|")
    return base64.b64encode(b"|".join(fields)).decode() == stored and all(
        base64.b64encode(base64.b64decode(field)) == field for field in fields[1:]
    )


def dev_value(payload: bytes) -> None:
    """Any text as a value in dev format, or as the development key."""
    text = _text(payload[1:])
    if payload[:1] < b"\x80":
        stored, key, hidden = text, DEV_KEY, text
    else:
        stored, key, hidden = DEV, text, text
    opened = attempt(lambda: open_dev(stored, key), lambda: _contents(hidden))
    assert isinstance(opened, KeydeckError) or opened == Secret.of(TOKEN), (
        "a dev value opens that nobody sealed"
    )


def sealed_value(payload: bytes) -> None:
    """Any token, sealed and opened again."""
    provider = atheris.FuzzedDataProvider(payload)
    format_ = _pick(provider, list(Format))
    ref = REF if provider.ConsumeBool() else TokenRef(*(_piece(provider) for _ in range(3)))
    key_arn = KEY_ARN if provider.ConsumeBool() else _piece(provider)
    edk, key = _field(provider), DATA_KEY if provider.ConsumeBool() else _field(provider)
    text = _text(provider.ConsumeBytes(atheris.ALL_REMAINING))
    hidden = text.encode("utf-8", "surrogatepass"), key
    named = f"{ref} {key_arn}" + clean(ref, 10_000)

    def sealed() -> str:
        with Secret.of(text) as token:
            assert text not in f"{token!r}{token}" or text in "Secret(hidden)"
            return serialise(seal(token, DataKey(key), edk, format_=format_, key_arn=key_arn, ref=ref))

    stored = attempt(sealed, lambda: iter(hidden), named=named)
    if isinstance(stored, KeydeckError):
        return
    envelope = parse(stored)
    assert envelope.encrypted_data_key == edk
    assert open_envelope(envelope, DataKey(key), ref).reveal() == text
    changed = bytes([key[0] ^ 1]) + key[1:]
    refused = attempt(
        lambda: open_envelope(envelope, DataKey(changed), ref), lambda: iter(hidden), named=named
    )
    assert type(refused) is AuthenticationFailedError


# Names and texts


def reference(payload: bytes) -> None:
    """Any text as a token reference, and the encryption context of what it names."""
    text = _text(payload)
    ref = attempt(lambda: parse_reference(text))
    if isinstance(ref, KeydeckError):
        return
    _require_clean(str(ref))
    if not isinstance(ref, TokenRef):
        assert f"{ref.table}:{ref.row_id}" == text
        return
    assert f"{ref.table}.{ref.column}:{ref.row_id}" == text
    context = attempt(lambda: encryption_context(ref))
    if not isinstance(context, KeydeckError):
        assert _decoded_context(encode_context(context)) == context


def context(payload: bytes) -> None:
    """Two references of any texts: their contexts are encoded alike only if they are alike."""
    provider = atheris.FuzzedDataProvider(payload)
    refs = [TokenRef(*(_piece(provider) for _ in range(3))) for _ in range(2)]
    contexts = [attempt(partial(encryption_context, ref)) for ref in refs]
    encoded = [encode_context(c) for c in contexts if not isinstance(c, KeydeckError)]
    if len(encoded) == 2:
        assert (encoded[0] == encoded[1]) == (refs[0] == refs[1]), "two contexts are encoded alike"
        assert _decoded_context(encoded[0]) == contexts[0]


def foreign(payload: bytes) -> None:
    """Any text made safe to show."""
    limit = int.from_bytes(payload[:2])
    text = _text(payload[2:])
    cleaned = clean(text, limit)
    assert len(cleaned) <= limit
    _require_clean(cleaned)
    assert clean(cleaned, limit) == cleaned, "cleaning twice changes more"
    assert text != cleaned or text.isprintable() or not text.isascii()


def key_name(payload: bytes) -> None:
    """Any text as the name of a KMS key."""
    text = _text(payload)
    name = attempt(lambda: parse_key_name(text))
    if isinstance(name, KeydeckError):
        assert not is_key_arn(text)
        _require_clean(str(name))
    else:
        assert name.text == text
        assert name.is_key_arn is is_key_arn(text)
        assert region_of(text) == name.region
        assert (name.key_id is None) != (name.alias is None)
        assert text.isascii()
    assert same_key(text, text)
    short_key(text)


TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target
    for target in (stored_value, built_value, dev_value, sealed_value, reference, context, foreign, key_name)
}
"""Every target, by its name."""


def _text(payload: bytes) -> str:
    # Bytes that are no UTF-8 become lone surrogates, which a str may hold too.
    return payload.decode("utf-8", "surrogateescape")


def _pick(provider: atheris.FuzzedDataProvider, options: Sequence[T]) -> T:
    place: int = provider.ConsumeIntInRange(0, len(options) - 1)
    return options[place]


def _piece(provider: atheris.FuzzedDataProvider) -> str:
    return _text(provider.ConsumeBytes(provider.ConsumeIntInRange(0, 80)))


def _field(provider: atheris.FuzzedDataProvider) -> bytes:
    kind = provider.ConsumeIntInRange(0, 3)
    if kind == 0:
        return bytes(provider.ConsumeBytes(provider.ConsumeIntInRange(0, 64)))
    if kind == 1:
        # A provider that has run out gives 0, and long fields are slow.
        lengths = LENGTHS if provider.ConsumeIntInRange(0, 63) < 63 else LONG_LENGTHS
        return bytes([provider.ConsumeIntInRange(0, 255)]) * _pick(provider, lengths)
    known = bytearray(_pick(provider, FIELDS))
    if kind == 2:
        known[provider.ConsumeIntInRange(0, len(known) - 1)] ^= provider.ConsumeIntInRange(0, 255)
    return bytes(known)


def _require_clean(text: str) -> None:
    for character in text:
        assert unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Zl", "Zp"), (
            f"{character!r} is shown"
        )


def _decoded_context(encoded: bytes) -> dict[str, str]:
    # Another reading of the encoding that encryption_context.py describes.
    texts: list[str] = []
    place = 2
    while place < len(encoded):
        length = int.from_bytes(encoded[place : place + 2])
        texts.append(encoded[place + 2 : place + 2 + length].decode())
        place += 2 + length
    assert place == len(encoded)
    assert len(texts) == 2 * int.from_bytes(encoded[:2])
    return dict(zip(texts[::2], texts[1::2], strict=True))
