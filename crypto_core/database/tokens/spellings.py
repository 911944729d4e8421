"""The platform's lenient reader in SQL: v1 envelopes that are spelt otherwise than Keydeck writes them.

The platform decodes with Python's `base64.b64decode`, at both levels: foreign characters are skipped, padding
ends what is read, and whatever stands behind it; the version word is ignored. `envelope.lenient_fields` is
the same reader in Python. Only what is valid reaches `decode`, so no value can fail the statement.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, and_, case, func, literal_column, not_

from crypto_core.envelope import LEAST_V1_CHARACTERS

_QUAD = "=*[^=|]=*[^=|]=?[^=|][^=|]"
"""Three bytes: padding behind the second character twice, or behind the third, ends them."""
_ENDS = "=*[^=|]=*[^=|](?:==|=?[^=|]=)"
_CONTENT = f"^(?:{_QUAD})*(?:{_ENDS}|=*$)"
"""As much of some base64 without foreign characters as is read; nothing where that is an error."""
_LAST = f"(?:{_ENDS}[^|]*|{_QUAD}=*)"
_V1 = (
    f"^[^|]*[|](?:{_QUAD})*{_LAST}"
    f"[|]{4 * f'(?:{_QUAD})'}=*"
    f"[|]{5 * f'(?:{_QUAD})'}(?:(?:{_QUAD})*{_QUAD}(?:{_ENDS}[^|]*|=*)|=*[^=|]=*[^=|]=?[^=|]=[^|]*)$"
)


_EDK_PREFIX = f"^[^|]*[|](AQ[AEIMQUYcgkosw048][A-P]AH[g-j]{43 * '[A-Za-z0-9+/]'})[A-Za-z0-9+/]"
"""Base64 of an EDK's first 37 bytes, behind any version word."""


def has_v1_fields(stored: Any) -> ColumnElement[bool]:
    """True for values of which the platform's reader takes the fields of a v1 envelope."""
    return case(
        (func.octet_length(stored) < LEAST_V1_CHARACTERS, False),
        else_=func.coalesce(_decoded(stored).regexp_match(_V1), False),
    )


def lenient_edk_prefix(stored: Any) -> Any:
    """Base64 of the EDK's first 37 bytes, without padding; NULL where there is none with a KMS header."""
    return func.substring(_decoded(stored), _EDK_PREFIX)


def _decoded(stored: Any) -> Any:
    """The outer base64 as the platform decodes it, base64 and separators of it alone; NULL for an error."""
    known = func.regexp_replace(_raw(stored), "[^A-Za-z0-9+/=]", "", "g")
    content = func.replace(func.substring(known, _CONTENT), "=", "")
    whole = (func.length(content) + 3).op("&")(literal_column("-4"))
    return _plain(func.decode(func.rpad(content, whole, "="), "base64"))


def _raw(stored: Any) -> Any:
    """The value; of bytes that are no text, which are in hex, those of ASCII."""
    in_hex = and_(func.starts_with(stored, r"\x"), stored.regexp_match(r"^\\x([0-9a-f]{2})+$"))
    return case((not_(in_hex), stored), else_=_plain(func.decode(func.substr(stored, 3), "hex")))


def _plain(content: Any) -> Any:
    """Bytes as text, without those of no base64 field, which PostgreSQL escapes."""
    escaped = func.encode(content, "escape")
    return func.regexp_replace(escaped, r"\\\\|\\[0-7]{3}|[^A-Za-z0-9+/=|]", "", "g")
