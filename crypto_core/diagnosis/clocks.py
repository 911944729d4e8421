"""This machine's clock against another's."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from crypto_core.diagnosis.check import Check, Topic

Clock = Callable[[], datetime]

REMEDY = "Set this machine's clock by NTP (timedatectl set-ntp true), or the other's if that one is wrong."


def system_clock() -> datetime:
    """Return the time of this machine, aware."""
    return datetime.now(UTC)


def clock_check(
    topic: Topic, whose: str, off_by: float, limits: tuple[float, float], *, consequence: str = ""
) -> Check:
    """Return how far `whose` clock is ahead of ours, `off_by` in seconds; `limits`: warning, failure."""
    distance = abs(off_by)
    direction = "ahead of" if off_by > 0 else "behind"
    if distance < 1.5:
        said = f"This machine and {whose} agree within {distance:.1f} s."
    else:
        said = f"The clock of {whose} is {_span(distance)} {direction} this machine's."
    warning, failure = limits
    if distance <= warning:
        return topic.ok(said)
    told = topic.failed if distance > failure else topic.warning
    return told(f"{said} {consequence}".rstrip(), REMEDY)


def _span(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:,.0f} s"
    minutes = seconds / 60
    return f"{minutes:,.0f} min" if minutes < 120 else f"{minutes / 60:,.1f} h"
