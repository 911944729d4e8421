"""What the store keeps of an event beside its texts. Nothing here needs the database."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from enum import IntFlag

from crypto_core.trail.event import TrailEvent

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class EventProperty(IntFlag):
    SERVICE = 1
    FAILED = 2
    DENIED = 4
    HUMAN = 8
    ROOT = 16
    CONSOLE = 32
    READ = 64
    TWIN = 128
    """Another record of the same call tells more, and counts; the store knows."""
    NAMED = 256
    EXPLAINED = 512
    """A receipt explains it; the store knows."""
    RECEIPT = 1024
    SESSION = 2048
    ACCESS_KEY = 4096
    MESSAGE = 8192


HELD = {
    "token": EventProperty.NAMED,
    "session": EventProperty.SESSION,
    "access_key": EventProperty.ACCESS_KEY,
    "message": EventProperty.MESSAGE,
}
"""The texts that are an event's alone, each with the property that the event has one."""

_UNASKED = (EventProperty.READ, EventProperty.RECEIPT, *HELD.values())
FLAGS = {one.name.lower(): one for one in EventProperty if one.name and one not in _UNASKED}
OF_STORE = frozenset({"explained"})
"""Those of them that no engine knows: receipts are in the store alone."""

HOUR, DAY = 3_600, 86_400
"""In seconds."""


def marks(found: TrailEvent) -> int:
    # EventProperty's own operators take ten times as long.
    principal = found.principal
    return (
        found.by_service
        | found.failed << 1
        | found.denied << 2
        | principal.is_human << 3
        | principal.is_root << 4
        | principal.from_console << 5
        | (found.read_only is True) << 6
        | (found.token_ref is not None) << 8
    )


_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def stored_id(event_id: str) -> bytes:
    """Return an event's id as it is stored: 16 bytes for a UUID in CloudTrail's spelling."""
    if _UUID.fullmatch(event_id):
        return bytes.fromhex(event_id.replace("-", ""))
    return b"=" + event_id.encode()


def seconds(moment: datetime) -> int:
    """A moment in whole seconds since 1970, rounded down: exact for every year."""
    since = moment - _EPOCH
    return since.days * DAY + since.seconds


def moment(second: int) -> datetime:
    return _EPOCH + timedelta(seconds=second)


def iso(moment: datetime) -> str:
    """A moment as CloudTrail writes it."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
