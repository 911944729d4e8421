"""Undoing a job, as a job of its own, and forgetting the envelopes with which it could be undone."""

from __future__ import annotations

import hashlib
import json
import socket
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine

from crypto_core.database.connection.engine import connected
from crypto_core.database.dialect import database_identity
from crypto_core.database.state.jobs import CANCELLED, DONE, JobDraft, JobRow
from crypto_core.database.tokens import backups
from crypto_core.database.tokens.attached_code import AttachedCode, RunsCode, code_warnings
from crypto_core.database.tokens.store import TokenScope
from crypto_core.envelope import ENVELOPE_FORMATS
from crypto_core.guard.approvals import ApprovalGate
from crypto_core.guard.consent import Consent, Danger
from crypto_core.guard.guarded_change import (
    Ended,
    GuardedChange,
    Outcome,
    Run,
    ended_by_others,
    unless_changed,
)
from crypto_core.keys.inventory import KeyInventory
from crypto_core.reencryption.jobs.confirmed_terms import BEGIN, told_terms
from crypto_core.reencryption.jobs.parts import JobParts
from crypto_core.reencryption.plan import Verb
from crypto_core.values.clean_text import clean
from crypto_core.values.counts import counted
from crypto_core.values.errors import DatabaseError, RefusedError
from crypto_core.values.moments import in_utc

RESTORE, PURGE = "jobs restore", "backups purge"
_CHANGED = "What is kept has changed since the preview."


@dataclass(frozen=True, slots=True)
class RestorePlan(RunsCode):
    """What undoing a job comes to: envelopes that are kept. Where something newer is, that stays."""

    job: int
    tokens: int
    key_arns: tuple[str, ...]
    """The keys that the envelopes are under, and tokens would be under again."""
    code: tuple[AttachedCode, ...] = ()
    """What others have had run when these tokens are written."""
    warnings: tuple[str, ...] = ()

    @property
    def summary(self) -> str:
        return f"Restore {counted(self.tokens, 'envelope')} that job {self.job} has replaced"

    @property
    def danger(self) -> Danger:
        """How much asking it takes: tokens go back under a key that was to be emptied."""
        return Danger.TYPED if self.tokens else Danger.NONE

    @property
    def confirmation(self) -> str:
        return str(self.tokens)

    @property
    def digest(self) -> str:
        return _digest(RESTORE, _terms(self) | {"code": [code.as_json() for code in self.code]})

    def as_json(self) -> dict[str, Any]:
        return _told(self)


@dataclass(frozen=True, slots=True)
class PurgePlan:
    """What forgetting comes to. Without `job` and `before`, all replaced envelopes."""

    envelopes: int
    job: int | None = None
    before: datetime | None = None
    warnings: tuple[str, ...] = ()

    @property
    def subject(self) -> str:
        return "every replaced envelope" if self.job is None else f"job {self.job}"

    @property
    def summary(self) -> str:
        of = "" if self.job is None else f" of job {self.job}"
        before = f" from before {in_utc(self.before)}" if self.before else ""
        return f"Forget {counted(self.envelopes, 'replaced envelope')}{of}{before} for good"

    @property
    def danger(self) -> Danger:
        return Danger.TYPED if self.envelopes else Danger.NONE

    @property
    def confirmation(self) -> str:
        return str(self.envelopes)

    @property
    def digest(self) -> str:
        return _digest(PURGE, _terms(self))

    def as_json(self) -> dict[str, Any]:
        return _told(self)


class Undoing:
    """Plans and starts what undoes jobs, and purges backups. Blocks on SQL and KMS."""

    def __init__(
        self, parts: JobParts, keys: KeyInventory, *, read_only: bool, approvals: ApprovalGate | None = None
    ) -> None:
        self._guard = parts.guard(read_only=read_only, approvals=approvals)
        self._parts = parts
        self._keys = keys

    def plan_restore(self, job: int) -> RestorePlan:
        """Return what undoing a job comes to; journaled as a dry run, a refusal too.

        Raises UnknownJobError, KmsError, DatabaseError; RefusedError where there is nothing to put back, or a
        key that it was under can't be used.
        """
        return self._guard.plan(RESTORE, f"job {job}", lambda: self._restoring(job), _told)

    def _restoring(self, job: int) -> RestorePlan:
        row = self._parts.jobs.get(job)
        if Verb(row.verb) is Verb.ENCRYPT:
            raise RefusedError(
                f"Job {job} encrypted in place: plaintext is never kept, so nothing can be restored."
            )
        if row.state not in (DONE, CANCELLED):
            raise RefusedError(f"Job {job} is {row.state}.", remedy=f"Cancel it: keydeck jobs cancel {job}.")
        arns = backups.keys_of(self._parts.engine, row.run_id)
        for arn in arns:
            state = self._keys.describe(arn)
            if not state.usable:
                raise RefusedError(
                    f"The envelopes of job {job} are under {arn}, which is {state.state}.",
                    remedy="Make that key usable first.",
                )
        tokens = backups.kept(self._parts.engine, run_id=row.run_id)
        if not tokens:
            raise RefusedError(f"No envelope is kept that job {job} has replaced.")
        code = self._parts.store.code_at(row.plan.get("by_column", ()))
        return RestorePlan(job, tokens, arns, code, code_warnings(code))

    def start_restore(self, plan: RestorePlan, consent: Consent | None) -> int:
        """Make the job that undoes another and return its number; processes that join it do the work.

        Raises ReadOnlyError, MissingSchemaError, NotConfirmedError, ApprovalNeededError.
        """
        parts = self._parts

        def act(run: Run) -> int:
            undone = parts.jobs.get(plan.job)
            actor = parts.journal.actor()
            draft = _draft(undone, plan, actor, run)
            found = list(backups.backed_up(parts.engine, undone.run_id))
            with connected(parts.engine, write=True) as connection:
                job = parts.jobs.create(connection, draft)
                for refs in found:
                    parts.chunks.cut_listed(connection, job, 1, refs)
                begun: dict[str, Any] = {"job": job, "restores": plan.job, "tokens": plan.tokens}
                within = parts.journaling(connection)
                begun |= told_terms(parts.jobs.get(job, connection))
                run.begin(begun, within=within, actor=actor, by=BEGIN)
            return job

        still = unless_changed(plan, lambda: self._restoring(plan.job), _CHANGED)
        change = GuardedChange.of(plan, RESTORE, f"job {plan.job}", still=still)
        return self._guard.run(change, consent, act, ended_by_others)[0]

    def plan_purge(self, *, job: int | None = None, before: datetime | None = None) -> PurgePlan:
        """Return how many replaced envelopes would be forgotten; journaled as a dry run.

        Raises UnknownJobError, DatabaseError.
        """
        subject = PurgePlan(0, job).subject
        return self._guard.plan(PURGE, subject, lambda: self._purging(job, before), _told)

    def _purging(self, job: int | None, before: datetime | None) -> PurgePlan:
        kept = backups.kept(self._parts.engine, run_id=self._run(job), before=before)
        return PurgePlan(kept, job, before)

    def purge_backups(self, plan: PurgePlan, consent: Consent | None) -> int:
        """Forget replaced envelopes for good; returns how many. That Keydeck wrote the tokens stays known.

        Raises ReadOnlyError, MissingSchemaError, NotConfirmedError, ApprovalNeededError, DatabaseError.
        """
        told = {
            "envelopes": plan.envelopes,
            "before": plan.before.isoformat() if plan.before else None,
        }

        def act(run: Run) -> int:
            run.begin(told)
            journal = self._parts.journal
            who = (clean(journal.actor(), 500), journal.host)
            return backups.purge(self._purging_engine(), who, run_id=self._run(plan.job), before=plan.before)

        def read_back(_: Run, purged: int) -> Ended[int]:
            return Ended(purged, Outcome.DONE, told | {"purged": purged})

        still = unless_changed(plan, lambda: self._purging(plan.job, plan.before), _CHANGED)
        change = GuardedChange.of(plan, PURGE, plan.subject, still=still)
        purged, unjournaled = self._guard.run(change, consent, act, read_back)
        if unjournaled:
            raise DatabaseError(
                f"{counted(purged, 'envelope')} forgotten; that could not be journaled: {unjournaled}"
            )
        return purged

    def _purging_engine(self) -> Engine:
        """The journal's login where it is in the same database: that of the tokens may purge nothing then."""
        engines = (self._parts.engine, self._parts.journal.engine)
        found = []
        for engine in engines:
            with connected(engine) as connection:
                found.append(database_identity(connection))
        return engines[found[0] == found[1]]

    def _run(self, job: int | None) -> Any:
        return None if job is None else self._parts.jobs.get(job).run_id


def _terms(plan: RestorePlan | PurgePlan) -> dict[str, Any]:
    return {name: value for name, value in asdict(plan).items() if name != "warnings"}


def _told(plan: RestorePlan | PurgePlan) -> dict[str, Any]:
    """A plan as the journal keeps it, and as somebody who is to approve it reads it."""
    told = {n: str(v) if isinstance(v, datetime) else v for n, v in _terms(plan).items()}
    return told | {"plan": plan.digest}


def _draft(undone: JobRow, plan: RestorePlan, actor: str, run: Run) -> JobDraft:
    return JobDraft(
        run_id=run.id,
        verb=undone.verb,
        selection=f"{counted(plan.tokens, 'token')} of job {plan.job}, as before it",
        scope=TokenScope(frozenset(ENVELOPE_FORMATS)).as_json(),
        source_key_arn=undone.target_key_arn,
        target_key_arn=undone.source_key_arn or undone.target_key_arn,
        write_format=undone.write_format,
        allow_downgrade=undone.allow_downgrade,
        verify="local",
        plan={
            "restores": plan.job,
            "key_arns": list(plan.key_arns),
            "by_column": undone.plan.get("by_column", {}),
            "code": [code.as_json() for code in plan.code],
        },
        plan_digest=plan.digest,
        planned=plan.tokens,
        calls_per_second=undone.calls_per_second,
        census_before=None,
        created_by=clean(actor, 300),
        host=clean(socket.gethostname(), 100),
        consent=run.consent.origin.value,
        restores=undone.id,
    )


def _digest(action: str, told: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps([action, told], sort_keys=True, default=str).encode()).hexdigest()
