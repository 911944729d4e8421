"""Documents as JSON, written in one way, so that they can be signed and compared byte by byte.

Moments are ISO 8601 in UTC, durations are in seconds, what isn't known is null.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, date, datetime
from enum import Enum
from typing import Any


def canonical(document: Mapping[str, Any]) -> bytes:
    """Return a document's canonical form: names sorted, no white space, UTF-8."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode()


def written(document: Mapping[str, Any]) -> str:
    """Return a document as it is exported, to be read by people and compared byte by byte."""
    return json.dumps(document, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def json_value(value: object) -> Any:
    """Return a record as a part of a JSON document: its fields by their names."""
    if isinstance(value, Enum):
        return value.value
    if is_dataclass(value):
        return {field.name: json_value(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, tuple):
        return [json_value(one) for one in value]
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(name): json_value(one) for name, one in value.items()}
    if isinstance(value, float):
        # Whole numbers as such: others than Python write 12.0 as 12, and the digest is over what is written.
        return int(value) if value.is_integer() else round(value, 3)
    return value
