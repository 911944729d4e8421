"""Reads what was changed since the record before, what each change of a policy opened, and who used keys."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Event

from crypto_core.compliance.facts import ChangeFact, ChangeFacts, FactKind, ReviewFact, UseFact, UseFacts
from crypto_core.compliance.journal_changes import journal_changes, reviews_since
from crypto_core.database.state.journal import Journal
from crypto_core.keys.key_uses import USES
from crypto_core.keys.policy.document import parse_policy
from crypto_core.trail.coverage_record import CoverageRecord
from crypto_core.trail.event import TrailEvent
from crypto_core.trail.rules.access_changes import granted_beyond, opened_to
from crypto_core.trail.rules.rule_context import OF_KMS, RuleContext, listed, request, text
from crypto_core.trail.rules.service import TrailRules
from crypto_core.trail.rules.watched_keys import Keys
from crypto_core.trail.store.history import Group, History, Span, flag, has
from crypto_core.values.clean_text import clean
from crypto_core.values.counts import counted
from crypto_core.values.errors import DatabaseError, InterruptedRunError, PolicyError, TrailError

CLOUDTRAIL = "CloudTrail"
OF_KEYS = (
    *("EnableKey", "DisableKey", "ScheduleKeyDeletion", "CancelKeyDeletion", "DeleteKey"),
    *("EnableKeyRotation", "DisableKeyRotation", "RotateKeyOnDemand", "RotateKey"),
    *("ImportKeyMaterial", "DeleteImportedKeyMaterial", "ReplicateKey", "UpdatePrimaryRegion"),
    *("UpdateKeyDescription", "TagResource", "UntagResource"),
    *("CreateAlias", "UpdateAlias", "DeleteAlias"),
)
OF_ANY = ("CreateKey", "ConnectCustomKeyStore", "DisconnectCustomKeyStore", "UpdateCustomKeyStore")
"""Events that count for every key: a new one may guard tokens later."""
OF_POLICIES = ("PutKeyPolicy", "CreateGrant", "RevokeGrant", "RetireGrant")
_SETS_POLICY = ("PutKeyPolicy", "CreateKey", "ReplicateKey")
_PARAMETERS = (
    *("pendingWindowInDays", "rotationPeriodInDays", "aliasName", "targetKeyId", "replicaRegion"),
    *("primaryRegion", "customKeyStoreId", "expirationModel", "grantId", "granteePrincipal"),
)
"""Parameters of a request that are kept; others may hold anything."""


def trail_changes(
    history: History, keys: Keys, since: datetime, until: datetime, limit: int
) -> tuple[tuple[ChangeFact, ...], int]:
    """Return up to `limit` changes of keys that guard tokens, the oldest first; and how many are left out.

    Raises EventStoreError, InterruptedRunError.
    """
    context = RuleContext(history, since, until, keys)
    asked = (
        (OF_KMS, has("name", *OF_KEYS, *OF_POLICIES), *context.on_guarded),
        (OF_KMS, has("name", *OF_ANY)),
    )
    found: dict[str, TrailEvent] = {}
    left = 0
    for terms in asked:
        some = history.events(terms, context.window, limit=limit, newest_first=False)
        found |= {event.event_id: event for event in some}
        if len(some) == limit:
            left += sum(group.events for group in history.groups(("name",), terms, context.window)) - limit
    events = sorted(found.values(), key=lambda event: (event.time, event.event_id))
    left += max(len(events) - limit, 0)
    return tuple(_change(context, event) for event in events[:limit]), left


def _change(context: RuleContext, event: TrailEvent) -> ChangeFact:
    opens, closes = _effect(context, event)
    session = f", session {event.principal.session}" if event.principal.session else ""
    through = f", through {event.principal.invoked_by}" if event.principal.invoked_by else ""
    return ChangeFact(
        kind=FactKind.POLICY if event.name in OF_POLICIES else FactKind.KEY,
        source=clean(CLOUDTRAIL),
        id=event.event_id,
        at=event.time,
        what=event.name,
        subject=clean(
            (event.key_arns[0] if event.key_arns else event.alias)
            or text(request(event).get("customKeyStoreId"), 64)
        ),
        who=clean(f"{event.principal.arn or 'nobody named'}{session}{through}", 600),
        outcome=clean(f"refused: {event.error_code}" if event.failed else "done"),
        detail=clean("; ".join(_details(event)), 600),
        opens=clean(opens, 600),
        closes=closes,
    )


def _effect(context: RuleContext, event: TrailEvent) -> tuple[str, bool]:
    """What a call made wider than wanted, and whether what it set is known to leave nothing so."""
    if event.failed:
        return "", False
    if event.name == "CreateGrant":
        return granted_beyond(context, event), False
    if event.name not in _SETS_POLICY or not _readable(event):
        return "", False
    opens = opened_to(context, event)
    return opens, not opens


def policy_digest(policy: str) -> str:
    """Return the SHA-256, in hex, of a policy's JSON written in one way: another one is another policy.

    Raises ValueError for what is no JSON.
    """
    written = json.dumps(json.loads(policy), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(written.encode()).hexdigest()


def _readable(event: TrailEvent) -> bool:
    given = request(event).get("policy")
    if not isinstance(given, str):
        return False
    try:
        parse_policy(given)
    except PolicyError:
        return False
    return True


def _details(event: TrailEvent) -> Iterator[str]:
    given = request(event)
    if event.name in _SETS_POLICY and _readable(event):
        yield f"policy {policy_digest(str(given['policy']))}"
    operations = given.get("operations")
    if isinstance(operations, list):
        yield f"operations {listed([text(one, 40) for one in operations], 20)}"
    for name in _PARAMETERS:
        if said := text(given.get(name), 200):
            yield f"{name} {said}"


OVERLAP = timedelta(days=1)
"""So much of the time before the record before is read again: what came late is seen, by its id once."""
LATE = timedelta(hours=1)
"""Uses are counted up to so long ago: CloudTrail delivers with delay, and what is counted has no id."""
MOST_CHANGES = 5_000
MOST_USES = 2_000
_BY = ("key", "principal", "name")


@dataclass(eq=False)
class ChangeReader:
    """Reads changes and uses. Blocks on SQL, and on KMS for the names of keys."""

    journal: Journal
    rules: TrailRules
    coverage: CoverageRecord
    review_days: int = 0

    def changes(self, before: datetime | None, now: datetime, cancelled: Event | None = None) -> ChangeFacts:
        """Return what was changed since the record before, and a day more; of the last day without one.

        What can't be looked at is a gap. Raises InterruptedRunError.
        """
        since = (before or now) - OVERLAP
        found: list[ChangeFact] = []
        gaps: list[str] = []
        read: tuple[tuple[str, Callable[[], tuple[tuple[ChangeFact, ...], int]]], ...] = (
            ("CloudTrail events", lambda: self._of_trail(since, now, gaps, cancelled)),
            ("journal", lambda: journal_changes(self.journal, since, now, MOST_CHANGES)),
        )
        for name, reading in read:
            try:
                some, left = reading()
            except InterruptedRunError:
                raise
            except (TrailError, DatabaseError) as error:
                gaps.append(f"{name}: {error.message}")
                continue
            found += some
            if left:
                gaps.append(f"{name}: {left:,} more than a record has room for are left out")
        ordered = sorted(found, key=lambda one: (one.at, one.source, one.id))
        if (left := len(ordered) - MOST_CHANGES) > 0:
            gaps.append(f"{counted(left, 'change')} more than a record has room for left out")
        return ChangeFacts(
            since, now, tuple(ordered[:MOST_CHANGES]), tuple(clean(gap, 600) for gap in dict.fromkeys(gaps))
        )

    def uses(self, before: datetime | None, now: datetime, cancelled: Event | None = None) -> UseFacts:
        """Return who used the keys since `before`, up to an hour ago; of the last day without it.

        Raises EventStoreError, InterruptedRunError.
        """
        until = now - LATE
        since = min(before or until - OVERLAP, until)
        gaps = list(self.coverage.coverage_of(since, until).reasons)
        uses = sorted(
            self._uses(since, until, gaps, cancelled), key=lambda one: (-one.calls, one.key, one.who)
        )
        if (left := len(uses) - MOST_USES) > 0:
            gaps.append(f"{counted(left, 'use')} by whoever called least left out")
        return UseFacts(
            since,
            until,
            tuple(uses[:MOST_USES]),
            gaps=tuple(clean(gap, 600) for gap in gaps),
            review_days=self.review_days,
        )

    def reviews(self, now: datetime) -> tuple[ReviewFact, ...]:
        """Return the reviews of access of the last year, or as long as one holds. Raises DatabaseError."""
        return reviews_since(self.journal, now - timedelta(days=max(self.review_days, 366)))

    def _of_trail(
        self, since: datetime, now: datetime, gaps: list[str], cancelled: Event | None
    ) -> tuple[tuple[ChangeFact, ...], int]:
        gaps += self.coverage.coverage_of(since, now).reasons
        keys, unknown = self.rules.configured_keys()
        gaps += (gap.reason for gap in unknown)
        history = History(self.rules.store.file, self.rules.aliases, cancelled)
        return trail_changes(history, keys, since, now, MOST_CHANGES)

    def _uses(
        self, since: datetime, until: datetime, gaps: list[str], cancelled: Event | None
    ) -> Iterator[UseFact]:
        keys, unknown = self.rules.configured_keys()
        gaps += (gap.reason for gap in unknown)
        history = History(self.rules.store.file, self.rules.aliases, cancelled)
        context = RuleContext(history, since, until, keys)
        terms = (OF_KMS, has("name", *USES), *context.on_guarded)
        span = Span(since, until)
        denied = {one.values: one.events for one in history.groups(_BY, (*terms, flag("denied")), span)}
        for one in history.groups(_BY, terms, span):
            yield _use(one, denied.get(one.values, 0))


def _use(found: Group, denied: int) -> UseFact:
    key, who, action = found.values
    return UseFact(
        clean(key.split(" ")[0]),
        clean(who or "nobody named"),
        clean(action),
        found.events,
        denied,
        found.first,
        found.last,
    )
