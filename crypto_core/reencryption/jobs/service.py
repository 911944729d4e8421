"""What screens and commands call to have many tokens written anew."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import KW_ONLY, astuple, dataclass, fields, replace
from datetime import datetime
from threading import Event, Thread
from typing import Any, cast

from sqlalchemy import Connection

from crypto_core.database.connection.engine import connected
from crypto_core.database.state.jobs import (
    CANCELLED,
    DONE,
    FAILED,
    LIVELY_SECONDS,
    PAUSED,
    RUNNING,
    JobCounts,
    JobDraft,
    JobRow,
    RunnerRow,
)
from crypto_core.database.tokens.attached_code import require_same_code
from crypto_core.guard.approvals import ApprovalGate
from crypto_core.guard.consent import Consent
from crypto_core.guard.guarded_change import GuardedChange, Outcome, Run, ended_by_others
from crypto_core.keys.service import StatusService
from crypto_core.reencryption.bulk.pace import PaceTrend
from crypto_core.reencryption.endurance import Endurance
from crypto_core.reencryption.jobs.confirmed_terms import BEGIN, told_terms
from crypto_core.reencryption.jobs.final_census import selection_as_json
from crypto_core.reencryption.jobs.job_plan import JobPlanner
from crypto_core.reencryption.jobs.model import (
    FEW,
    Job,
    JobOptions,
    JobPace,
    JobPlan,
    JobRunnerView,
    JobState,
    JobView,
    ThroughputSample,
)
from crypto_core.reencryption.jobs.parts import JobParts
from crypto_core.reencryption.jobs.runner import JobRunner
from crypto_core.reencryption.plan import Plan, Selection, Unwritten, Verb
from crypto_core.values.clean_text import clean
from crypto_core.values.counts import counted
from crypto_core.values.errors import DatabaseError, JobError, KeydeckError

LATELY_SECONDS = 10.0
"""Seconds over which a running job's rate is told."""


SILENT_SECONDS = 5.0
"""After so long, a process that has not ended is called silent: a heartbeat may be late."""

_FIRST_SAID = (PaceTrend.SHARED, PaceTrend.RISING, PaceTrend.LIMITED, PaceTrend.UNUSED, PaceTrend.STARVED)
"""Which reason stands for several processes."""
NOT_READABLE = "Its row is nothing that Keydeck stores: nothing that is shown of it is certain."


def readable_view(row: JobRow, counts: JobCounts, runners: Sequence[RunnerRow]) -> JobView:
    """Return a job and where it stands; one whose row can't be read as failed, so that it hides no other."""
    try:
        return job_view(row, counts, runners)
    except (ValueError, KeyError, TypeError, AttributeError):
        changed = replace(
            row, state=JobState.FAILED.value, verb=Verb.REENCRYPT.value, why=NOT_READABLE, remarks=()
        )
        return job_view(changed, JobCounts(), ())


def job_view(row: JobRow, counts: JobCounts, runners: Sequence[RunnerRow]) -> JobView:
    state = JobState(row.state)
    seconds = ((row.ended_at or row.now) - row.started_at).total_seconds() if row.started_at else 0.0
    poisoned = sum(counts.errors.values())
    samples = _merged(runners)
    rate = _lately(runners, row.now) if state is JobState.RUNNING else 0.0
    if state.ended and seconds > 0:
        rate = counts.done / seconds
    remaining = 0 if state is JobState.DONE else counts.left
    return JobView(
        job=Job(**{f.name: getattr(row, f.name) for f in fields(Job)} | {"verb": Verb(row.verb)}),
        state=state,
        why=row.why,
        wave=row.wave,
        zeroes=row.zeroes,
        done=counts.done,
        conflicts=counts.conflicts,
        poisoned=poisoned,
        remaining=remaining,
        chunks=counts.chunks,
        chunks_done=counts.chunks_done,
        kms_calls=counts.kms_calls,
        calls_per_second=row.calls_per_second,
        seconds=max(seconds, 0.0),
        tokens_per_second=rate,
        eta_seconds=remaining / rate if rate and state is JobState.RUNNING else None,
        errors=counts.errors,
        samples=samples,
        runners=tuple(
            JobRunnerView(
                r.id,
                clean(r.host, 100),
                r.pid,
                clean(r.actor, 300),
                r.seen_at,
                _gone(r, row.now),
                r.ended_at is None and _unheard(r, row.now) > SILENT_SECONDS,
            )
            for r in runners
        ),
        pace=_pace(runners, row.now) if state is JobState.RUNNING else None,
        census_before=row.census_before,
        census_after=row.census_after,
        remarks=(*row.remarks, *_told_of_late(runners, row.now, "unseen")),
        waiting="; ".join(_told_of_late(runners, row.now, "waiting")) if state is JobState.RUNNING else "",
    )


def _gone(runner: RunnerRow, now: datetime) -> bool:
    return runner.ended_at is not None or _unheard(runner, now) > LIVELY_SECONDS


def _unheard(runner: RunnerRow, now: datetime) -> float:
    return (now - runner.seen_at).total_seconds()


def _told_of_late(runners: Iterable[RunnerRow], now: datetime, what: str) -> Iterable[str]:
    """What those at work say in their last samples, the same once."""
    said = (r.samples[-1].get(what, "") for r in runners if r.samples and not _gone(r, now))
    return dict.fromkeys(one for one in said if one)


def _lately(runners: Iterable[RunnerRow], now: datetime) -> float:
    """Tokens a second of those at work now, each over its last samples."""
    rate = 0.0
    for runner in runners:
        if _gone(runner, now):
            continue
        tokens = seconds = 0.0
        for sample in reversed(runner.samples):
            if seconds >= LATELY_SECONDS:
                break
            tokens += sample["tokens"]
            seconds += sample["seconds"]
        rate += tokens / seconds if seconds else 0.0
    return rate


def _pace(runners: Iterable[RunnerRow], now: datetime) -> JobPace | None:
    """The pace of those at work now, together; why, by the one that has come closest to being stopped."""
    last = [r.samples[-1] for r in runners if r.samples and not _gone(r, now)]
    told = [sample for sample in last if sample.get("standing") and sample["calls"]]
    if not told:
        return None
    reasons = {PaceTrend(sample["standing"]) for sample in told}
    return JobPace(sum(sample["pace"] for sample in told), next(s for s in _FIRST_SAID if s in reasons))


def _merged(runners: Iterable[RunnerRow]) -> tuple[ThroughputSample, ...]:
    """One sample a second, over all runners: the median weighed by calls, of the 99th the worst."""
    by_second: dict[datetime, ThroughputSample] = {}
    for runner in runners:
        for told in runner.samples:
            at = datetime.fromisoformat(told["at"]).replace(microsecond=0)
            before = by_second.get(at, ThroughputSample(at, 0, 0, 0, 0.0, 0.0))
            calls = before.calls + told["calls"]
            weighed = before.p50_ms * before.calls + told["p50_ms"] * told["calls"]
            by_second[at] = ThroughputSample(
                at,
                before.tokens + told["tokens"],
                calls,
                before.throttled + told["throttled"],
                weighed / calls if calls else 0.0,
                max(before.p99_ms, told["p99_ms"]),
            )
    return tuple(by_second[at] for at in sorted(by_second))[-60:]


_log = logging.getLogger(__name__)

LOOK_SECONDS = 0.5
"""How often `join_job` tells where the job stands."""


@dataclass(eq=False, repr=False)
class JobService:
    """Plans, starts and steers jobs, and works on them. Blocks on SQL and KMS: call it from a worker."""

    parts: JobParts
    planner: JobPlanner
    runner: Callable[[], JobRunner]
    """Makes what works on one job for this process."""
    status: StatusService
    _: KW_ONLY
    read_only: bool
    approvals: ApprovalGate | None = None
    """Asked before a job is made; None where nothing needs a second identity."""

    def __post_init__(self) -> None:
        self._guard = self.parts.guard(read_only=self.read_only, approvals=self.approvals)

    def plan_job(
        self,
        verb: Verb,
        selection: Selection,
        target: str,
        options: JobOptions,
        *,
        cancelled: Event | None = None,
    ) -> JobPlan:
        """Return what would happen; journaled as a dry run, a refusal too.

        Raises RefusedError, InvalidReferenceError, KmsError, DatabaseError.
        """
        plan = self.plan_fitting(verb, selection, target, options, few=-1, cancelled=cancelled)
        return cast(JobPlan, plan)

    def plan_fitting(
        self,
        verb: Verb,
        selection: Selection,
        target: str,
        options: JobOptions,
        *,
        few: int = FEW,
        cancelled: Event | None = None,
    ) -> JobPlan | Plan:
        """Return what would happen, as a job for more than `few` tokens; journaled once.

        Raises as `plan_job`.
        """

        def fitting() -> JobPlan | Plan:
            tokens = self.planner.plan_tokens(verb, selection, target, options, cancelled=cancelled)
            if tokens.tokens <= few:
                return tokens
            return self.planner.plan_job(tokens, options, cancelled=cancelled)

        plan = self._guard.plan(verb.value, str(selection), fitting, _told, {"to": target})
        if not isinstance(plan, JobPlan):
            return plan
        tokens = replace(plan.plan, warnings=plan.plan.warnings + plan.warnings)
        return replace(plan, plan=tokens, warnings=())

    def start_job(self, plan: JobPlan, consent: Consent | None) -> int:
        """Make the job of a plan and return its number.

        Raises ReadOnlyError, MissingSchemaError or, without a consent to this very plan, NotConfirmedError
        (journaled as refused) before anything is changed. Raises ApprovalNeededError, journaled too, where
        the settings want a second identity and none has approved this plan.
        """
        parts, what = self.parts, plan.plan
        change = GuardedChange(
            action=what.verb.value,
            subject=str(what.selection),
            words=f"make a job to {what.verb.words} {counted(what.tokens, 'token')}",
            plan=plan,
            summary=what.summary,
            shown=_told(plan),
            detail={"to": what.target_key_arn, "planned": what.tokens},
            still=lambda: require_same_code(what.code, parts.store.code_at(what.by_column)),
        )

        def act(run: Run) -> int:
            actor = parts.journal.actor()
            proof = self.status.prove(about=what.source_key_arn or "")
            draft = JobDraft(
                run_id=run.id,
                verb=what.verb.value,
                selection=str(what.selection),
                scope=what.scope.as_json(),
                source_key_arn=what.source_key_arn,
                target_key_arn=what.target_key_arn,
                write_format=what.write_format.value,
                allow_downgrade=what.allow_downgrade,
                verify="kms" if plan.options.ask_kms else "local",
                plan=_told(plan) | {"selected": selection_as_json(what.selection)},
                plan_digest=plan.digest,
                planned=what.tokens,
                calls_per_second=plan.options.calls_per_second,
                census_before=self.status.status_by(proof).as_json(),
                created_by=clean(actor, 300),
                host=clean(socket.gethostname(), 100),
                consent=run.consent.origin.value,
            )
            with connected(parts.engine, write=True) as connection:
                job_id = parts.jobs.create(connection, draft)
                if what.unlisted:
                    for picked in self.planner.planner.filtered(what.selection).picked(what.scope.formats):
                        parts.chunks.cut_picked(connection, job_id, 1, picked)
                elif what.scope.references is not None:
                    parts.chunks.cut_listed(connection, job_id, 1, what.scope.references)
                else:
                    parts.chunks.cut_scope(connection, job_id, 1, what.scope)
                run.begin(
                    {"job": job_id, **told_terms(parts.jobs.get(job_id, connection))},
                    within=parts.journaling(connection),
                    actor=actor,
                    by=BEGIN,
                )
            return job_id

        job_id, _ = self._guard.run(change, consent, act, ended_by_others)
        _log.info("Job %d is to %s %d tokens.", job_id, what.verb.words, what.tokens)
        return job_id

    def join_job(
        self, job: int, *, progress: Callable[[JobView], None] | None = None, cancelled: Event | None = None
    ) -> JobView:
        """Work on a job until it has ended or is paused, or `cancelled` is set; return where it stands then.

        Raises UnknownJobError, KmsError and DatabaseError for what stops this process.
        """
        self._guard.may_change("work on a job")
        ended = cancelled or Event()
        failures: list[KeydeckError] = []

        def work() -> None:
            try:
                self.runner().run_job(job, ended)
            except KeydeckError as error:
                failures.append(error)

        thread = Thread(target=work, name="keydeck-job", daemon=True)
        thread.start()
        while thread.is_alive():
            thread.join(LOOK_SECONDS)
            if progress is not None:
                # A database that is away for a moment is waited for by those who write.
                with suppress(DatabaseError):
                    progress(self.show_job(job))
        if failures:
            raise failures[0]
        return self.at_end(job, ended)

    def at_end(self, job: int, cancelled: Event) -> JobView:
        """Return where a job stands now that nobody here works on it any more.

        A connection that breaks just then is no failure of the job: until `cancelled` is set, it is waited
        for as by those who write. Raises UnknownJobError, DatabaseError.
        """
        return Endurance(cancelled)(lambda: self.show_job(job))

    def jobs(self, limit: int = 200) -> tuple[JobView, ...]:
        return self._views(self.parts.jobs.list(limit))

    def show_job(self, job: int) -> JobView:
        """Return where a job stands. Raises UnknownJobError."""
        return self._views((self.parts.jobs.get(job),))[0]

    def unwritten(self, job: int, kind: str = "", *, limit: int = 200) -> tuple[Unwritten, ...]:
        """Return tokens that a job can't write, of one kind or all."""
        self.parts.jobs.get(job)
        found = self.parts.unwritable.listed(job, kind, limit=limit)
        return tuple(Unwritten(str(one.ref), one.reason) for one in found)

    def pause_job(self, job: int) -> JobView:
        """Pause a running job. Raises JobError for one that does not run."""
        return self._change(job, "pause", PAUSED, (RUNNING,))

    def resume_job(self, job: int) -> JobView:
        """Resume a paused or failed job, by processes that join it. Raises JobError for another."""
        return self._change(job, "resume", RUNNING, (PAUSED, FAILED))

    def cancel_job(self, job: int) -> JobView:
        """End a job for good; what is written stays. Raises JobError for one that has ended."""
        return self._change(job, "cancel", CANCELLED, (RUNNING, PAUSED, FAILED))

    def retry_job(self, job: int) -> int:
        """Retry the tokens that could not be written; returns how many. Raises JobError, journaled."""
        self._guard.may_change("retry")
        parts = self.parts
        actor = parts.journal.actor()
        with self._steering("retry", job, actor) as (connection, row):
            if row.state == CANCELLED:
                raise JobError(f"Job {job} was cancelled.", remedy="Start a new one.")
            refs = parts.unwritable.reopen(connection, job)
            if refs:
                parts.chunks.cut_listed(connection, job, row.wave + 1, refs)
                parts.jobs.set(job, connection, wave=row.wave + 1, zeroes=0, zero_at=None)
                parts.jobs.change(job, RUNNING, (DONE, FAILED), connection=connection)
                self._record(row, "retry", {"tokens": len(refs)}, connection, actor)
        return len(refs)

    def _change(self, job: int, word: str, to: str, among: tuple[str, ...]) -> JobView:
        self._guard.may_change(f"{word} a job")
        parts = self.parts
        actor = parts.journal.actor()
        with self._steering(word, job, actor) as (connection, row):
            if not parts.jobs.change(job, to, among, connection=connection):
                state = parts.jobs.get(job, connection).state
                raise JobError(f"Job {job} is {state}: there is nothing to {word}.")
            self._record(row, word, {"was": row.state}, connection, actor)
        return self.show_job(job)

    @contextmanager
    def _steering(self, word: str, job: int, actor: str) -> Iterator[tuple[Connection, JobRow]]:
        """A transaction over a job; what is refused in it is journaled after it was rolled back."""
        recording = self._guard.recording(f"jobs {word}", f"job {job}")
        with recording, connected(self.parts.engine, write=True) as connection:
            yield connection, self.parts.jobs.get(job, connection)

    def _record(self, row: JobRow, word: str, detail: dict[str, Any], connection: Any, actor: str) -> None:
        journal, told = self.parts.journal, {"job": row.id, "run": str(row.run_id), **detail}
        within = self.parts.journaling(connection)
        journal.record(f"jobs {word}", f"job {row.id}", Outcome.DONE, told, within=within, actor=actor)

    def _views(self, rows: tuple[JobRow, ...]) -> tuple[JobView, ...]:
        ids = [row.id for row in rows]
        if not ids:
            return ()
        counts = self.parts.jobs.counts(ids)
        runners = self.parts.jobs.runners(ids)
        return tuple(
            readable_view(row, counts.get(row.id, JobCounts()), [r for r in runners if r.job_id == row.id])
            for row in rows
        )


def _told(plan: JobPlan | Plan) -> dict[str, Any]:
    """A plan as the journal and the job keep it."""
    if isinstance(plan, Plan):
        return plan.as_json()
    return plan.plan.as_json() | {
        "losses": list(plan.losses),
        "options": list(astuple(plan.options)),
        "max_lag": plan.options.max_lag,
        "calls_per_second": plan.calls_per_second,
        "seconds": round(plan.seconds, 1),
        "dollars": round(plan.dollars, 4),
        "quota": plan.quota,
    }
