"""A review of access: who may use the keys that guard tokens, who did, and that somebody looked at it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any

from crypto_core.compliance.change_reader import LATE, ChangeReader
from crypto_core.compliance.facts import AccessFact, AccessFacts, GuardingKeyFacts, KeyFact, UseFact
from crypto_core.compliance.journal_changes import REVIEW, without_rows
from crypto_core.compliance.snapshot import SnapshotPart
from crypto_core.compliance.snapshot_reader import SnapshotReader
from crypto_core.database.state.installation import require_schemas
from crypto_core.database.state.journal import Journal
from crypto_core.guard.guard import Guard
from crypto_core.guard.guarded_change import Outcome
from crypto_core.incidents.steps.evidence_text import kept_text
from crypto_core.proof.forms import canonical
from crypto_core.values.clean_text import CleanText, cleans
from crypto_core.values.counts import listed
from crypto_core.values.errors import RefusedError
from crypto_core.values.json_records import JsonRecord, json_value, shape

_REASON = 500
_FIRST_DAYS = 90


@dataclass(frozen=True, slots=True)
@cleans(600)
class AccessReview(JsonRecord):
    """What is looked at. `uses` are from `since` to `until`; `gaps` are what could not be read of it."""

    keys: tuple[KeyFact, ...]
    accesses: tuple[AccessFact, ...]
    uses: tuple[UseFact, ...]
    since: datetime
    until: datetime
    gaps: tuple[CleanText, ...] = ()

    json_shape = shape("sha256 names *document")

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(one.name for one in self.keys)

    @property
    def document(self) -> dict[str, Any]:
        """What was looked at, as JSON: in one order."""
        return {
            "keys": sorted(one.arn for one in self.keys),
            "accesses": sorted((json_value(one) for one in self.accesses), key=canonical),
            "uses": sorted((json_value(one) for one in self.uses), key=canonical),
            "since": self.since.isoformat(),
            "until": self.until.isoformat(),
            "gaps": sorted(self.gaps),
        }

    @property
    def sha256(self) -> str:
        """The digest of that, in hex: what the journal has."""
        return hashlib.sha256(canonical(self.document).encode()).hexdigest()


@dataclass(eq=False)
class AccessReviewer:
    """Shows what a review is of, and journals it. Blocks on SQL and KMS: call it from a worker."""

    reader: SnapshotReader
    changes: ChangeReader
    journal: Journal
    _: KW_ONLY
    read_only: bool
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)

    def __post_init__(self) -> None:
        self._guard = Guard(
            self.journal, read_only=self.read_only, ready=require_schemas(self.journal.engine)
        )

    def look(self, cancelled: Event | None = None) -> AccessReview:
        """Return who may use the keys that guard tokens, and who did since the last review of all of them.

        Raises RefusedError where keys or policies can't be read, EventStoreError, DatabaseError,
        InterruptedRunError.
        """
        snapshot = self.reader.take((SnapshotPart.KEYS, SnapshotPart.ACCESS), cancelled)
        known, access = snapshot.known(GuardingKeyFacts), snapshot.known(AccessFacts)
        if known is None or access is None:
            why = "; ".join(dict.fromkeys(one.reason.rstrip(".") for one in snapshot.missing.values()))
            raise RefusedError(f"Who may use the keys can't be read: {why}")
        now, arns = self.clock(), {one.arn for one in known.keys}
        reviews = [one for one in self.changes.reviews(now) if arns <= set(one.keys)]
        first = now - timedelta(days=_FIRST_DAYS)
        uses = self.changes.uses(max((one.at - LATE for one in reviews), default=first), now, cancelled)
        return AccessReview(
            known.keys,
            access.accesses,
            tuple(one for one in uses.uses if one.key in arns),
            uses.since,
            uses.until,
            (*access.gaps, *uses.gaps),
        )

    def record(self, review: AccessReview, reason: str) -> str:
        """Journal that the present identity looked at this, and why; return its digest, in hex.

        Raises ReadOnlyError, MissingSchemaError, DatabaseError; RefusedError without a reason or without a
        key, journaled.
        """
        self._guard.may_change("review access")
        why = without_rows(kept_text(reason, _REASON), _REASON)
        subject = f"access to {listed(review.names, 3)}"
        with self._guard.recording(REVIEW, subject, {"accesses": review.sha256}):
            if not why:
                raise RefusedError("A review needs a reason, in a few words: what it was done for.")
            if not review.keys:
                raise RefusedError("No key is known that guards tokens: there is nothing to review.")
            detail = {
                "accesses": review.sha256,
                "keys": sorted(one.arn for one in review.keys),
                "reason": why,
                "since": review.since.isoformat(),
                "until": review.until.isoformat(),
                "permissions": len(review.accesses),
                "users": len({one.who for one in review.uses}),
                "gaps": len(review.gaps),
            }
            self.journal.record(REVIEW, subject, Outcome.DONE, detail)
        return review.sha256
