"""What the store keeps of an event in columns, and how. Nothing here needs the database."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from enum import IntEnum, IntFlag
from operator import attrgetter

from crypto_core.trail.event import UNDATED, TrailEvent

_EPOCH = datetime(1970, 1, 1, tzinfo=UNDATED.tzinfo)


class TextKind(IntEnum):
    """What a text is."""

    NAME = 1
    SOURCE = 2
    PRINCIPAL = 3
    IP = 4
    AGENT = 5
    ERROR = 6
    KEYS = 7
    MATERIALS = 8
    REGION = 9
    ACCOUNT = 10
    SESSION = 11
    ACCESS_KEY = 12
    TOKEN = 13
    MESSAGE = 14


class EventProperty(IntFlag):
    """Properties of an event."""

    SERVICE = 1
    FAILED = 2
    DENIED = 4
    HUMAN = 8
    ROOT = 16
    CONSOLE = 32
    READ = 64


ROLLED = {
    "name": TextKind.NAME,
    "source": TextKind.SOURCE,
    "principal": TextKind.PRINCIPAL,
    "ip": TextKind.IP,
    "agent": TextKind.AGENT,
    "error": TextKind.ERROR,
    "key": TextKind.KEYS,
    "material": TextKind.MATERIALS,
    "region": TextKind.REGION,
    "account": TextKind.ACCOUNT,
}
"""The columns of texts that both tables have, each with what its texts are."""

DETAILS = {
    "session": TextKind.SESSION,
    "access_key": TextKind.ACCESS_KEY,
    "token": TextKind.TOKEN,
    "message": TextKind.MESSAGE,
}
"""Those that are an event's alone: they differ too much to be counted by the hour."""

HOUR = 3_600


TEXTS: dict[str, Callable[[TrailEvent], str]] = {
    "name": attrgetter("name"),
    "source": attrgetter("source"),
    "principal": attrgetter("principal.arn"),
    "ip": attrgetter("source_ip"),
    "agent": attrgetter("user_agent"),
    "error": attrgetter("error_code"),
    "key": lambda found: " ".join(found.key_arns) or found.alias,
    "material": lambda found: " ".join(found.material_ids),
    "region": attrgetter("region"),
    "account": attrgetter("account"),
    "session": attrgetter("principal.session"),
    "access_key": attrgetter("principal.access_key_id"),
    "token": lambda found: str(found.token_ref) if found.token_ref else "",
    "message": attrgetter("error_message"),
}
"""What an event has in each column of texts."""


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
