"""Texts and moments as OSCAL 1.1 wants them (NIST, "OSCAL Data Types"): whatever comes in, they fit.

A string stands on one line and neither begins nor ends in a space. Titles, descriptions and remarks are
Markdown, so what is in them is escaped.
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any

from crypto_core.reports.foreign_text import shown
from crypto_core.reports.markdown import escaped
from crypto_core.values.clean_text import clean

Json = dict[str, Any]

NAMESPACE = "https://keydeck.invalid/ns/oscal"
_LIMIT = 600
_TOKEN = re.compile(r"[A-Za-z_][A-Za-z0-9._-]{0,79}")
_NO_TOKEN = re.compile(r"[^A-Za-z0-9._-]+")
_MARK = 8
"""Hexadecimal digits that keep texts apart which would come to the same token."""
_DAYS_END = time(23, 59, 59)


def token(text: str) -> str:
    """Return a text as a token: as it is if it is one, else what is left of it and a digest of the whole."""
    if _TOKEN.fullmatch(text):
        return text
    left = _NO_TOKEN.sub("-", clean(text, 40)).strip("-") or "x"
    return f"_{left}_{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:_MARK]}"


def string(text: object, otherwise: str = "unknown") -> str:
    """Return a text as a string, or `otherwise` where nothing is left of it."""
    return shown(text, _LIMIT).strip() or otherwise


def markup(*sentences: object, otherwise: str = "") -> str:
    """Return sentences as Markdown, each a paragraph; empty ones are left out."""
    texts = (escaped(shown(one, _LIMIT)) for one in sentences)
    return "\n\n".join(one for one in texts if one) or otherwise


def line(text: object, otherwise: str = "unknown") -> str:
    return escaped(string(text, otherwise))


def moment(at: datetime) -> str:
    """Return a moment in UTC, to the second (RFC 3339)."""
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S}Z"


def day_begins(day: date) -> str:
    return moment(datetime.combine(day, time(), UTC))


def day_ends(day: date) -> str:
    return moment(datetime.combine(day, _DAYS_END, UTC))


def prop(name: str, value: object, remarks: object = "") -> Json:
    return filled(name=token(name), ns=NAMESPACE, value=string(value), remarks=markup(remarks))


def props(values: Mapping[str, object]) -> list[Json]:
    """Return a property for each value that is known: None and "" are not."""
    return [prop(name, value) for name, value in values.items() if value is not None and value != ""]


def filled(**fields: Any) -> Json:
    """Return the fields that hold anything, `_` in names as `-`. OSCAL has neither null nor empty lists."""
    held = {name: value for name, value in fields.items() if value not in (None, "", [], {}, ())}
    return {name.rstrip("_").replace("_", "-"): value for name, value in held.items()}


@dataclass(frozen=True, slots=True)
class OscalNames:
    """UUIDs (version 5, RFC 9562) by what they name: the same thing of the same period has the same one."""

    database_id: str
    since: date
    until: date
    framework: str

    def of(self, *parts: str) -> str:
        named = [self.database_id, self.since.isoformat(), self.until.isoformat(), self.framework, *parts]
        return str(uuid.uuid5(uuid.uuid5(uuid.NAMESPACE_URL, NAMESPACE), json.dumps(named)))

    def ref(self, *parts: str) -> str:
        return f"#{self.of(*parts)}"
