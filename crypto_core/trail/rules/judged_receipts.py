"""From when on every call must have a receipt, and up to when calls are judged: late receipts have time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from crypto_core.trail.store.event_questions import Span
from crypto_core.trail.store.receipt_history import ReceiptHistory


@dataclass(frozen=True, slots=True)
class ReceiptPolicy:
    """What settings say: all processes write receipts since a moment, and one may come so late."""

    complete_since: datetime
    grace: timedelta = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class JudgedReceipts:
    """The policy now. Calls are judged once the grace has passed and receipts were taken in since then."""

    policy: ReceiptPolicy
    history: ReceiptHistory
    reached: datetime | None
    now: datetime

    @property
    def complete_since(self) -> datetime:
        return self.policy.complete_since

    @property
    def until(self) -> datetime:
        end = self.now if self.reached is None else min(self.now, self.reached)
        return self.complete_since if self.reached is None else end - self.policy.grace

    def due(self, before: datetime | None) -> tuple[datetime, ...]:
        """Return the days, in UTC, whose calls are judged now and weren't `before`; none if it is None."""
        if before is None or before >= self.until:
            return ()
        day = max(before, self.complete_since).replace(hour=0, minute=0, second=0, microsecond=0)
        days = range((self.until - day).days + 1)
        return tuple(day + timedelta(days=number) for number in days)

    def judged(self, window: Span) -> Span | None:
        """Return what of a window is judged; None for nothing."""
        return _within(window, self.complete_since, self.until)

    def waiting(self, window: Span) -> Span | None:
        """Return what of a window could be judged by its age, but for receipts that were not taken in."""
        return _within(window, max(self.complete_since, self.until), self.now - self.policy.grace)


def judged_receipts(policy: ReceiptPolicy, history: ReceiptHistory, now: datetime) -> JudgedReceipts:
    """Return the policy as it is now. Raises EventStoreError."""
    return JudgedReceipts(policy, history, history.reached(policy.complete_since), now)


def _within(window: Span, since: datetime, until: datetime) -> Span | None:
    begin = since if window.since is None else max(window.since, since)
    end = until if window.until is None else min(window.until, until)
    return Span(begin, end) if begin < end else None
