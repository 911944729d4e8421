"""Nothing is left under the old key, nothing is unprotected: by the job's end and a fresh proof."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Event

from crypto_core.database.tokens.fresh_proof import FEW
from crypto_core.database.tokens.lost_tokens import TriedToken
from crypto_core.envelope import Format
from crypto_core.incidents.keys.reencryption_job import job_of, unwritten
from crypto_core.incidents.keys.rotation.old_key import kept_backups, not_counted
from crypto_core.incidents.keys.subject import old_key
from crypto_core.incidents.model import CheckResult, CheckState
from crypto_core.incidents.steps.step_contracts import Situation
from crypto_core.incidents.tool_services import ToolServices
from crypto_core.keys.changes.key_reader import proven_at_risk
from crypto_core.keys.changes.plan import TokensAtRisk
from crypto_core.reencryption.jobs.model import JobState, JobView
from crypto_core.reencryption.plan import Verb
from crypto_core.values.cancellation import stop_if
from crypto_core.values.counts import counted, first_lines
from crypto_core.values.errors import DatabaseError, RefusedError
from crypto_core.values.moments import in_utc

_SHOWN = 10


class EmptiedChecks:
    """Looks at jobs, and makes fresh proofs. Blocks on the database and KMS; changes nothing."""

    def __init__(self, services: ToolServices) -> None:
        self._services = services

    def nothing_under_key(self, situation: Situation) -> CheckResult:
        """Pass if a fresh proof finds no token under the old key now, and one found none a while before.

        The job's own last two count; without a job a second one is made after `settle_seconds`. While the job
        runs none is made: its progress is told.
        """
        name = old_key(situation)
        view = job_of(self._services.jobs, situation, Verb.REENCRYPT)
        lines = _told(view) if view else ["No job has been started."]
        if view is not None and view.state is not JobState.DONE:
            return self._under_way(view, lines)
        if view is not None:
            lines += unwritten(self._services.jobs, view)
        arn = self._services.keys.describe(name).key_arn
        tokens = self._count(situation, arn)
        lines += [*_zeroes(view, tokens.under), *_counted(tokens), *self._backups(arn)]
        lost = self._lost(situation, arn, tokens)
        lines += _told_lost(lost, situation.incident.id)
        done, total = (view.done, view.done + tokens.under) if view else (0, tokens.under)
        state = _state(tokens)
        if state is CheckState.NOT_YET and view is not None and view.poisoned >= tokens.under:
            # What the job could not write does not move by waiting.
            state = CheckState.FAILED
        elif lost and len(lost) >= tokens.at_most_known:
            # Nor does what nobody can open.
            state = CheckState.FAILED
        if state is CheckState.PASSED and (view is None or view.zeroes < 2):
            lines.append(f"None at {in_utc(self._services.clock())}; counted again after a while")
            (situation.cancelled or Event()).wait(self._services.settle_seconds)
            stop_if(situation.cancelled)
            tokens = self._count(situation, arn)
            lines += _counted(tokens)
            state = _state(tokens)
        return CheckResult(state, tuple(lines), done, total, lost=len(lost))

    def nothing_unprotected(self, situation: Situation) -> CheckResult:
        """Pass if no token is stored in plaintext or in dev format."""
        view = job_of(self._services.jobs, situation, Verb.ENCRYPT)
        lines = _told(view) if view else []
        if view is not None and view.state is not JobState.DONE:
            return self._under_way(view, lines)
        if view is not None:
            lines += unwritten(self._services.jobs, view)
        proof = self._services.status.prove(in_full=True, cancelled=situation.cancelled)
        status = self._services.status.status_by(proof)
        plain, dev = status.by_format.get(Format.PLAINTEXT, 0), status.by_format.get(Format.DEV, 0)
        left = plain + dev
        lines.append(f"In plaintext: {counted(plain, 'token')}; in dev format: {counted(dev, 'token')}")
        lines.append(str(proof))
        lines += [
            f"{column.column}: {counted(n, 'token')}"
            for column in status.by_column
            if (n := column.by_format.get(Format.PLAINTEXT, 0) + column.by_format.get(Format.DEV, 0))
        ]
        odd = status.by_format.get(Format.UNRECOGNISED, 0)
        if odd:
            lines.append(
                f"Open point: {counted(odd, 'token')} not recognised, plaintext or corrupt. Look at each: "
                "keydeck connections --filter format:unrecognised"
            )
        done = view.done if view else 0
        if left:
            stuck = view is not None and view.poisoned >= left
            return CheckResult(
                CheckState.FAILED if stuck else CheckState.NOT_YET, tuple(lines), done, done + left
            )
        if not status.coverage.complete:
            lines += [f"Not seen: {reason}" for reason in status.coverage.reasons]
            return CheckResult(CheckState.UNKNOWN, tuple(lines), done, done)
        return CheckResult(CheckState.PASSED, tuple(lines), done, done)

    def _count(self, situation: Situation, arn: str) -> TokensAtRisk:
        """By a proof that leaves out no damaged token: what is left of it is under the key for a thief."""
        proof = self._services.status.prove(in_full=True, cancelled=situation.cancelled)
        return proven_at_risk(proof, arn, None)

    def _lost(self, situation: Situation, arn: str, tokens: TokensAtRisk) -> tuple[TriedToken, ...]:
        """What of a few that are left opens for nobody."""
        if tokens.proof is None or not 0 < tokens.at_most_known <= FEW:
            return ()
        try:
            status = self._services.status
            return status.left_under(tokens.proof, arn, cancelled=situation.cancelled).lost
        except RefusedError:
            return ()  # More may be under it than are opened one by one.

    def _under_way(self, view: JobView, lines: list[str]) -> CheckResult:
        done, total = view.done, view.done + view.remaining + view.poisoned
        if view.state in (JobState.FAILED, JobState.CANCELLED):
            why = view.why or "It was cancelled: run the step's action again."
            return CheckResult(CheckState.FAILED, (*lines, why), done, total)
        if any(not runner.ended for runner in view.runners):
            return CheckResult(CheckState.NOT_YET, tuple(lines), done, total)
        if self._services.at_work(view.job.id):
            lines.append("Processes here are starting to work on it")
        else:
            lines.append(
                f"No process works on it: run the step's action again, or keydeck jobs join {view.job.id}"
            )
        return CheckResult(CheckState.NOT_YET, tuple(lines), done, total)

    def _backups(self, arn: str) -> list[str]:
        try:
            return [kept_backups(self._services.backups(arn))]
        except DatabaseError as error:
            return [kept_backups(None, error.message)]


def _told(view: JobView) -> list[str]:
    rate = f", {view.tokens_per_second:,.0f}/s" if view.tokens_per_second else ""
    line = (
        f"Job {view.job.id} is {view.state}: {view.done:,} done, {view.remaining:,} to do, "
        f"{view.conflicts:,} conflicts retried, {view.poisoned:,} that can't be written{rate}, "
        f"opened by KMS before they were written: {view.opened}"
    )
    return [line, *view.remarks]


def _zeroes(view: JobView | None, under: int) -> list[str]:
    """What the job's own last censuses found, beside what is left now."""
    if view is None or not view.zeroes:
        return []
    last = "last census" if view.zeroes == 1 else f"last {view.zeroes} censuses"
    found = f"The {last} of job {view.job.id} found nothing left"
    if view.poisoned:
        return [f"{found} but {counted(view.poisoned, 'token')} that it could not write"]
    return [f"{found}: what is under the key now came later" if under else found]


def _counted(tokens: TokensAtRisk) -> list[str]:
    lines = [f"Census: {tokens} under the old key", *([str(tokens.proof)] if tokens.proof else [])]
    lines += tokens.proof.remarks if tokens.proof else ()
    if tokens.doubtful:
        lines.append("Ask about each whose key is not known: keydeck verify --all")
    return [*lines, *not_counted(tokens)]


def _told_lost(lost: Sequence[TriedToken], incident: int) -> list[str]:
    """The tokens that open for nobody, and how to go on without them."""
    if not lost:
        return []
    return [
        (
            f"Of these {counted(len(lost), 'token')} can't be opened by anybody. Where no backup helps, "
            f"accept exactly these as lost: keydeck incident accept-lost {incident} --reason TEXT"
        ),
        *first_lines([f"Can't be opened: {token}" for token in lost], _SHOWN),
    ]


def _state(tokens: TokensAtRisk) -> CheckState:
    if tokens.under:
        return CheckState.NOT_YET
    return CheckState.PASSED if tokens.none else CheckState.UNKNOWN
