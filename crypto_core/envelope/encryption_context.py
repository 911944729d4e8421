"""The encryption context that binds a v2 envelope to its row, and its canonical encoding.

KMS authenticates the context with the encrypted data key and writes it into CloudTrail in clear, so it holds
identifiers only (AWS KMS Developer Guide, "Encryption context"). The same pairs, canonically encoded, are
part of the envelope's additional authenticated data:

    encoding = count, then for each pair, sorted by key: length, key, length, value

Counts and lengths are 16-bit big-endian, texts are UTF-8, keys are compared byte by byte. Lengths stand
before what they measure, so two different contexts never encode alike (`a|bc` and `ab|c`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache

from crypto_core.values.errors import InvalidReferenceError, KeydeckError, SettingsError
from crypto_core.values.references import TokenRef, split_name

EncryptionContext = Mapping[str, str]

TABLE, COLUMN, ROW_ID, MEMBER = "keydeck:table", "keydeck:column", "keydeck:id", "keydeck:member"
SCHEMA, DATABASE = "keydeck:schema", "keydeck:database"

MAX_NAME_BYTES = 63
"""PostgreSQL cuts longer identifiers (NAMEDATALEN)."""
MAX_ROW_ID_BYTES = 1_024
"""Far below what KMS takes; a longer id is no identifier. A member's name is as long at most."""

_BINDING = re.compile("[!-~](?:[ -~]{0,62}[!-~])?")


def is_binding(text: str) -> bool:
    """Return whether a text can name a database: 1 to 64 printable ASCII characters, no blank at an end."""
    return _BINDING.fullmatch(text) is not None


def require_binding(text: str) -> str:
    """Return the name of a database as it is bound. Raises SettingsError for a text that can't be one."""
    if not isinstance(text, str) or not is_binding(text):
        raise SettingsError(
            "The binding (KEYDECK_BINDING) is not a name of 1 to 64 printable ASCII characters without a "
            "blank at its beginning or end."
        )
    return text


def encryption_context(ref: TokenRef, binding: str | None = None) -> dict[str, str]:
    """Return the context of one token: its table, column and row id, in a secrets column its member too.

    Of a table that is described with its schema, the schema is part of it, and so is `binding`, the name of
    the database, where there is one.

    Raises InvalidReferenceError for an empty part, one that is too long, or one that is no UTF-8 text;
    SettingsError for a binding that can't be one.
    """
    schema, table = split_name(ref.table) if isinstance(ref.table, str) else (None, ref.table)
    _bounded(ref, "table", table, MAX_NAME_BYTES)
    _bounded(ref, "column", ref.column, MAX_NAME_BYTES)
    _bounded(ref, "row id", ref.row_id, MAX_ROW_ID_BYTES)
    context = {TABLE: table, COLUMN: ref.column, ROW_ID: ref.row_id}
    if schema is not None:
        _bounded(ref, "schema", schema, MAX_NAME_BYTES)
        context[SCHEMA] = schema
    if ref.member is not None:
        _bounded(ref, "member", ref.member, MAX_ROW_ID_BYTES)
        context[MEMBER] = ref.member
    if binding is not None:
        context[DATABASE] = require_binding(binding)
    return context


def encode(context: EncryptionContext) -> bytes:
    """Return the canonical encoding. Raises ValueError for more or longer texts than 16 bits can count."""
    # Texts are in the order of their code points, and so is UTF-8.
    return len(context).to_bytes(2) + _pairs(context, sorted(context))


def encoded_context(ref: TokenRef, binding: str | None = None) -> bytes:
    """Return `encode(encryption_context(ref, binding))`: only the row id is encoded anew for each token.

    Raises as `encryption_context`.
    """
    try:
        before, after = _around_row_id(ref.table, ref.column, ref.member, binding)
        row_id = ref.row_id.encode()
        if 1 <= len(row_id) <= MAX_ROW_ID_BYTES:
            return before + len(row_id).to_bytes(2) + row_id + after
    except (KeydeckError, AttributeError, TypeError, UnicodeEncodeError):
        pass  # what is wrong is told of the reference itself
    return encode(encryption_context(ref, binding))


@lru_cache(maxsize=1024)
def _around_row_id(table: str, column: str, member: str | None, binding: str | None) -> tuple[bytes, bytes]:
    context = encryption_context(TokenRef(table, column, ROW_ID, member), binding)
    keys = sorted(context)
    at = keys.index(ROW_ID)
    count = len(context).to_bytes(2)
    return count + _pairs(context, keys[:at]) + prefixed(ROW_ID.encode()), _pairs(context, keys[at + 1 :])


def _pairs(context: EncryptionContext, keys: Iterable[str]) -> bytes:
    return b"".join(prefixed(key.encode()) + prefixed(context[key].encode()) for key in keys)


def prefixed(content: bytes) -> bytes:
    """Return `content` behind its length, 16 bits big-endian. Raises ValueError from 65,536 bytes on."""
    if len(content) > 0xFFFF:
        raise ValueError(f"{len(content):,} bytes, at most 65,535 can be encoded")
    return len(content).to_bytes(2) + content


def _bounded(ref: TokenRef, name: str, text: object, limit: int) -> None:
    if not isinstance(text, str):
        raise InvalidReferenceError(
            f"The {name} of a token reference is text, not {type(text).__name__}.",
            remedy="Pass an id as PostgreSQL prints it: str(id).",
        )
    length = _length(text)
    if length is None:
        raise InvalidReferenceError(f"{ref}: the {name} has no UTF-8 form.")
    if not 1 <= length <= limit:
        raise InvalidReferenceError(f"{ref}: the {name} has {length:,} bytes, expected 1 to {limit:,}.")


def _length(text: str) -> int | None:
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        return None
