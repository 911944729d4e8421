"""Where each provider's audit log has what is told of an event: one table, and what reads a record by it.

GitHub Docs, "Audit log events for your organization" and "Identifying audit log events performed by an access
token"; Slack, "Audit Logs API methods & actions"; Atlassian, "Organizations REST API", Events.
"""

from __future__ import annotations

import hashlib
import math
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from crypto_core.forensics.provider_logs.event import ProviderEvent, moment_of
from crypto_core.values.clean_text import NO_TEXT, CleanText, clean

Path = tuple[str, ...]
"""Names one within the other; `*` is the first of a list that has the rest."""

_EARLIEST, _LATEST = 946_684_800_000, 4_102_444_800_000
"""The years 2000 to 2099, in milliseconds: an event of another time is none."""
_HASH_CHARACTERS, _HASH_BYTES = 44, 32


class MalformedEventError(ValueError):
    """A record that is no event of a provider's, and why."""


@dataclass(frozen=True, slots=True)
class LogMapping:
    """A provider's audit log: where its records have what. Of several paths, the first that is there counts.

    `marks` are there in every record of this log, and not all in another's. `unit` is how many milliseconds
    a number of the time is. `texts` are those of ProviderEvent, by name.
    """

    provider: str
    marks: tuple[Path, ...]
    event_id: tuple[Path, ...]
    at: tuple[Path, ...]
    unit: int
    texts: Mapping[str, tuple[Path, ...]]
    token_hash: tuple[Path, ...] = ()


def _paths(*written: str) -> tuple[Path, ...]:
    return tuple(tuple(one.split("/")) for one in written)


MAPPINGS = (
    LogMapping(
        "atlassian",
        marks=_paths("attributes/time", "attributes/action"),
        event_id=_paths("id"),
        at=_paths("attributes/time"),
        unit=1,
        texts={
            "action": _paths("attributes/action"),
            "actor": _paths("attributes/actor/email", "attributes/actor/name", "attributes/actor/id"),
            "address": _paths("attributes/location/ip"),
            "agent": _paths("attributes/context/*/attributes/userAgent", "attributes/userAgent"),
            "target": _paths("attributes/context/*/attributes/name", "attributes/context/*/id"),
            "place": _paths(
                "attributes/container/*/attributes/siteHostName",
                "attributes/container/*/attributes/siteName",
                "attributes/container/*/id",
            ),
            "access": _paths("attributes/actor/auth/authType", "attributes/actor/app/id"),
        },
    ),
    LogMapping(
        "slack",
        marks=_paths("date_create", "action"),
        event_id=_paths("id"),
        at=_paths("date_create"),
        unit=1000,
        texts={
            "action": _paths("action"),
            "actor": _paths("actor/user/email", "actor/user/name", "actor/user/id"),
            "address": _paths("context/ip_address"),
            "agent": _paths("context/ua"),
            "target": _paths(
                *(f"entity/{kind}/name" for kind in ("channel", "file", "user", "app", "workspace")),
                "entity/type",
            ),
            "place": _paths("context/location/id", "actor/user/team", "entity/workspace/id"),
            "access": _paths("context/app/id", "context/app/name", "actor/app/id"),
        },
    ),
    LogMapping(
        "github",
        marks=_paths("action"),
        event_id=_paths("_document_id"),
        at=_paths("@timestamp", "created_at"),
        unit=1,
        texts={
            "action": _paths("action"),
            "actor": _paths("actor", "user"),
            "address": _paths("actor_ip"),
            "agent": _paths("user_agent"),
            "target": _paths("repo", "repository", "team", "user", "hook_id"),
            "place": _paths("org", "business"),
            "access": _paths("programmatic_access_type"),
        },
        token_hash=_paths("hashed_token"),
    ),
)
"""The first whose marks are all in a record is its own: GitHub's are the least particular."""

PROVIDERS = tuple(sorted(mapping.provider for mapping in MAPPINGS))
_LIMITS = {"address": 60, "agent": 300, "target": 300}
"""Characters that are kept of a text; 120 of the others."""


def read_event(record: object, raw: bytes) -> ProviderEvent:
    """Return the event of a record. Raises MalformedEventError, which quotes nothing."""
    if not isinstance(record, dict):
        raise MalformedEventError("not a JSON object")
    mapping = _mapping_of(record)
    if mapping is None:
        raise MalformedEventError("no event of GitHub's, Slack's or Atlassian's audit log")
    texts = {name: _text(record, paths, _LIMITS.get(name, 120)) for name, paths in mapping.texts.items()}
    if not texts["action"]:
        raise MalformedEventError("its action is no text")
    return ProviderEvent(
        mapping.provider,
        _identity(record, mapping, raw),
        moment_of(_milliseconds(_first(record, mapping.at), mapping.unit)),
        **texts,
        token_hash=_hash(record, mapping),
        raw=raw,
    )


def _mapping_of(record: Mapping[str, Any]) -> LogMapping | None:
    for mapping in MAPPINGS:
        if all(_found(record, mark) is not None for mark in mapping.marks) and _first(record, mapping.at):
            return mapping
    return None


def _first(record: Any, paths: tuple[Path, ...]) -> Any:
    for path in paths:
        found = _found(record, path)
        if found is not None and found != "":
            return found
    return None


def _found(value: Any, path: Path) -> Any:
    for place, name in enumerate(path):
        if name == "*":
            inner = path[place + 1 :]
            some = value if isinstance(value, list) else ()
            return next((found for one in some[:20] if (found := _found(one, inner)) is not None), None)
        if not isinstance(value, dict):
            return None
        value = value.get(name)
        if value is None:
            return None
    return value


def _text(record: Mapping[str, Any], paths: tuple[Path, ...], limit: int) -> CleanText:
    found = _first(record, paths)
    if isinstance(found, bool) or not isinstance(found, str | int):
        return NO_TEXT
    return clean(found, limit)


def _identity(record: Mapping[str, Any], mapping: LogMapping, raw: bytes) -> CleanText:
    found = _first(record, mapping.event_id)
    if isinstance(found, str) and len(found) <= 200 and clean(found, 200) == found:
        return clean(found, 200)
    return clean(f"sha256:{hashlib.sha256(raw).hexdigest()}", 200)


def _milliseconds(value: object, unit: int) -> int:
    """A moment as it is written: a number, or ISO 8601 text with an offset (without one: UTC)."""
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
            aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
            number: float = aware.timestamp() * 1000
        except (ValueError, OverflowError):
            raise MalformedEventError("its time is no time") from None
    elif isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise MalformedEventError("its time is no time")
    else:
        number = value * unit
    if not _EARLIEST <= number < _LATEST:
        raise MalformedEventError("its time is not of this century")
    return round(number)


def _hash(record: Mapping[str, Any], mapping: LogMapping) -> bytes | None:
    found = _first(record, mapping.token_hash)
    return hash_of(found) if isinstance(found, str) else None


def hash_of(text: str) -> bytes | None:
    """Return the SHA-256 that a `hashed_token` of GitHub's is, None for what is none."""
    if len(text) != _HASH_CHARACTERS:
        return None
    try:
        raw = b64decode(text, validate=True)
    except ValueError:
        return None
    return raw if len(raw) == _HASH_BYTES else None
