"""Targets: stored values in every format, and tokens to seal."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from functools import partial

import atheris

from crypto_core.envelope import (
    DEV_KEY,
    STORED_PREFIXES,
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
from crypto_core.values.clean_text import clean
from crypto_core.values.errors import (
    AuthenticationFailedError,
    KeydeckError,
    MalformedEnvelopeError,
    MissingReferenceError,
    UnsupportedFormatError,
    WrongBindingError,
)
from crypto_core.values.key_names import is_key_arn
from crypto_core.values.references import TokenRef
from crypto_core.values.secret import DataKey, Secret
from tests.fuzz.drawing import field, pick, piece, text_of
from tests.fuzz.inputs import (
    BINDING,
    DATA_KEY,
    DEV,
    KEY_ARN,
    KNOWN,
    MARKS,
    OTHER_DATA_KEY,
    OTHER_REF,
    REF,
    TOKEN,
)
from tests.fuzz.silence import attempt, contents, require_silent


def stored_value(payload: bytes) -> None:
    """Any text as a stored value: classify, parse, serialise, open."""
    _check_stored(text_of(payload))


def built_value(payload: bytes) -> None:
    """A stored value built of fields: a known one with one field replaced, or any mark and fields."""
    provider = atheris.FuzzedDataProvider(payload)
    if provider.ConsumeBool():
        known = pick(provider, list(KNOWN.values()))
        mark, fields = _mark_of(known.format), list(known.to_fields())
        fields[provider.ConsumeIntInRange(0, len(fields) - 1)] = field(provider)
    else:
        mark = pick(provider, MARKS)
        fields = [field(provider) for _ in range(provider.ConsumeIntInRange(2, 6))]
    parsed = _check_stored(encode(b"|".join((mark, *map(encode, fields)))).decode())
    read = not isinstance(parsed, KeydeckError)
    assert read == _readable(mark, fields), "what is read isn't what the bounds say"
    version = next((v for v in VERSIONS.values() if _mark_of(v.format) == mark), None)
    if version is not None and len(fields) == len(version.field_names):
        made = attempt(lambda: version.from_fields(*fields), lambda: iter(fields))
        assert made == parsed if read else isinstance(made, KeydeckError), "parse and from_fields differ"


def _mark_of(format_: Format) -> bytes:
    return base64.b64decode(STORED_PREFIXES[format_])[:2]


def _readable(mark: bytes, fields: list[bytes]) -> bool:
    # The bounds once more, in the words of the format: v2 has the key ARN before, and salt and commitment,
    # 64 bytes, within the last field; v2-bound has a name of printable ASCII before that.
    names, committed = (fields[:1], 64) if mark in (b"v2", b"vb") else ([], 0)
    lengths = [len(content) for content in fields[len(names) :]]
    if mark == b"vb" and len(fields) == 5:
        del lengths[2]
        name = fields[3]
        if not 1 <= len(name) <= 64 or name != name.strip(b" ") or not all(32 <= b < 127 for b in name):
            return False
    elif mark not in (b"v1", b"v2"):
        return False
    if len(lengths) != 3:
        return False
    edk, nonce, ciphertext = lengths
    bounded = 1 <= edk <= 6_144 and nonce == 12 and committed + 17 <= ciphertext <= committed + 65_552
    return bounded and all(is_key_arn(name.decode("ascii", "replace")) for name in names)


def _check_stored(stored: str) -> Envelope | KeydeckError:
    """Assert everything that holds for a stored value; return what `parse` returned or raised."""
    format_ = classify(stored).format
    parsed = attempt(lambda: parse(stored), lambda: contents(stored))
    if isinstance(parsed, KeydeckError):
        expected = MalformedEnvelopeError if format_ in VERSIONS else UnsupportedFormatError
        assert type(parsed) is expected, f"{format_} is refused as {type(parsed).__name__}"
        return parsed
    assert parsed.format is format_, "parse and classify differ"
    assert serialise(parsed) == stored, "two spellings of one envelope are read"
    assert _canonical(stored), "base64 that isn't canonical is read"
    require_silent((repr(parsed),), contents(stored), f"{parsed.named_key!r} {parsed.named_database!r}")
    assert parsed.edk_prefix is None or parsed.encrypted_data_key.startswith(parsed.edk_prefix)
    _check_opening(parsed, stored)
    return parsed


def _check_opening(envelope: Envelope, stored: str) -> None:
    known = KNOWN[envelope.format]

    def opened(key: bytes, ref: TokenRef | None, binding: str | None = BINDING) -> Secret | KeydeckError:
        named = f'for database "{envelope.named_database}", and KEYDECK_BINDING is "{binding}".'
        return attempt(
            lambda: open_envelope(envelope, DataKey(key), ref, binding), lambda: contents(stored), named=named
        )

    token = opened(DATA_KEY, REF)
    if isinstance(token, KeydeckError):
        another = envelope.named_database not in (None, BINDING)
        assert type(token) is (WrongBindingError if another else AuthenticationFailedError)
        assert _sealed(envelope) != _sealed(known), "the known envelope doesn't open"
        return
    # KMS authenticates the encrypted data key, so an envelope opens whatever stands there.
    assert _sealed(envelope) == _sealed(known), "an envelope opens that nobody sealed"
    assert token == Secret.of(TOKEN), "an envelope opens to another token"
    assert type(opened(OTHER_DATA_KEY, REF)) is AuthenticationFailedError
    assert type(opened(DATA_KEY[:-1], REF)) is MalformedEnvelopeError
    if envelope.format.binds_row:
        assert type(opened(DATA_KEY, OTHER_REF)) is AuthenticationFailedError
        assert type(opened(DATA_KEY, None)) is MissingReferenceError
    if envelope.format.binds_database:
        for binding in (None, f"{BINDING}2"):
            assert type(opened(DATA_KEY, REF, binding)) is WrongBindingError


def _sealed(envelope: Envelope) -> list[tuple[str, bytes]]:
    return [part for part in envelope.parts() if part[0] != "encrypted data key"]


def _canonical(stored: str) -> bool:
    fields = base64.b64decode(stored).split(b"|")
    return base64.b64encode(b"|".join(fields)).decode() == stored and all(
        base64.b64encode(base64.b64decode(text)) == text for text in fields[1:]
    )


def dev_value(payload: bytes) -> None:
    """Any text as a value in dev format."""
    _check_dev(text_of(payload), DEV_KEY)


def dev_key(payload: bytes) -> None:
    """Any text as the development key."""
    _check_dev(DEV, text_of(payload))


def _check_dev(stored: str, key: str) -> None:
    def hidden() -> Iterator[bytes]:
        yield from contents(stored)
        if key != DEV_KEY:
            yield from contents(key)

    opened = attempt(lambda: open_dev(stored, key), hidden)
    known = Secret.of(TOKEN)
    assert isinstance(opened, KeydeckError) or opened == known, "a dev value opens that nobody sealed"


def sealed_value(payload: bytes) -> None:
    """Any token, sealed and opened again."""
    provider = atheris.FuzzedDataProvider(payload)
    format_ = pick(provider, list(Format))
    ref = REF if provider.ConsumeBool() else TokenRef(*(piece(provider) for _ in range(3)))
    key_arn = KEY_ARN if provider.ConsumeBool() else piece(provider)
    binding = BINDING if provider.ConsumeBool() else piece(provider)
    edk, key = field(provider), DATA_KEY if provider.ConsumeBool() else field(provider)
    text = text_of(provider.ConsumeBytes(atheris.ALL_REMAINING))
    hidden = text.encode("utf-8", "surrogatepass"), key
    named = f"{ref} {key_arn} {binding}" + clean(ref, 10_000)

    def sealed() -> str:
        with Secret.of(text) as token:
            assert f"{token!r} {token}" == "Secret(hidden) Secret(hidden)"
            how = {"format_": format_, "key_arn": key_arn, "ref": ref, "binding": binding}
            return serialise(seal(token, DataKey(key), edk, **how))

    stored = attempt(sealed, lambda: iter(hidden), named=named)
    if isinstance(stored, KeydeckError):
        return
    envelope = parse(stored)
    assert envelope.encrypted_data_key == edk
    assert open_envelope(envelope, DataKey(key), ref, binding).reveal() == text
    changed = bytes([key[0] ^ 1]) + key[1:]
    wrong = [(changed, ref)]
    if envelope.format.binds_row:
        wrong.append((key, OTHER_REF))
    for other_key, other_ref in wrong:
        opens = partial(open_envelope, envelope, DataKey(other_key), other_ref, binding)
        refused = attempt(opens, lambda: iter(hidden), named=named)
        assert type(refused) is AuthenticationFailedError, "an envelope opens for another key or row"
