"""Restores replaced envelopes: of tokens named one by one, of a job, or of all written since some time.

What stood before a present value is the newest kept envelope of that token whose place this very value took.
KMS opens it before it is restored. Where the present value opens too and holds another token, it stays; where
it does not open, nothing is lost by restoring what does, and the present value is kept in its turn.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from threading import Event
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from crypto_core.cipher import TokenCipher
from crypto_core.database.tokens import backups
from crypto_core.database.tokens.attached_code import AttachedCode, RunsCode
from crypto_core.database.tokens.attribution import answer_about
from crypto_core.database.tokens.backups import KeptEnvelope
from crypto_core.database.tokens.catalogue import LiveCatalogue
from crypto_core.database.tokens.store import Replacement, StoredToken
from crypto_core.database.tokens.tables import TokenColumn
from crypto_core.errors import (
    ChangedByDatabaseError,
    CredentialsError,
    DatabaseError,
    EnvelopeError,
    InvalidCiphertextError,
    InvalidReferenceError,
    KeyNotFoundError,
    KmsError,
    RefusedError,
)
from crypto_core.guard.approvals import ApprovalGate
from crypto_core.guard.consent import Consent, Danger
from crypto_core.guard.guarded_change import Ended, GuardedChange, Run
from crypto_core.guard.outcome import Outcome
from crypto_core.keyring.data_keys import KeyAnswer
from crypto_core.keyring.kms_keyring import KmsKeyring
from crypto_core.reencryption.jobs.parts import JobParts
from crypto_core.reencryption.patience import ask_patiently
from crypto_core.reencryption.plan import Unwritten, Verb
from crypto_core.references import RowRef, TokenRef
from crypto_core.text.counting import counted
from crypto_core.text.json_records import JsonRecord, shape

RESTORE = "backups restore"
MOST = 50_000
"""How many tokens are restored in one run; `jobs restore` restores any number."""
PAGE = 200
WORKERS = 16

_NOT_KEPT = (
    "No envelope is kept that the present value took the place of: it was encrypted in place, written by "
    "another, or its previous envelope was purged."
)
_CHANGED = "It has changed since the preview."


@dataclass(frozen=True, slots=True)
class BackupSelection:
    """Which tokens: those of `references`, or those that a job or anything since some time has replaced."""

    references: tuple[TokenRef | RowRef, ...] = ()
    job: int | None = None
    since: datetime | None = None

    def __str__(self) -> str:
        if self.job is not None:
            return f"tokens of job {self.job}"
        if self.since is not None:
            return f"tokens replaced since {self.since:%Y-%m-%d %H:%M:%S %Z}"
        shown = ", ".join(str(reference) for reference in self.references[:3])
        return shown if len(self.references) <= 3 else f"{shown} and {len(self.references) - 3} more"


@dataclass(frozen=True, slots=True)
class BackupRestorePlan(JsonRecord, RunsCode):
    """What putting back comes to."""

    selection: BackupSelection
    kept: tuple[tuple[TokenRef, int], ...]
    """The tokens, each with the number of the envelope that stood there before."""
    refused: tuple[Unwritten, ...]
    """The selected tokens of which none is kept."""
    key_arns: tuple[str, ...]
    """The keys that the envelopes are under, as far as known."""
    code: tuple[AttachedCode, ...] = ()
    """What others have had run when these tokens are written."""

    json_shape = shape(
        "selection tokens references refused keys=key_arns code plan=digest",
        references=lambda record: [str(ref) for ref, _ in record.kept[:PAGE]],
        refused=lambda record: len(record.refused),
    )

    @property
    def tokens(self) -> int:
        """How many envelopes are to be restored."""
        return len(self.kept)

    @property
    def summary(self) -> str:
        """What is to be done, on one line."""
        return f"Restore {counted(self.tokens, 'envelope')}: {self.selection}"

    @property
    def danger(self) -> Danger:
        """How much asking it takes: tokens go back under a key that they were moved from."""
        return Danger.TYPED if self.tokens else Danger.NONE

    @property
    def confirmation(self) -> str:
        """What has to be typed: the number of tokens."""
        return str(self.tokens)

    @property
    def digest(self) -> str:
        """Names exactly this."""
        told: list[Any] = [RESTORE, str(self.selection), [(str(ref), number) for ref, number in self.kept]]
        told += [[code.as_json() for code in self.code]]
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()


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
        """True if every selected token was restored."""
        return not (self.left or self.remaining or self.stopped_by or self.interrupted)


@dataclass(frozen=True, slots=True)
class _Tried:
    """One token: what takes its place and the key that opened it, or why it stays."""

    token: StoredToken
    envelope: str = ""
    wrapped_by: KeyAnswer | None = None
    why: str = ""


class BackupRestoring:
    """Plans and does it. Blocks on SQL and KMS: call it from a worker."""

    def __init__(
        self,
        parts: JobParts,
        catalogue: LiveCatalogue,
        keyring: KmsKeyring,
        *,
        read_only: bool,
        approvals: ApprovalGate | None = None,
    ) -> None:
        """Only keys that `keyring` trusts open envelopes, the previous and the present ones."""
        self._guard = parts.guard(read_only=read_only, approvals=approvals)
        self._parts, self._catalogue = parts, catalogue
        self._cipher = TokenCipher(keyring)

    def plan_restore(self, selection: BackupSelection) -> BackupRestorePlan:
        """Return what would be restored; journaled as a dry run, a refusal too.

        Raises UnknownJobError, InvalidReferenceError, DatabaseError; RefusedError for a job that encrypted in
        place, and for more tokens than one run takes.
        """
        plan, _ = self._guard.plan(
            RESTORE, str(selection), lambda: self._planned(selection), BackupRestorePlan.as_json
        )
        return plan

    def restore_envelopes(
        self, plan: BackupRestorePlan, consent: Consent | None, *, cancelled: Event | None = None
    ) -> BackupRestoreResult:
        """Restore what was planned, as far as KMS opens it.

        Raises ReadOnlyError, MissingSchemaError, NotConfirmedError, ApprovalNeededError; RefusedError where
        planning it again comes to something else; DatabaseError, after which what was restored stays so.
        """

        def still() -> None:
            if self._planned(plan.selection).digest != plan.digest:
                raise RefusedError(
                    "What can be restored has changed since the preview.",
                    remedy="Nothing was done. Open a new preview.",
                )

        change = GuardedChange(
            RESTORE,
            str(plan.selection),
            f"restore {counted(plan.tokens, 'envelope')}",
            plan,
            plan.summary,
            plan.as_json(),
            still=still,
        )

        def act(run: Run) -> BackupRestoreResult:
            run.begin({"tokens": plan.tokens})
            return self._restored(plan, run, cancelled or Event())

        result, unjournaled = self._guard.run(change, consent, act, _ended)
        if unjournaled:
            raise DatabaseError(
                f"{counted(result.restored, 'token')} restored; the end could not be journaled: {unjournaled}"
            )
        return result

    def _planned(self, selection: BackupSelection) -> BackupRestorePlan:
        run_id = self._run_of(selection)
        kept: list[tuple[TokenRef, int]] = []
        refused: list[Unwritten] = []
        keys: set[str] = set()
        for tokens in self._selected(selection, run_id, refused):
            found = backups.stood_before(self._parts.engine, tokens, run_id=run_id, since=selection.since)
            for token in tokens:
                before = found.get(token.ref)
                if before is None:
                    refused.append(
                        Unwritten(str(token.ref), _NOT_KEPT if run_id is None else _newer(selection))
                    )
                else:
                    kept.append((token.ref, before.number))
                    keys |= {before.key_arn} if before.key_arn else set()
            if len(kept) > MOST:
                raise RefusedError(
                    f"More than {counted(MOST, 'token')} are selected.",
                    remedy="Restore a whole job with: keydeck jobs restore JOB.",
                )
        columns = {str(TokenColumn(ref.table, ref.column)) for ref, _ in kept}
        code = self._parts.store.code_at(columns)
        return BackupRestorePlan(selection, tuple(kept), tuple(refused), tuple(sorted(keys)), code)

    def _run_of(self, selection: BackupSelection) -> UUID | None:
        if selection.job is None:
            return None
        job = self._parts.jobs.get(selection.job)
        if Verb(job.verb) is Verb.ENCRYPT:
            raise RefusedError(
                f"Job {job.id} encrypted in place: plaintext is never kept, so nothing can be put back."
            )
        return job.run_id

    def _selected(
        self, selection: BackupSelection, run_id: UUID | None, refused: list[Unwritten]
    ) -> Iterator[list[StoredToken]]:
        """The tokens as they are now, each once; `refused` gets what holds none."""
        seen: set[TokenRef] = set()
        wanted: Iterable[Sequence[TokenRef | RowRef]] = (
            [selection.references]
            if selection.references
            else backups.backed_up(self._parts.engine, run_id, since=selection.since)
        )
        for references in wanted:
            for first in range(0, len(references), PAGE):
                meant: dict[TokenRef | RowRef, set[TokenRef]] = {}
                for reference in references[first : first + PAGE]:
                    try:
                        meant[reference] = set(self._catalogue().references(reference))
                    except InvalidReferenceError as error:
                        if selection.references:
                            raise
                        refused.append(Unwritten(str(reference), error.message))
                tokens = self._parts.store.read_many(set().union(*meant.values()))
                there = {token.ref.row for token in tokens} | {token.ref for token in tokens}
                gone = [reference for reference, refs in meant.items() if not refs & (there | seen)]
                refused += [
                    Unwritten(str(ref), "There is no such row, or it holds no token.") for ref in gone
                ]
                yield [token for token in tokens if token.ref not in seen]
                seen |= there.union(*meant.values())

    def _restored(self, plan: BackupRestorePlan, run: Run, cancelled: Event) -> BackupRestoreResult:
        restored, left, stopped_by = 0, list(plan.refused), ""
        with ThreadPoolExecutor(WORKERS, thread_name_prefix="keydeck-restore") as pool:
            for first in range(0, len(plan.kept), PAGE):
                numbers = dict(plan.kept[first : first + PAGE])
                tokens = self._parts.store.read_many(numbers)
                kept = backups.stood_before(self._parts.engine, tokens)
                same = [t for t in tokens if t.ref in kept and kept[t.ref].number == numbers[t.ref]]
                left += [Unwritten(str(ref), _CHANGED) for ref in numbers if ref not in {t.ref for t in same}]
                try:
                    for tried in ask_patiently(pool, partial(self._one, kept), same, cancelled):
                        left += [Unwritten(str(t.token.ref), t.why) for t in tried if t.why]
                        opened = [t for t in tried if not t.why]
                        written, rejected = self._write(run, opened)
                        restored += len(written)
                        left += rejected
                        run.so_far["restored"] = restored
                except KmsError as error:
                    stopped_by = str(error)
                if stopped_by or cancelled.is_set():
                    break
        remaining = plan.tokens + len(plan.refused) - restored - len(left)
        return BackupRestoreResult(
            restored,
            tuple(sorted(left, key=lambda one: one.reference)),
            remaining,
            stopped_by,
            cancelled.is_set(),
        )

    def _one(self, kept: dict[TokenRef, KeptEnvelope], token: StoredToken) -> _Tried | KmsError:
        """Open the previous envelope, then the present one; a failure that may pass is returned."""
        before = kept[token.ref].envelope
        try:
            was = self._cipher.open(before, ref=token.ref)
        except (EnvelopeError, InvalidReferenceError) as error:
            return _Tried(token, why=f"The previous envelope does not open: {error.message}")
        except KmsError as error:
            return _passing(error) or _Tried(token, why=f"The previous envelope does not open: {error}")
        with was.token as past:
            try:
                now = self._cipher.open(token.value.reveal(), ref=token.ref)
            except (EnvelopeError, InvalidCiphertextError, KeyNotFoundError):
                return _Tried(token, before, was.wrapped_by)
            except KmsError as error:
                stays = "It stays: whether the present value holds another token can't be told"
                return _passing(error) or _Tried(token, why=f"{stays}. {error}")
            with now.token as present:
                if past != present:
                    return _Tried(token, why="The present value opens and holds another token. It stays.")
        return _Tried(token, before, was.wrapped_by)

    def _write(self, run: Run, opened: Sequence[_Tried]) -> tuple[frozenset[TokenRef], list[Unwritten]]:
        """Swap them in; returns those that are, and the others with the reason."""
        if not opened:
            return frozenset(), []
        parts, actor = self._parts, self._parts.journal.actor()

        def journal(connection: Connection | None, written: frozenset[TokenRef]) -> None:
            references = sorted(str(ref) for ref in written)
            subject = references[0] if len(references) == 1 else counted(len(references), "token")
            detail = {"run": str(run.id), "references": references}
            parts.journal.record(RESTORE, subject, Outcome.DONE, detail, within=connection, actor=actor)

        def within(connection: Connection, written: frozenset[TokenRef]) -> None:
            if parts.same_database and written:
                journal(connection, written)

        replacements = [Replacement(t.token, t.envelope, None) for t in opened]
        try:
            written = parts.store.write_tokens(run.id, "restore", replacements, within=within)
        except DatabaseError as error:
            # Only what the statement itself met with; a lost connection or a missing grant ends the run.
            if type(error) not in (DatabaseError, ChangedByDatabaseError):
                raise
            if len(opened) == 1:
                return frozenset(), [Unwritten(str(opened[0].token.ref), error.message)]
            apart = [self._write(run, [one]) for one in opened]
            done = frozenset(ref for some, _ in apart for ref in some)
            return done, [one for _, rejected in apart for one in rejected]
        if written and not parts.same_database:
            journal(None, written)
        parts.answers.remember(
            answer_about(t.envelope, t.wrapped_by) for t in opened if t.wrapped_by and t.token.ref in written
        )
        lost = [t for t in opened if t.token.ref not in written]
        return written, [Unwritten(str(t.token.ref), _CHANGED) for t in lost]


def _newer(selection: BackupSelection) -> str:
    return f"The present value is not what job {selection.job} wrote: it was written anew, or changed."


def _passing(error: KmsError) -> KmsError | None:
    return error if error.transient or isinstance(error, CredentialsError) else None


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
