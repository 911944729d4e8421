"""Re-encrypting all that is under the old key, and encrypting what is not protected: always as a job.

The job is in PostgreSQL and is worked on by processes of its own: it goes on without this console, and an
action that is run again goes on with the job that there is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from crypto_core.guard.consent import Danger, require
from crypto_core.incidents.keys import subject
from crypto_core.incidents.steps.step_contracts import (
    ActionPlan,
    ActionResult,
    IncidentAction,
    Progress,
    Situation,
    plan_digest,
)
from crypto_core.incidents.tool_services import ToolServices
from crypto_core.reencryption.jobs.model import JobOptions, JobPlan, JobState, JobView
from crypto_core.reencryption.plan import Selection, Verb
from crypto_core.values.counts import counted
from crypto_core.values.errors import KeydeckError, RefusedError, UnknownJobError
from crypto_core.values.key_names import same_key

if TYPE_CHECKING:
    from crypto_core.reencryption.jobs.service import JobService

_SHOWN = 10


@dataclass(frozen=True, slots=True)
class _GoingOn:
    """A job that is there, and how it is to go on."""

    job: int
    state: JobState


def _value(verb: Verb) -> str:
    return subject.ENCRYPT_JOB if verb is Verb.ENCRYPT else subject.JOB


def _selection(situation: Situation, verb: Verb) -> Selection:
    if verb is Verb.ENCRYPT:
        return Selection(unprotected=True)
    return Selection(under_key=subject.old_key(situation))


def job_of(jobs: JobService, situation: Situation, verb: Verb) -> JobView | None:
    """Return an incident's job, also one that was started but not remembered; None without one."""
    incident = situation.incident
    known = incident.values.get(_value(verb), "")
    if known.isascii() and known.isdecimal():
        try:
            return jobs.show_job(int(known))
        except UnknownJobError:
            return None
    selection = str(_selection(situation, verb))
    for view in jobs.jobs():
        job = view.job
        mine = job.verb is verb and job.selection == selection
        to_new = same_key(job.target_key_arn, incident.values.get("new_key", ""))
        begun = job.created_at >= incident.declared_at and view.state is not JobState.CANCELLED
        if mine and to_new and begun:
            return view
    return None


class MovingTokens(IncidentAction):
    """Writes many tokens anew under the new key, as a job that is remembered as a value."""

    def __init__(self, services: ToolServices, verb: Verb) -> None:
        """`verb` is REENCRYPT, of what is under the old key, or ENCRYPT, of what is not protected."""
        self._services = services
        self._verb = verb

    def plan_action(self, situation: Situation) -> ActionPlan:
        """Return the job that is started, or how the one that there is goes on. Raises RefusedError."""
        target = subject.required_new_key(situation)
        selection = _selection(situation, self._verb)
        view = job_of(self._services.jobs, situation, self._verb)
        if view is not None and (not view.state.ended or (view.state is JobState.DONE and view.poisoned)):
            return self._going_on(view)
        # Who was left out of the new key on purpose loses nothing that is to be warned of again.
        left_out = subject.listed(situation.incident.values.get(subject.LEFT_OUT, ""))
        # In an incident nobody vouches for the endpoint that answers for KMS.
        options = JobOptions(ask_kms=True, accepted=tuple(arn for arn in left_out if "*" not in arn))
        inner = self._services.jobs.plan_job(
            self._verb, selection, target, options, cancelled=situation.cancelled
        )
        return self._starting(inner)

    def run_action(
        self, situation: Situation, plan: ActionPlan, consent: Any, progress: Progress | None = None
    ) -> ActionResult:
        """Start the job, or let it go on, and have processes work on it. See IncidentAction.run_action."""
        jobs, inner = self._services.jobs, plan.inner
        if not isinstance(inner, _GoingOn | JobPlan):
            raise RefusedError("This plan is not one of a job.", remedy="Open a new preview.")
        if isinstance(inner, _GoingOn):
            require(consent, plan)
            job = inner.job
            state = jobs.show_job(job).state
            if state in (JobState.PAUSED, JobState.FAILED):
                jobs.resume_job(job)
            elif state is JobState.DONE:
                jobs.retry_job(job)
        else:
            if not inner.plan.tokens:
                require(consent, plan)
                return ActionResult(True, ("There is no such token: nothing had to be written.",))
            running = job_of(jobs, situation, self._verb)
            if running is not None and not running.state.ended:
                raise RefusedError(
                    f"Job {running.job.id} does this already.", remedy="Open the step again to continue it."
                )
            job = jobs.start_job(inner, consent)
        return self._worked_on(situation, job, progress)

    def _worked_on(self, situation: Situation, job: int, progress: Progress | None) -> ActionResult:
        values = {_value(self._verb): str(job)}
        old = situation.incident.scope.key
        trusted = dict.fromkeys(key for key in (old, situation.incident.values.get("new_key", "")) if key)
        trouble: tuple[str, ...] = ()
        try:
            self._services.work_on(job, tuple(trusted))
        except KeydeckError as error:
            trouble = (
                f"Nothing here works on it: {error} From a terminal: keydeck jobs join {job} --trust {old}",
            )
        view = self._services.jobs.show_job(job)
        if progress is not None:
            progress(view.done, view.done + view.remaining)
        lines = [
            f"Job {job} is {view.state}: {counted(view.done, 'token')} done, {view.remaining:,} to do.",
            f"New envelopes that KMS opened before they were written: {view.opened}.",
        ]
        if not view.state.ended:
            # By the time that this is read it may have ended.
            lines = [f"Job {job} was handed over: {counted(view.done + view.remaining, 'token')}."]
            lines += [] if trouble else ["It continues by itself; the step's check shows its progress."]
        lines += unwritten(self._services.jobs, view)
        return ActionResult(view.complete, subject.said([*trouble, *lines]), values)

    def _starting(self, inner: JobPlan) -> ActionPlan:
        plan = inner.plan
        columns = [f"{column}: {counted(n, 'token')}" for column, n in plan.by_column.items() if n]
        new = "New data keys, nonces and ciphertexts under the new key: no data key that leaked opens them."
        in_place = (
            "Seals under the new key what is stored in plaintext or under the published development key."
        )
        does = [
            new if self._verb is Verb.REENCRYPT else in_place,
            f"{counted(plan.tokens, 'token')} to {plan.target_name} ({plan.target_key_arn})",
            *columns,
            "KMS opens every new envelope before it is written",
            (
                f"At least {inner.seconds:,.0f} s, if production leaves all of the quota of {inner.quota:,} "
                "KMS calls a second: the job takes what is left"
            ),
        ]
        does_not = ["Does not revoke tokens: anyone who has read one still has it."]
        if self._verb is Verb.REENCRYPT:
            does_not.append("Does not delete the old envelopes: they are kept until they are purged.")
        return ActionPlan(
            title=f"{plan.verb.words.capitalize()} {plan.selection}",
            digest=inner.digest,
            danger=inner.danger,
            confirmation=inner.confirmation,
            does=subject.said(does),
            does_not=tuple(does_not),
            warnings=subject.said(
                [
                    *(f"Loses access: {loss}" for loss in inner.losses),
                    *plan.warnings,
                    *(f"Not written: {u.reference}: {u.reason}" for u in plan.refused),
                    *(f"Not seen: {reason}" for reason in plan.coverage.reasons),
                ]
            ),
            inner=inner,
        )

    def _going_on(self, view: JobView) -> ActionPlan:
        job = view.job.id
        retries = view.state is JobState.DONE
        title = f"Try again what job {job} could not write" if retries else f"Continue job {job}"
        does = [
            (
                f"Job {job} ({view.job.selection}) is {view.state}: {counted(view.done, 'token')} done, "
                f"{view.remaining:,} to do, {view.poisoned:,} could not be written."
            ),
            "Processes here work on it; no other job is started.",
        ]
        warnings = [view.why] if view.why else []
        return ActionPlan(
            title=title,
            digest=plan_digest("job", job, view.state),
            danger=Danger.CONFIRM,
            does=subject.said(does),
            warnings=subject.said([*warnings, *unwritten(self._services.jobs, view)]),
            inner=_GoingOn(job, view.state),
        )


def unwritten(jobs: JobService, view: JobView) -> list[str]:
    """Return some tokens that a job could not write, and how many more there are. Raises DatabaseError."""
    if not view.poisoned:
        return []
    shown = jobs.unwritten(view.job.id, limit=_SHOWN)
    more = view.poisoned - len(shown)
    lines = [f"Could not be written: {u.reference}: {u.reason}" for u in shown]
    return [*lines, *([f"and {more:,} more: keydeck jobs show {view.job.id}"] if more > 0 else [])]
