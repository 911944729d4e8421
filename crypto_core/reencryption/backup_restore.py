"""Restores replaced envelopes: of tokens named one by one, or of all written since some time.

What stood before a present value is the newest kept envelope of that token whose place this very value took.
KMS opens it before it is restored. Where the present value opens too and holds another token, it stays; where
it does not open, nothing is lost by restoring what does, and the present value is kept in its turn.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from threading import Event
from typing import Any

from crypto_core.database.tokens import backups
from crypto_core.database.tokens.attached_code import AttachedCode, RunsCode, code_warnings
from crypto_core.database.tokens.backups import KeptEnvelope
from crypto_core.database.tokens.catalogue import LiveCatalogue
from crypto_core.database.tokens.store import StoredToken, TokenStore
from crypto_core.database.tokens.tables import TokenColumn
from crypto_core.guard.approvals import ApprovalGate
from crypto_core.guard.consent import Consent, Danger, document_digest
from crypto_core.guard.guarded_change import Ended, GuardedChange, Outcome, Run, unless_changed
from crypto_core.reencryption.bulk.engine import OpenEngine
from crypto_core.reencryption.bulk.ports import TokenTask
from crypto_core.reencryption.bulk.quota import quota_of
from crypto_core.reencryption.bulk.restorer import Restoring
from crypto_core.reencryption.jobs.parts import JobParts
from crypto_core.reencryption.plan import Unwritten, Verb
from crypto_core.reencryption.run_ledger import RunLedger, run_sink
from crypto_core.values import errors
from crypto_core.values.counts import counted, listed
from crypto_core.values.json_records import JsonRecord, shape
from crypto_core.values.moments import in_utc
from crypto_core.values.references import RowRef, TokenRef

RESTORE = "backups restore"
MOST = 50_000
"""How many tokens are restored in one run; `jobs restore` restores any number."""
PAGE = 200

_NOT_KEPT = (
    "No envelope is kept that the present value took the place of: it was encrypted in place, written by "
    "another, or its previous envelope was purged."
)
_CHANGED = "It has changed since the preview."


@dataclass(frozen=True, slots=True)
class BackupSelection:
    """Which tokens: those of `references`, or those that were replaced since some time."""

    references: tuple[TokenRef | RowRef, ...] = ()
    since: datetime | None = None

    def __str__(self) -> str:
        if self.since is not None:
            return f"tokens replaced since {in_utc(self.since)}"
        return listed([str(reference) for reference in self.references], 3)


@dataclass(frozen=True, slots=True)
class BackupRestorePlan(JsonRecord, RunsCode):
    selection: BackupSelection
    kept: tuple[tuple[TokenRef, int], ...]
    """The tokens, each with the number of the envelope that stood there before."""
    refused: tuple[Unwritten, ...]
    """The selected tokens of which none is kept."""
    key_arns: tuple[str, ...]
    """The keys that the envelopes are under, as far as known."""
    code: tuple[AttachedCode, ...] = ()
    """What others have had run when these tokens are written."""
    warnings: tuple[str, ...] = ()

    json_shape = shape(
        "selection tokens references refused keys=key_arns code plan=digest",
        references=lambda record: [str(ref) for ref, _ in record.kept[:PAGE]],
        refused=lambda record: len(record.refused),
    )

    @property
    def tokens(self) -> int:
        return len(self.kept)

    @property
    def summary(self) -> str:
        return f"Restore {counted(self.tokens, 'envelope')}: {self.selection}"

    @property
    def danger(self) -> Danger:
        """How much asking it takes: tokens go back under a key that they were moved from."""
        return Danger.TYPED if self.tokens else Danger.NONE

    @property
    def confirmation(self) -> str:
        return str(self.tokens)

    @property
    def digest(self) -> str:
        told: list[Any] = [RESTORE, str(self.selection), [(str(ref), number) for ref, number in self.kept]]
        told += [[code.as_json() for code in self.code]]
        return document_digest(told)


@dataclass(frozen=True, slots=True)
class BackupRestoreResult:
    """What came of it. `left` are the selected tokens that were not restored, with the reasons."""

    restored: int
    left: tuple[Unwritten, ...]
    remaining: int = 0
    """Those that were not tried."""
    stopped_by: str = ""
    interrupted: bool = False

    @property
    def complete(self) -> bool:
        return not (self.left or self.remaining or self.stopped_by or self.interrupted)


class BackupRestoring:
    """Plans and does it. Blocks on SQL and KMS: call it from a worker."""

    def __init__(
        self,
        parts: JobParts,
        catalogue: LiveCatalogue,
        open_engine: OpenEngine,
        *,
        read_only: bool,
        approvals: ApprovalGate | None = None,
    ) -> None:
        self._guard = parts.guard(read_only=read_only, approvals=approvals)
        self._parts, self._catalogue = parts, catalogue
        self._open_engine = open_engine

    def plan_restore(self, selection: BackupSelection) -> BackupRestorePlan:
        """Return what would be restored; journaled as a dry run, a refusal too.

        Raises InvalidReferenceError, DatabaseError; RefusedError for more tokens than one run takes.
        """
        return self._guard.plan(
            RESTORE, str(selection), lambda: self._planned(selection), BackupRestorePlan.as_json
        )

    def restore_envelopes(
        self, plan: BackupRestorePlan, consent: Consent | None, *, cancelled: Event | None = None
    ) -> BackupRestoreResult:
        """Restore what was planned, as far as KMS opens it.

        Raises ReadOnlyError, MissingSchemaError, NotConfirmedError, ApprovalNeededError; RefusedError where
        planning it again comes to something else; DatabaseError, after which what was restored stays so.
        """

        changed = "What can be restored has changed since the preview."
        still = unless_changed(plan, lambda: self._planned(plan.selection), changed)
        words = f"restore {counted(plan.tokens, 'envelope')}"
        change = GuardedChange.of(plan, RESTORE, str(plan.selection), words=words, still=still)

        def act(run: Run) -> BackupRestoreResult:
            run.begin({"tokens": plan.tokens})
            return self._restored(plan, run, cancelled or Event())

        result, unjournaled = self._guard.run(change, consent, act, _ended)
        if unjournaled:
            raise errors.DatabaseError(
                f"{counted(result.restored, 'token')} restored; the end could not be journaled: {unjournaled}"
            )
        return result

    def _planned(self, selection: BackupSelection) -> BackupRestorePlan:
        kept: list[tuple[TokenRef, int]] = []
        refused: list[Unwritten] = []
        keys: set[str] = set()
        for tokens in self._selected(selection, refused):
            found = backups.stood_before(self._parts.engine, tokens, since=selection.since)
            for token in tokens:
                before = found.get(token.ref)
                if before is None:
                    refused.append(Unwritten(str(token.ref), _NOT_KEPT))
                else:
                    kept.append((token.ref, before.number))
                    keys |= {before.key_arn} if before.key_arn else set()
            if len(kept) > MOST:
                raise errors.RefusedError(
                    f"More than {counted(MOST, 'token')} are selected.",
                    remedy="Restore a whole job with: keydeck jobs restore JOB.",
                )
        columns = {str(TokenColumn(ref.table, ref.column)) for ref, _ in kept}
        code = self._parts.store.code_at(columns)
        key_arns, warnings = tuple(sorted(keys)), code_warnings(code)
        return BackupRestorePlan(selection, tuple(kept), tuple(refused), key_arns, code, warnings)

    def _selected(self, selection: BackupSelection, refused: list[Unwritten]) -> Iterator[list[StoredToken]]:
        """The tokens as they are now, each once; `refused` gets what holds none."""
        seen: set[TokenRef] = set()
        wanted: Iterable[Sequence[TokenRef | RowRef]] = (
            [selection.references]
            if selection.references
            else backups.backed_up(self._parts.engine, None, since=selection.since)
        )
        for references in wanted:
            for first in range(0, len(references), PAGE):
                meant: dict[TokenRef | RowRef, set[TokenRef]] = {}
                for reference in references[first : first + PAGE]:
                    try:
                        meant[reference] = set(self._catalogue().references(reference))
                    except errors.InvalidReferenceError as error:
                        if selection.references:
                            raise
                        refused.append(Unwritten(str(reference), error.message))
                tokens = self._parts.store.read_many(set().union(*meant.values()))
                there = {token.ref.row for token in tokens} | {token.ref for token in tokens}
                gone = [reference for reference, refs in meant.items() if not refs & (there | seen)]
                refused += [Unwritten(str(ref), self._catalogue.last().why_nothing(ref)) for ref in gone]
                yield [token for token in tokens if token.ref not in seen]
                seen |= there.union(*meant.values())

    def _restored(self, plan: BackupRestorePlan, run: Run, cancelled: Event) -> BackupRestoreResult:
        parts, numbers, stopped_by = self._parts, dict(plan.kept), ""

        def heard() -> None:
            run.so_far["restored"] = ledger.counts.done

        def kept(tokens: Sequence[StoredToken]) -> dict[TokenRef, KeptEnvelope]:
            found = backups.stood_before(parts.engine, tokens)
            return {ref: one for ref, one in found.items() if one.number == numbers[ref]}

        ledger = RunLedger(
            parts.answers, parts.journal, RESTORE, {"run": str(run.id)}, parts.same_database, heard
        )
        keyring = parts.attributor.keyring
        pages = _PlannedPages(parts.store, list(numbers))
        restoring = Restoring(pages, keyring, kept)
        order = TokenTask(Verb.REENCRYPT, "", keyring)
        sink = run_sink(parts.attributor, order, run.id, "restore", ledger, cancelled)
        try:
            with self._open_engine(keyring, quota_of("")) as engine:
                engine.pass_tokens(restoring, sink, restoring.restore_token, cancelled)
        except errors.KmsError as error:
            stopped_by = str(error)
        changed = restoring.left | pages.gone
        left = [*plan.refused, *ledger.unwritten, *(Unwritten(str(ref), _CHANGED) for ref in changed)]
        return BackupRestoreResult(
            ledger.counts.done,
            tuple(sorted(left, key=lambda one: one.reference)),
            plan.tokens + len(plan.refused) - ledger.counts.done - len(left),
            stopped_by,
            cancelled.is_set(),
        )


@dataclass(eq=False, repr=False)
class _PlannedPages:
    """TokenPages of the planned tokens; what is gone by now is in `gone`."""

    store: TokenStore
    refs: list[TokenRef]
    gone: set[TokenRef] = field(default_factory=set)

    def next(self) -> Sequence[StoredToken]:
        found: list[StoredToken] = []
        while self.refs and not found:
            some, self.refs = self.refs[:PAGE], self.refs[PAGE:]
            found = self._read(some)
        return found

    def again(self, tokens: Sequence[StoredToken]) -> Sequence[StoredToken]:
        return self._read([t.ref for t in tokens])

    def _read(self, refs: Sequence[TokenRef]) -> list[StoredToken]:
        found = self.store.read_many(refs)
        self.gone |= set(refs) - {t.ref for t in found}
        return found


def _ended(_: Run, result: BackupRestoreResult) -> Ended[BackupRestoreResult]:
    outcome = Outcome.DONE
    if result.interrupted:
        outcome = Outcome.INTERRUPTED
    elif result.stopped_by:
        outcome = Outcome.FAILED
    left = [{"reference": one.reference, "reason": one.reason} for one in result.left[:PAGE]]
    detail = {
        "restored": result.restored,
        "not_restored": len(result.left),
        "left": left,
        "remaining": result.remaining,
        "stopped_by": result.stopped_by,
    }
    words = f"{result.restored} restored, {len(result.left)} left, {result.remaining} remaining"
    return Ended(result, outcome, detail, words)
