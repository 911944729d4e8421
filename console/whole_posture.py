"""What the keys and what the events show, together; and what of it is suppressed."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from threading import Event
from typing import TYPE_CHECKING

from crypto_core.findings.finding import Gap, Severity, once_each
from crypto_core.keys.posture.examination import Posture
from crypto_core.trail.rules.examination import WINDOW, Examined
from crypto_core.trail.store.suppressions import Suppressed, sift
from crypto_core.values.errors import EventStoreError, KeydeckError, KmsError, SettingsError

if TYPE_CHECKING:
    from console.container import Container
    from crypto_core.keys.status import Status
    from crypto_core.trail.rules.service import TrailRules


def examine(
    services: Container, since: datetime | None, until: datetime | None, *, cancelled: Event | None = None
) -> tuple[Posture, tuple[Suppressed, ...]]:
    """Return what the keys and what the events show, and what of it is suppressed.

    Where AWS can't be asked for the keys, that is a gap. Raises DatabaseError, InterruptedRunError.
    """
    rules = services.services.trail_rules
    posture, _ = examine_keys(services, rules.clock(), cancelled=cancelled)
    return with_events(posture, rules, since, until, cancelled=cancelled)


def examine_keys(
    services: Container, now: datetime, *, status: Status | None = None, cancelled: Event | None = None
) -> tuple[Posture, KeydeckError | None]:
    """Return what the keys show; where AWS can't be asked, a posture with that gap, and the error.

    Raises InterruptedRunError.
    """
    try:
        return services.services.posture.examine_keys(status=status, cancelled=cancelled), None
    except (KmsError, SettingsError) as error:
        gap = Gap(f"Keys, access and trails are not examined: {error}", Severity.CRITICAL)
        return Posture(now, (), (gap,)), error


def with_events(
    posture: Posture,
    rules: TrailRules,
    since: datetime | None,
    until: datetime | None,
    *,
    cancelled: Event | None = None,
) -> tuple[Posture, tuple[Suppressed, ...]]:
    """Return a posture with what the stored events show. Raises InterruptedRunError."""
    try:
        examined = rules.examine_events(since, until, cancelled)
    except EventStoreError as error:
        now = posture.taken_at
        gap = Gap(f"CloudTrail events: {error.message}", Severity.HIGH)
        examined = Examined(now - WINDOW, now, gaps=(gap,))
    kept, hidden = sift(posture.findings, examined.suppressions)
    every, gaps = once_each((*kept, *examined.findings, *posture.gaps, *examined.gaps))
    together = replace(posture, findings=every, gaps=gaps)
    return together, (*hidden, *examined.suppressed)
