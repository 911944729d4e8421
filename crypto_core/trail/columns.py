"""What the store keeps of an event beside its texts. Nothing here needs the database."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from enum import IntFlag

from crypto_core.trail.event import UNDATED, TrailEvent

_EPOCH = datetime(1970, 1, 1, tzinfo=UNDATED.tzinfo)


class EventProperty(IntFlag):
    """Properties of an event."""

    SERVICE = 1
    FAILED = 2
    DENIED = 4
    HUMAN = 8
    ROOT = 16
    CONSOLE = 32
    READ = 64


HOUR = 3_600


def marks(found: TrailEvent) -> int:
    """Return the properties of an event, as Mark has them."""
    # Mark's own operators take ten times as long.
    principal = found.principal
    return (
        found.by_service
        | found.failed << 1
        | found.denied << 2
        | principal.is_human << 3
        | principal.is_root << 4
        | principal.from_console << 5
        | (found.read_only is True) << 6
    )


_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def stored_id(event_id: str) -> bytes:
    """Return an event's id as it is stored: 16 bytes for a UUID in CloudTrail's spelling."""
    if _UUID.fullmatch(event_id):
        return bytes.fromhex(event_id.replace("-", ""))
    return b"=" + event_id.encode()


def seconds(moment: datetime) -> int:
    """A moment in whole seconds since 1970, rounded down: exact for every year."""
    return (moment - _EPOCH) // timedelta(seconds=1)
