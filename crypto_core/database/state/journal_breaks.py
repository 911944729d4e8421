"""A new beginning for a journal that is damaged, or whose signed entries are missing.

Nothing is repaired. The operator acknowledges what is wrong; a checkpoint over the journal's end names it
under its signature: the last checkpoint, what is missing, and the digest of all that is there. From then on
what comes later is held against that one, and the break is shown wherever the journal is verified.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

from crypto_core.database.state.installation import require_schemas
from crypto_core.database.state.journal import chained, written_last
from crypto_core.database.state.journal_checkpoints import JournalCheckpoints, stored_checkpoints
from crypto_core.database.state.journal_verification import MOST_LOST, JournalCheck
from crypto_core.guard.approvals import ApprovalGate
from crypto_core.guard.consent import Consent, Danger, document_digest
from crypto_core.guard.guard import Guard
from crypto_core.guard.guarded_change import Ended, GuardedChange, Outcome, Run
from crypto_core.guard.operations import BY_NAME
from crypto_core.proof.forms import Checkpoint, JournalBreak, JournalEntry, SignedEntry
from crypto_core.proof.journal import JournalContents
from crypto_core.values.clean_text import CleanText, clean, cleans
from crypto_core.values.errors import RefusedError
from crypto_core.values.json_records import JsonRecord, shape
from crypto_core.values.moments import in_utc

SUBJECT = "journal"
_ACTION = BY_NAME["journal break"].journaled_as


@dataclass(frozen=True, slots=True)
@cleans(reason=1_000, problems=1_000, warnings=1_000, database_id=100)
class BreakPlan:
    """What is to be acknowledged. Cleaned text."""

    danger: ClassVar[Danger] = Danger.TYPED
    reason: CleanText
    problems: tuple[CleanText, ...]
    whole_to: int
    last: SignedEntry | None
    lost: tuple[SignedEntry, ...]
    database_id: CleanText
    warnings: tuple[CleanText, ...] = ()

    @property
    def digest(self) -> str:
        return document_digest(self._what())

    @property
    def confirmation(self) -> str:
        return f"broken after {self.whole_to}"

    @property
    def summary(self) -> str:
        return (
            f"Begin the journal anew: {self._signed_last} {len(self.lost):,} signed places are missing or "
            f"changed; it is whole up to entry {self.whole_to:,} at most."
        )

    @property
    def sentences(self) -> tuple[str, ...]:
        missing = [
            f"Entry {one.seq}, signed on {in_utc(one.at)}, is gone or another one." for one in self.lost
        ]
        return (*missing, *self.problems)

    @property
    def _signed_last(self) -> str:
        if self.last is None:
            return "it was never signed."
        return f"it was signed last at entry {self.last.seq:,} on {in_utc(self.last.at)}."

    def as_json(self) -> dict[str, Any]:
        return {**self._what(), "digest": self.digest, "warnings": list(self.warnings)}

    def _what(self) -> dict[str, Any]:
        return {
            "reason": self.reason,
            "problems": list(self.problems),
            "whole_to": self.whole_to,
            "last": self.last.as_json() if self.last else None,
            "lost": [one.as_json() for one in self.lost],
            "database_id": self.database_id,
        }


@dataclass(frozen=True, slots=True)
class BreakResult(JsonRecord):
    """The checkpoint that acknowledges a break, and the journal's verification with it."""

    checkpoint: Checkpoint
    check: JournalCheck
    unjournaled: str = ""

    json_shape = shape("checkpoint journal=check unjournaled?")


class JournalBreaks:
    def __init__(
        self, checkpoints: JournalCheckpoints, *, read_only: bool, approvals: ApprovalGate | None = None
    ) -> None:
        self._checkpoints = checkpoints
        self._journal = checkpoints.journal
        self._guard = Guard(
            self._journal,
            read_only=read_only,
            ready=require_schemas(self._journal.engine),
            approvals=approvals,
        )

    def plan_break(self, reason: str, *, look: Callable[[], JournalCheck] | None = None) -> BreakPlan:
        """Return what would be acknowledged. Journaled as a dry run.

        `look` verifies the journal, by what was kept elsewhere too; by default by what is here. Raises
        RefusedError for a journal that is whole, whose end can't be reached, or whose signatures can't be
        checked; SettingsError without a signing key, DatabaseError.
        """
        return self._guard.plan(
            _ACTION, SUBJECT, lambda: self._plan(reason, look or self._checkpoints.verify), BreakPlan.as_json
        )

    def acknowledge_break(
        self, plan: BreakPlan, consent: Consent | None, *, look: Callable[[], JournalCheck] | None = None
    ) -> BreakResult:
        """Sign the journal's end with the break that is acknowledged. Journaled on every outcome.

        `look` as for `plan_break`. Raises ReadOnlyError, NotConfirmedError, ApprovalNeededError, RefusedError
        if the journal is not as it was planned, and as `plan_break`; KmsError.
        """
        look = look or self._checkpoints.verify
        words = "acknowledge a break of the journal"
        still = partial(self._require_same, plan, look)
        change = GuardedChange.of(plan, _ACTION, SUBJECT, words=words, still=still)
        result, unjournaled = self._guard.run(
            change,
            consent,
            lambda run: self._acknowledge(run, plan),
            lambda _, made: self._read_back(made, look),
        )
        return replace(result, unjournaled=unjournaled)

    def _plan(self, reason: str, look: Callable[[], JournalCheck]) -> BreakPlan:
        self._checkpoints.require_signer()
        said = clean(reason.strip(), 1_000)
        if not said:
            raise RefusedError("Acknowledging a break takes a reason: what happened, as far as it is known.")
        followed = self._checkpoints.followed()
        if followed.ends_wrong:
            # The next entry is put behind the damage, and says so: what is planned for is what is there then.
            looked = {"found": followed.ends_wrong}
            self._guard.try_to_record(_ACTION, SUBJECT, Outcome.DRY_RUN, looked)
            followed = self._checkpoints.followed()
        if followed.ends_wrong:
            raise RefusedError(
                f"The journal's end can't be signed: {followed.ends_wrong}",
                remedy="What was put behind the end has to be removed first: keydeck doctor says how.",
            )
        check = look()
        if check.unchecked:
            raise RefusedError(
                f"It is not known what was signed: {check.unchecked}",
                remedy="Configure the keys that signed the checkpoints, and let KMS verify with them.",
            )
        if check.whole:
            raise RefusedError("The journal is whole: there is no break to acknowledge.")
        if len(check.lost) > MOST_LOST:
            raise RefusedError(
                f"{len(check.lost):,} signed places are missing; a break can name {MOST_LOST:,}.",
                remedy="Leave out what was kept elsewhere but for the last ones.",
            )
        missing = {clean(problem, 1_000) for told in check.lost.values() for problem in told}
        # Whether a signed entry is gone or another one by now changes with each further entry.
        problems = tuple(clean(one, 1_000) for one in check.problems if one not in missing)
        of = clean(check.database_id, 100)
        return BreakPlan(said, problems, check.anchored, check.newest, tuple(check.lost), of)

    def _require_same(self, plan: BreakPlan, look: Callable[[], JournalCheck]) -> None:
        if replace(self._plan(plan.reason, look), warnings=plan.warnings) != plan:
            raise RefusedError(
                "The journal is not as it was planned any more: something else is wrong now.",
                remedy="Look at the plan again: keydeck journal break --dry-run.",
            )

    def _acknowledge(self, run: Run, plan: BreakPlan) -> Checkpoint:
        actor = self._journal.actor()
        run.begin({"reason": plan.reason, "whole_to": plan.whole_to}, actor=actor)
        contents, end = JournalContents(), None
        with self._checkpoints.reading() as connection:
            last, stored = written_last(connection), stored_checkpoints(connection)
            for entry in chained(connection):
                contents.entry(entry)
                end = entry
        if end is None or last is None or not _written_by_its_function(end, last[:2]):
            raise RefusedError("The journal's end is not the entry that was written last.")
        broken = JournalBreak(
            plan.reason,
            clean(actor, 500),
            plan.problems,
            plan.whole_to,
            plan.last,
            plan.lost,
            contents.checkpoints(stored),
        )
        return self._checkpoints.keep(end, last.database_id, actor, broken)[0]

    def _read_back(self, made: Checkpoint, look: Callable[[], JournalCheck]) -> Ended[BreakResult]:
        check = look()
        outcome = Outcome.DONE if check.whole and made in check.breaks else Outcome.FAILED
        detail = {"seq": made.seq, "problems": list(check.problems)}
        return Ended(BreakResult(made, check), outcome, detail)


def _written_by_its_function(end: JournalEntry, last: tuple[int, bytes]) -> bool:
    return (end.seq, end.digest) == last and end.digest == end.computed_digest()
