"""A day of events for the stage: a platform at work, a service's noise, an operator, an intruder."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from crypto_core.trail.event import TrailEvent
from tests.crypto_core.trail import records
from tests.screens.samples import CURRENT, MATERIALS, NOW


def stamp(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def event(
    number: int, name: str = "Decrypt", *, ago: float = 0, key: str | None = CURRENT, **more: Any
) -> TrailEvent:
    """An event so many seconds before the stage's now, under an id that its number gives."""
    ids = {
        "eventID": f"00000000-0000-4000-8000-{number:012}",
        "requestID": f"10000000-0000-4000-8000-{number:012}",
        "eventTime": stamp(NOW - timedelta(seconds=ago)),
        "additionalEventData": {"keyMaterialId": MATERIALS[2]},
    }
    return records.event(name, key=key, **(ids | more))


def denied(number: int, *, ago: float = 0, who: Mapping[str, Any] | None = None) -> TrailEvent:
    refused = records.denied(
        key=CURRENT,
        who=who,
        eventID=f"00000000-0000-4000-8000-{number:012}",
        requestID=f"10000000-0000-4000-8000-{number:012}",
        eventTime=stamp(NOW - timedelta(seconds=ago)),
        sourceIPAddress="198.51.100.7",
        userAgent="aws-cli/2.31.0",
    )
    return records.read(refused)


def a_day() -> list[TrailEvent]:
    found = [event(n, ago=n * 600 + 60) for n in range(140)]
    found += [event(1_000 + n, ago=9_000 + n * 40, context=records.context(f"gh-{n % 7}")) for n in range(60)]
    found += [
        event(2_000 + n, "GenerateDataKey", ago=n * 300 + 30, sourceIPAddress="AWS Internal")
        for n in range(40)
    ]
    found += [denied(3_000 + n, ago=31_000 + n * 3) for n in range(3)]
    intruder = {"who": records.user(), "sourceIPAddress": "198.51.100.7", "userAgent": "aws-cli/2.31.0"}
    found += [event(3_100, ago=30_990, context=records.context("gh-3"), **intruder)]
    found += [event(3_200, "Decrypt", ago=40, who=records.role("oncall", "ana"))]
    found += [event(4_000, ago=100_000)]
    return found
