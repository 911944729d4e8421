"""Which days the map shows: so many up to today, or from one date to another."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from crypto_core.errors import InvalidFilterError
from crypto_core.text.cleaning import shortened
from screens.event_filters import since as moment_since

MOST_DAYS = 3 * 366
_ROUND = {"30d": 30, "90d": 90, "1y": 365}
"""The periods that one key goes through, by their names."""
_SPAN = re.compile(r"(\S+?)\s*(?:\.\.|\s)\s*(\S+)")
_WRITTEN = "Write 30d, 90d, 1y, or two dates: 2026-01-01 2026-06-30."


@dataclass(frozen=True, slots=True)
class PeriodChoice:
    """So many `days` up to today; or the days from `since` to `until`, both included."""

    words: str
    days: int = 0
    since: date = date.min
    until: date = date.min

    def on(self, today: date) -> tuple[date, date]:
        """Return the first day and the last one."""
        if self.days:
            return today - timedelta(days=self.days - 1), today
        return self.since, self.until

    def next(self) -> PeriodChoice:
        """Return the next of the round: the first one after two dates."""
        names = list(_ROUND)
        at = names.index(self.words) if self.words in names else -1
        return named(names[(at + 1) % len(names)])


def named(words: str) -> PeriodChoice:
    """Return one of the round."""
    return PeriodChoice(words, _ROUND[words])


def chosen(words: str, now: datetime) -> PeriodChoice:
    """Return the period that an operator names. Raises InvalidFilterError, which says how to write it."""
    words = words.strip()
    if words in _ROUND:
        return named(words)
    both = _SPAN.fullmatch(words)
    first, last = (both[1], both[2]) if both else (words, "")
    until = _day(last, now) if last else now.astimezone(UTC).date()
    since = _day(first, now)
    if not since <= until:
        raise _refused(words, "ends before it begins")
    if (until - since).days >= MOST_DAYS:
        raise _refused(words, f"is longer than {MOST_DAYS:,} days")
    return PeriodChoice(f"{since} to {until}", 0, since, until)


def _day(words: str, now: datetime) -> date:
    try:
        return date.fromisoformat(words)
    except ValueError:
        pass  # how long ago, then
    try:
        return moment_since(words, None, now).astimezone(UTC).date()
    except (InvalidFilterError, OverflowError) as error:
        raise _refused(words, "is not a valid date") from error


def _refused(words: str, why: str) -> InvalidFilterError:
    return InvalidFilterError(f"{shortened(words, 40)!r} {why}.", position=0, remedy=_WRITTEN)
