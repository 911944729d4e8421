"""What rules look at: a window of the store's events, what came before it, and the keys that matter."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from crypto_core.database.tokens.decoys import NO_DECOYS, Decoys
from crypto_core.findings.finding import Finding, Gap, Severity
from crypto_core.keys.key_uses import READS
from crypto_core.lists.filter_language import Alternative, Term
from crypto_core.trail.bucket_calls import bucket_of
from crypto_core.trail.event import CLOUDTRAIL, KMS, S3, TrailEvent
from crypto_core.trail.record_reader import load
from crypto_core.trail.rules.watched_keys import Keys, patterns
from crypto_core.trail.store.history import Group, History, Span, flag, has, like
from crypto_core.trail.store.pulls import DeliveryBucket, TimeWindow
from crypto_core.trail.store.receipt_questions import ReceiptHistory
from crypto_core.values import counts
from crypto_core.values.clean_text import clean
from crypto_core.values.counts import counted


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


_BEGAN = datetime(2013, 11, 1, tzinfo=UTC)
"""CloudTrail records nothing of before: what has no date, or an older one, makes nothing normal."""
BASELINE_DAYS = 3
MOST_EVENTS = 20
"""So many events are named as a finding's evidence; its text says how many there are."""
MOST_CHANGES = 2_000
_MOST_ASKED = 200
"""So many of CloudTrail's own calls tell which buckets it delivers to."""
MOST_FINDINGS = 50
"""How many findings of one rule are listed; a gap gives the number of the rest."""

OF_KMS = has("source", KMS)
NO_SERVICE = flag("service", negated=True)
DID = flag("failed", negated=True)
FAILED = flag("failed")


@dataclass
class RuleContext:
    history: History
    since: datetime
    until: datetime
    keys: Keys = field(default_factory=Keys)
    receipts: JudgedReceipts | None = None
    """What is asked of receipts; None where not every call must have one."""
    followed: Mapping[DeliveryBucket, Mapping[str, Sequence[TimeWindow]]] = field(default_factory=dict)
    """The buckets of trails that pulls follow, and what was fetched of each under its names."""
    decoys: Decoys = NO_DECOYS

    @cached_property
    def window(self) -> Span:
        return Span(self.since, self.until)

    @cached_property
    def before(self) -> Span:
        return Span(_BEGAN, self.since)

    @cached_property
    def days_before(self) -> int:
        return self.history.days(self.before)

    @property
    def has_baseline(self) -> bool:
        return self.days_before >= BASELINE_DAYS

    @cached_property
    def on_guarded(self) -> tuple[Term, ...]:
        """The terms for calls with keys that guard tokens, or that name no key; all where none is known."""
        if not self.keys.guarding:
            return ()
        return (like("key", *patterns(self.keys.guarding, self.keys.names or {})),)

    @cached_property
    def openings(self) -> tuple[Term, ...]:
        """The terms for what opened something under a guarded key; what services sealed is no token."""
        return (OF_KMS, has("name", "Decrypt", "ReEncrypt"), DID, NO_SERVICE, *self.on_guarded)

    @cached_property
    def read_out(self) -> tuple[Term, ...]:
        """The terms for what let the caller have a data key.

        ReEncrypt returns none. Where keys are configured, those that it may wrap under are known, and others
        are told apart; where none is, whoever wraps anew may be taking tokens to a key of its own.
        """
        return (*self.openings, has("name", *READS)) if self.keys.guarding else self.openings

    @cached_property
    def opened(self) -> tuple[Group, ...]:
        return self.history.groups(("principal",), self.openings, self.window)

    @cached_property
    def opened_before(self) -> Mapping[str, Group]:
        return {g.values[0]: g for g in self.history.groups(("principal",), self.openings, self.before)}

    @cached_property
    def seen_before(self) -> frozenset[str]:
        groups = self.history.groups(("principal",), (DID,), self.before)
        return frozenset(g.values[0] for g in groups)

    @cached_property
    def trail_buckets(self) -> tuple[str, ...]:
        """The buckets of trails, by name: those that pulls follow, and those that the window's events name.

        In files that were imported these are calls that set up a trail, and CloudTrail's own, which asks for
        a bucket's access list before it delivers.
        """
        set_up, _ = self.changes(CLOUDTRAIL, "CreateTrail", "UpdateTrail")
        asked = self.history.events(
            (has("source", S3), has("name", "GetBucketAcl"), has("invoked_by", CLOUDTRAIL)),
            self.window,
            limit=_MOST_ASKED,
        )
        names = [bucket.name for bucket in self.followed]
        names += [text(request(event).get("s3BucketName"), 63) for event in set_up if not event.failed]
        names += map(bucket_of, asked)
        return tuple(dict.fromkeys(name for name in names if name))

    def of(self, principal: str, terms: Iterable[Term] = ()) -> tuple[Term, ...]:
        named = (
            has("principal", principal)
            if principal
            else Term("principal", (Alternative(text="*"),), negated=True, position=0)
        )
        return (named, *terms)

    def by_principal(
        self, terms: Iterable[Term], *fields: str, span: Span | None = None
    ) -> dict[str, list[Group]]:
        found: dict[str, list[Group]] = {}
        for group in self.history.groups(("principal", *fields), terms, span or self.window):
            found.setdefault(group.values[0], []).append(group)
        return found

    def evidence(
        self, principal: str, terms: Iterable[Term], span: Span | None = None
    ) -> tuple[TrailEvent, ...]:
        """Return some of one principal's events that terms are about, as many as a finding names."""
        return self.history.events(
            self.of(principal, terms), span or self.window, limit=MOST_EVENTS, newest_first=False
        )

    def changes(
        self, source: str, *names: str, terms: Sequence[Term] = ()
    ) -> tuple[tuple[TrailEvent, ...], tuple[Gap, ...]]:
        """Return the window's calls of these names, the oldest first, and a gap where they are too many."""
        found = self.history.events(
            (has("source", source), has("name", *names), *terms),
            self.window,
            limit=MOST_CHANGES + 1,
            newest_first=False,
        )
        if len(found) <= MOST_CHANGES:
            return found, ()
        reason = f"CloudTrail events: of {', '.join(names)} only the first {MOST_CHANGES:,} were examined"
        return found[:MOST_CHANGES], (Gap(reason, Severity.MEDIUM),)

    def weighed(self, severity: Severity, arns: Sequence[str]) -> Severity:
        """Return a severity for keys: two degrees less where they guard no tokens."""
        return severity if self.keys.guards(arns) else severity.lowered(2)

    def key(self, arn: str) -> str:
        return self.keys.name(arn)


def found(
    severity: Severity, subject: str, title: str, evidence: str, remedy: str, events: Sequence[TrailEvent]
) -> Finding:
    """Return a finding with its events; it is about `subject`, "" for a principal without a name."""
    dated = [e.time for e in events if e.dated]
    return Finding(
        "",
        severity,
        subject or "unknown",
        title,
        evidence,
        remedy,
        events=tuple(e.event_id for e in events[:MOST_EVENTS]),
        first_at=min(dated, default=None),
        last_at=max(dated, default=None),
    )


def who(event: TrailEvent) -> str:
    principal = event.principal
    if principal.is_root and principal.account:
        return f"root of {principal.account}"
    return short(principal.name) or "an unknown principal"


def short(name: str) -> str:
    return clean(name, 64)


def name_of(arn: str) -> str:
    """A principal's ARN as a title has room for it: role/platform."""
    rest = arn.rsplit(":", 1)[-1] if arn.startswith("arn:") else arn
    kind, _, path = rest.partition("/")
    return short(f"{kind}/{path.rsplit('/', 1)[-1]}" if path else rest) or "an unknown principal"


def subject_of(event: TrailEvent) -> str:
    return (event.key_arns[0] if event.key_arns else event.alias) or event.principal.arn or event.event_id


def where_from(events: Sequence[TrailEvent]) -> str:
    return listed(dict.fromkeys(e.source_ip for e in events if e.source_ip))


def listed(values: Iterable[str], most: int = 5) -> str:
    return counts.listed([clean(v, 120) for v in values if v], most)


def times(number: int) -> str:
    return "once" if number == 1 else f"{number:,} times"


def calls(number: int) -> str:
    return counted(number, "call")


def recorded(event: TrailEvent) -> Mapping[str, Any]:
    """The record of a call: neither clean nor sure to be of the right types."""
    try:
        record = load(event.raw) if event.raw else {}
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}


def request(event: TrailEvent) -> Mapping[str, Any]:
    """The parameters of a call as they were recorded: neither clean nor sure to be of the right type."""
    parameters = recorded(event).get("requestParameters")
    return parameters if isinstance(parameters, dict) else {}


def text(value: object, limit: int = 200) -> str:
    """A parameter as text; "" for what is none."""
    return clean(value, limit) if isinstance(value, str | int) and not isinstance(value, bool) else ""
