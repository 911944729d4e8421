"""What is asked of a pull: the window, and which events are kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from threading import Event

from crypto_core.lists.filter_language import Clause, passes, terms_of
from crypto_core.trail.bucket_calls import BUCKET_CALLS, bucket_of
from crypto_core.trail.columns import seconds
from crypto_core.trail.event import CLOUDTRAIL, KMS, TrailEvent
from crypto_core.trail.event_fields import FREE
from crypto_core.trail.query import Aliases, parse, values
from crypto_core.trail.record_reader import load, read_record
from crypto_core.trail.store.pulls import KMS_EVENTS, DeliveryBucket, TimeWindow

LATE = timedelta(minutes=15)
"""How long CloudTrail takes to deliver an event, as its User Guide has it: about five to fifteen minutes."""

Rest = Callable[[Event, float], object]
"""Waits so many seconds, or until the event is set."""

FILTERED = "filter"
"""How the scope of what a filter leaves begins: no filter may be taken for KMS_EVENTS."""

KEPT_SOURCES = (KMS, CLOUDTRAIL)
"""Whose events are kept; of S3's, those of BUCKET_CALLS about the buckets of trails."""


@dataclass(frozen=True, slots=True)
class PullQuery:
    """A window in whole seconds, both ends included, and a filter; `buckets` of trails are kept as well."""

    since: datetime
    until: datetime
    expression: str = ""
    terms: tuple[Clause, ...] = ()
    aliases: Aliases = dict
    buckets: tuple[DeliveryBucket, ...] = ()

    @property
    def window(self) -> TimeWindow:
        return TimeWindow(seconds(self.since), seconds(self.until))

    @property
    def scope(self) -> str:
        """What is fetched, as the store's book calls it; one that counts back from now is always new."""
        expression = self.expression.strip()
        if not expression:
            return KMS_EVENTS
        ends = [
            (a.at_least, a.at_most) for term in terms_of(self.terms) for a in term.alternatives if a.is_range
        ]
        moments = [end.isoformat() for two in ends for end in two if isinstance(end, datetime)]
        return " ".join((FILTERED, expression, *moments))

    @property
    def scope_of_files(self) -> str:
        """What is taken out of a file: one that was read for other buckets is read again."""
        return " ".join((self.scope, *sorted(bucket.name for bucket in self.buckets)))

    def about(self, buckets: Iterable[DeliveryBucket]) -> PullQuery:
        return replace(self, buckets=tuple(buckets))

    def wants(self, event: TrailEvent) -> bool:
        """True for an event that is to be kept, whenever it happened."""
        if event.source not in KEPT_SOURCES and not self._of_bucket(event):
            return False
        known = self.aliases() if self.terms else {}
        return passes(self.terms, partial(values, event, aliases=known), free=FREE)

    def _of_bucket(self, event: TrailEvent) -> bool:
        if not self.buckets or event.name not in BUCKET_CALLS:
            return False
        name = bucket_of(event)
        return any(bucket.name == name for bucket in self.buckets)


def asked(since: datetime, until: datetime, expression: str, *, aliases: Aliases, now: datetime) -> PullQuery:
    """Return what is asked. Raises InvalidFilterError."""
    return PullQuery(
        since.replace(microsecond=0),
        until.replace(microsecond=0),
        expression,
        parse(expression, now),
        aliases,
    )


def settled(window: TimeWindow, now: datetime) -> TimeWindow:
    """Return what of a window is whole by now: later events may still be on their way."""
    return TimeWindow(window.since, min(window.until, seconds(now - LATE)))


@dataclass(frozen=True, slots=True)
class ReadRecords:
    kept: tuple[TrailEvent, ...]
    records: int
    unreadable: int = 0


def kept_of(events: Iterable[TrailEvent | None], wants: Callable[[TrailEvent], bool]) -> ReadRecords:
    """Return those events that are wanted; None stands for what is no record."""
    kept, records, unreadable = [], 0, 0
    for event in events:
        records += 1
        if event is None:
            unreadable += 1
        elif wants(event):
            kept.append(event)
    return ReadRecords(tuple(kept), records, unreadable)


def event_in(text: object) -> TrailEvent | None:
    """Return the event that a record given as JSON in a text tells of; None if there is none."""
    try:
        return read_record(load(text), _as_bytes(text)) if isinstance(text, str) else None
    except ValueError:
        return None


def _as_bytes(text: str) -> bytes:
    """The text as it came; nothing for one that can't be kept so, whose record is written anew."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return b""
