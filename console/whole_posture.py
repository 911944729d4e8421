"""What the keys and what the events show, together; and what of it is suppressed."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from threading import Event
from typing import TYPE_CHECKING

from crypto_core.errors import EventStoreError, KmsError, SettingsError
from crypto_core.findings.finding import Gap, once_each
from crypto_core.findings.severity import Severity
from crypto_core.keys.posture.examination import Posture
from crypto_core.trail.rules.examination import WINDOW, Examined
from crypto_core.trail.store.suppressions import Suppressed, sift

if TYPE_CHECKING:
    from console.container import Container
    from crypto_core.trail.rules.service import TrailRules


def examine(
    services: Container, since: datetime | None, until: datetime | None, *, cancelled: Event | None = None
) -> tuple[Posture, tuple[Suppressed, ...]]:
    """Return what the keys and what the events show, and what of it is suppressed.

    Where AWS can't be asked for the keys, that is a gap. Raises DatabaseError, InterruptedRunError.
    """
    rules = services.services.trail_rules
    try:
        posture = services.services.posture.examine_keys(cancelled=cancelled)
    except (KmsError, SettingsError) as error:
        posture = not_examined(error, rules.clock())
    return with_events(posture, rules, since, until, cancelled=cancelled)


def not_examined(error: KmsError | SettingsError, now: datetime) -> Posture:
    """Return the posture that says why keys, access and trails were not examined."""
    reason = f"Keys, access and trails are not examined: {error}"
    return Posture(now, (), (Gap(reason, Severity.CRITICAL),))


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
