"""What stands in braces in a runbook's lines, and is filled in from the incident: `{key}`, `{new_key}`, …"""

from __future__ import annotations

import re
from collections.abc import Iterator

from crypto_core.incidents.model import Incident

_PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")

_KNOWN_LATER = ("new_key", "job", "encrypt_job")
_DECLARED = ("key", "references", "filter", "database", "since", "origin")
PLACEHOLDERS = frozenset({"incident", "number", "title", "subject", *_DECLARED, *_KNOWN_LATER})
"""All that there are. Braces around anything but small letters are left as they are."""


def unknown_placeholders(text: str) -> Iterator[str]:
    """Yield the names in braces that mean nothing."""
    return (name for name in _PLACEHOLDER.findall(text) if name not in PLACEHOLDERS)


def filled(text: str, incident: Incident) -> str:
    """Return `text` with its placeholders filled in; what isn't known yet is said in words."""
    return _PLACEHOLDER.sub(lambda found: _value(found, incident), text)


def _value(found: re.Match[str], incident: Incident) -> str:
    name, scope = found[1], incident.scope
    values = {
        "incident": incident.name,
        "number": str(incident.id),
        "title": incident.title,
        "subject": str(scope),
        "key": scope.key,
        "references": ", ".join(scope.references),
        "filter": scope.filter,
        "database": scope.database,
        "since": scope.since.isoformat(timespec="seconds") if scope.since else "",
        "origin": scope.origin,
        **{known: incident.values.get(known, "") for known in _KNOWN_LATER},
    }
    if name not in values:
        return found[0]
    later = "not known yet" if name in _KNOWN_LATER else "not given"
    return values[name] or f"({name.replace('_', ' ')} {later})"
