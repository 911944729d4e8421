"""What stands in braces in a runbook's lines, and is filled in from the incident: `{key}`, `{new_key}`, …"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

_PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")

KNOWN_LATER = ("new_key", "job", "encrypt_job")
"""What only the steps find out."""
_DECLARED = ("key", "references", "filter", "database", "since", "origin")
PLACEHOLDERS = frozenset({"incident", "number", "title", "subject", *_DECLARED, *KNOWN_LATER})
"""All that there are. Braces around anything but small letters are left as they are."""


def unknown_placeholders(text: str) -> Iterator[str]:
    """Yield the names in braces that mean nothing."""
    return (name for name in _PLACEHOLDER.findall(text) if name not in PLACEHOLDERS)


def filled(text: str, values: Mapping[str, str]) -> str:
    """Return `text` with its placeholders filled in; unknown values are described."""
    return _PLACEHOLDER.sub(lambda found: _value(found, values), text)


def _value(found: re.Match[str], values: Mapping[str, str]) -> str:
    name = found[1]
    if name not in PLACEHOLDERS:
        return found[0]
    later = "not known yet" if name in KNOWN_LATER else "not given"
    return values.get(name) or f"({name.replace('_', ' ')} {later})"
