"""A report as JSON, and the one way in which it is written so that it can be signed.

The exported document is {"report": …, "sha256": …, "signature": … or null, "unsigned_because": …}. The report
has "schema" and "schema_version"; the version goes up whenever a member is renamed, removed or comes to mean
something else, not when one is added. Its members are the fields of all sections. Moments are ISO 8601 in
UTC, durations are in seconds, what isn't known is null.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any

from crypto_core.incidents.report.section import Report, Signed

SCHEMA = "keydeck incident report"
SCHEMA_VERSION = 1


def as_json(report: Report) -> dict[str, Any]:
    """Return the report as a JSON document's part."""
    members: dict[str, Any] = {}
    for section in report.sections:
        members |= _value(section)
    return {"schema": SCHEMA, "schema_version": SCHEMA_VERSION, **members}


def canonical(document: Mapping[str, Any]) -> bytes:
    """Return a document's canonical form: names sorted, no white space, UTF-8."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode()


def exported(signed: Signed) -> str:
    """Return the document that is exported, with a line break at its end."""
    return written(
        {
            "report": as_json(signed.report),
            "sha256": signed.sha256,
            "signature": signed.signature.as_json() if signed.signature else None,
            "unsigned_because": signed.unsigned_because,
        }
    )


def written(document: Mapping[str, Any]) -> str:
    """Return a document as it is exported, to be read by people and compared byte by byte."""
    return json.dumps(document, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _value(value: object) -> Any:
    if isinstance(value, Enum):
        return value.value
    if is_dataclass(value):
        return {field.name: _value(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, tuple):
        return [_value(one) for one in value]
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, float):
        # Whole numbers as such: others than Python write 12.0 as 12, and the digest is over what is written.
        return int(value) if value.is_integer() else round(value, 3)
    return value
