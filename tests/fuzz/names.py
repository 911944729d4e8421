"""Targets: token references, names of KMS keys, and any text that is shown."""

from __future__ import annotations

import unicodedata
from functools import partial

import atheris

from crypto_core.envelope.encryption_context import encode, encryption_context
from crypto_core.values.clean_text import clean
from crypto_core.values.errors import KeydeckError
from crypto_core.values.key_names import is_key_arn, parse_key_name, region_of, same_key, short_key
from crypto_core.values.references import TokenRef, parse_reference
from tests.fuzz.drawing import piece, text_of
from tests.fuzz.silence import attempt


def reference(payload: bytes) -> None:
    """Any text as a token reference, and the encryption context of what it names."""
    text = text_of(payload)
    ref = attempt(lambda: parse_reference(text))
    if isinstance(ref, KeydeckError):
        return
    _require_clean(str(ref))
    if not isinstance(ref, TokenRef):
        assert f"{ref.table}:{ref.row_id}" == text
        return
    assert f"{ref.table}.{ref.column}:{ref.row_id}" == text
    pairs = attempt(lambda: encryption_context(ref))
    if not isinstance(pairs, KeydeckError):
        assert _decoded_context(encode(pairs)) == pairs


def context(payload: bytes) -> None:
    """Two references of any texts: their contexts are encoded alike only if they are alike."""
    provider = atheris.FuzzedDataProvider(payload)
    refs = [(TokenRef(*(piece(provider) for _ in range(3))), piece(provider) or None) for _ in range(2)]
    contexts = [attempt(partial(encryption_context, ref, binding)) for ref, binding in refs]
    encoded = [encode(c) for c in contexts if not isinstance(c, KeydeckError)]
    if len(encoded) == 2:
        assert (encoded[0] == encoded[1]) == (refs[0] == refs[1]), "two contexts are encoded alike"
        assert _decoded_context(encoded[0]) == contexts[0]


def foreign(payload: bytes) -> None:
    """Any text made safe to show."""
    limit = int.from_bytes(payload[:2])
    text = text_of(payload[2:])
    cleaned = clean(text, limit)
    assert len(cleaned) <= limit
    _require_clean(cleaned)
    assert clean(cleaned, limit) == cleaned, "cleaning twice changes more"
    assert text != cleaned or text.isprintable() or not text.isascii()


def key_name(payload: bytes) -> None:
    """Any text as the name of a KMS key."""
    text = text_of(payload)
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
