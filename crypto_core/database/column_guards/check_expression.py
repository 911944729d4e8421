"""CHECK constraints on token columns, in SQL. The same text counts what it would refuse.

A single value must be an envelope as `crypto_core.envelope.parse` reads it: its mark, strict base64 without
and within, the number of its fields, a nonce of 12 bytes. The lengths of the other fields and whether it
opens are not checked. A value of a JSON type must be a string that is one. Of a JSON document every string at
the top level must be one on the outside; an object or list within is refused. NULL, "" and JSON's null pass.

Every function used is immutable (PostgreSQL documentation, "Function Volatility Categories"): bytes become
text by `encode(…, 'escape')`, for `convert_from` is not. Comparisons are by COLLATE "C", whatever the
column's own. CASE fixes the order: nothing is decoded before its alphabet and its length are known.
"""

from __future__ import annotations

from crypto_core.envelope import (
    ENVELOPE_FORMATS,
    MARKS,
    MAX_STORED_CHARACTERS,
    NONCE_BYTES,
    STORED_PREFIXES,
    VERSIONS,
    Format,
)

TEXT_TYPES = ("text", "character varying", "character")
JSON_TYPES = ("json", "jsonb")
TYPES = (*TEXT_TYPES, "bytea", *JSON_TYPES)
"""The types of columns that can be guarded, as format_type() calls them."""

SHORTEST = 68
"""Stored characters of the shortest v1 envelope: every field of the least length that is read."""

_DIGIT = "[A-Za-z0-9+/]"
_PADDED = f"{_DIGIT}[AQgw]==|{_DIGIT}{{2}}[AEIMQUYcgkosw048]="
"""A last group of one or two bytes, the bits behind them zero."""
_BASE64 = f"(?:{_DIGIT}{{4}})*(?:{_PADDED})?"
_FILLED = f"(?:{_DIGIT}{{4}})*(?:{_DIGIT}{{4}}|{_PADDED})"
_NONCE = f"{_DIGIT}{{{NONCE_BYTES * 4 // 3}}}"
_SPACE = "[[:space:]]*"
_KEY = r'"(?:[^"\\]|\\.)*"'
_NO_TEXT = "null|true|false|-?[0-9][0-9.eE+-]*"


def check_expression(
    column: str, type_: str, least: Format, *, newest: Format = ENVELOPE_FORMATS[-1], document: bool = False
) -> str:
    """Return the condition on a value of a column; `column` is quoted already.

    `least` is the oldest envelope format that passes, `newest` the latest; `document`: the column holds JSON
    documents. Raises ValueError for another type.
    """
    if type_ not in TYPES:
        raise ValueError(f"no check for type {type_}")
    formats = ENVELOPE_FORMATS[ENVELOPE_FORMATS.index(least) : ENVELOPE_FORMATS.index(newest) + 1]
    escaped = f"encode({column}, 'escape')"
    text = escaped if type_ == "bytea" else f"{column}::text"
    if not document:
        null = f" WHEN {_plainly(text)} = 'null' THEN true" if type_ in JSON_TYPES else ""
        if type_ in JSON_TYPES:
            # Without its quotes: an envelope has none, and nothing that is escaped.
            text = f"btrim({text}, '\"')"
        value = _plainly(text)
        return (
            f"{_no_token(column, value)}{null}"
            f" WHEN octet_length({text}) < {SHORTEST} THEN false"
            f" WHEN octet_length({text}) > {MAX_STORED_CHARACTERS} THEN false"
            f" WHEN {value} ~ '^{_outside(formats)}$'"
            f" THEN {_plainly(_escaped_text(text))} ~ '^(?:{'|'.join(map(_inside, formats))})$'"
            " ELSE false END"
        )
    # Bytes are written as text with every backslash doubled.
    value = _plainly(f"replace({escaped}, repeat(chr(92), 2), chr(92))" if type_ == "bytea" else text)
    nothing = f"{_no_token(column, value)} WHEN {value} = 'null' THEN true"
    return f"{nothing} ELSE {value} ~ $re${_document(formats)}$re$ END"


def holds_envelope(column: str, type_: str) -> str:
    """Return the condition that a value holds an envelope's mark; for a quick count."""
    text = f"encode({column}, 'escape')" if type_ == "bytea" else f"{column}::text"
    return f"{_plainly(text)} ~ '{'|'.join(STORED_PREFIXES[f] for f in ENVELOPE_FORMATS)}'"


def _no_token(column: str, value: str) -> str:
    return f"CASE WHEN {column} IS NULL THEN true WHEN {value} = '' THEN true"


def _plainly(text: str) -> str:
    return f'({text} COLLATE "C")'


def _escaped_text(text: str) -> str:
    return f"encode(decode({text}, 'base64'), 'escape')"


def _outside(formats: tuple[Format, ...]) -> str:
    return f"(?:{'|'.join(STORED_PREFIXES[f] for f in formats)}){_DIGIT}{{4}}{_BASE64}"


def _inside(format_: Format) -> str:
    fields = (_NONCE if name == "nonce" else _FILLED for name in VERSIONS[format_].field_names)
    return "[|]".join((MARKS[format_], *fields))


def _document(formats: tuple[Format, ...]) -> str:
    value = f'(?:"(?:{_outside(formats)})?"|{_NO_TEXT})'
    member = f"{_KEY}{_SPACE}:{_SPACE}{value}{_SPACE}"
    members = f"(?:{member}(?:,{_SPACE}{member})*)?"
    return f"^{_SPACE}[{{]{_SPACE}{members}[}}]{_SPACE}$"
