"""A report as JSON, and the one way in which it is written so that it can be signed.

The exported document is {"report": …, "sha256": …, "signature": … or null, "unsigned_because": …}. The report
has "schema" and "schema_version"; the version goes up whenever a member is renamed, removed or comes to mean
something else, not when one is added. Its members are the fields of all sections. Moments are ISO 8601 in
UTC, durations are in seconds, what isn't known is null.
"""

from __future__ import annotations

from typing import Any

from crypto_core.incidents.report.section import Report, Signed
from crypto_core.reports.json import json_value, written

SCHEMA = "keydeck incident report"
SCHEMA_VERSION = 1


def as_json(report: Report) -> dict[str, Any]:
    """Return the report as a JSON document's part."""
    members: dict[str, Any] = {}
    for section in report.sections:
        members |= json_value(section)
    return {"schema": SCHEMA, "schema_version": SCHEMA_VERSION, **members}


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
