"""Jobs in memory, and what was asked of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from threading import Event
from typing import Any
from uuid import UUID

from crypto_core.guard.consent import Consent, require
from crypto_core.lists.coverage import Coverage
from crypto_core.reencryption.bulk.pace import PaceTrend
from crypto_core.reencryption.jobs.model import (
    Job,
    JobOptions,
    JobPace,
    JobPlan,
    JobRunnerView,
    JobState,
    JobView,
    ThroughputSample,
)
from crypto_core.reencryption.jobs.undo import RestorePlan
from crypto_core.reencryption.plan import Plan, Selection, Unwritten, Verb
from crypto_core.values.clean_text import clean
from crypto_core.values.errors import ReadOnlyError, UnknownJobError
from tests.screens.samples import CURRENT, NOW, OLD
from tests.screens.stage_work import NO_RECOVERY

Enter = Callable[..., None]


def job_view(number: int = 31, state: JobState = JobState.RUNNING, **more: Any) -> JobView:
    job = Job(
        id=number,
        run_id=UUID(int=number),
        verb=Verb.REENCRYPT,
        selection="every token under alias/tokens-old",
        source_key_arn=OLD,
        target_key_arn=CURRENT,
        planned=1_000_000,
        created_at=NOW - timedelta(minutes=5),
        created_by="arn:aws:sts::123456789012:assumed-role/oncall/ana",
        host="ops-1",
    )
    shown: dict[str, Any] = {
        "job": job,
        "state": state,
        "why": "",
        "wave": 1,
        "zeroes": 0,
        "done": 412_000,
        "conflicts": 4,
        "poisoned": 3,
        "remaining": 587_997,
        "chunks": 500,
        "chunks_done": 206,
        "kms_calls": 824_012,
        "calls_per_second": 0.0,
        "pace": JobPace(8_000.0, PaceTrend.SHARED),
        "seconds": 101.5,
        "tokens_per_second": 4_060.0,
        "eta_seconds": 145.0,
        "errors": {"incorrect-key": 2, "malformed": 1},
        "samples": tuple(_sample(n) for n in range(60)),
        "runners": (
            JobRunnerView(
                UUID(int=1), "ops-1", 4711, job.created_by, NOW - timedelta(seconds=1), ended=False
            ),
            JobRunnerView(UUID(int=2), "ops-2", 815, job.created_by, NOW - timedelta(minutes=4), ended=True),
        ),
        "census_before": census(under_old=1_000_000),
    }
    return JobView(**(shown | more))


def _sample(second: int) -> ThroughputSample:
    throttled = 30 if second == 40 else 0
    p50, p99 = 1.3 + second % 7 / 10, 3.1 + second * 7 % 13 / 10
    return ThroughputSample(
        NOW - timedelta(seconds=60 - second), 3_000 + second * 27, 8_000, throttled, p50, p99
    )


def census(under_old: int, under_current: int = 200_000) -> Mapping[str, Any]:
    shares = [(OLD, under_old), (CURRENT, under_current)]
    return {
        "tokens": under_old + under_current,
        "keys": [{"key_arn": arn, "tokens": count} for arn, count in shares if count],
        "coverage": {"complete": True, "reasons": []},
    }


DONE = job_view(
    30,
    JobState.DONE,
    done=1_000_000,
    poisoned=0,
    remaining=0,
    zeroes=2,
    chunks_done=500,
    errors={},
    samples=(),
    eta_seconds=None,
    seconds=246.3,
    census_after=census(under_old=0, under_current=1_200_000),
)


@dataclass
class StageJobs:
    enter: Enter
    read_only: Callable[[], bool] = lambda: False
    views: dict[int, JobView] = field(default_factory=lambda: {31: job_view(), 30: DONE})
    tokens: list[tuple[str, Unwritten]] = field(
        default_factory=lambda: [
            ("incorrect-key", Unwritten("gh_connection.access_token:gh-7", "KMS: not wrapped by this key")),
            ("incorrect-key", Unwritten("slack_connection.token:9", "KMS: not wrapped by this key")),
            ("malformed", Unwritten("gh_connection.access_token:gh-8", "not base64")),
        ]
    )
    asked: list[tuple[str, object]] = field(default_factory=list)
    planned: list[tuple[Verb, Selection, str, JobOptions]] = field(default_factory=list)
    losses: tuple[str, ...] = ()
    plan_tokens: int = 1_000_000
    joined: Callable[[JobView], JobView] = lambda view: replace(
        view,
        state=JobState.DONE,
        done=view.done + view.remaining,
        remaining=0,
        zeroes=2,
        poisoned=0,
        errors={},
    )
    consent: Consent | None = None

    def plan_job(
        self,
        verb: Verb,
        selection: Selection,
        target: str,
        options: JobOptions,
        *,
        cancelled: Event | None = None,
    ) -> JobPlan:
        self.enter("job.plan", cancelled)
        self.planned.append((verb, selection, target, options))
        column = {"gh_connection.access_token": self.plan_tokens}
        warnings = (NO_RECOVERY,) if verb is Verb.REWRAP else ()
        name, coverage = "alias/tokens", Coverage()
        plan = Plan(verb, selection, CURRENT, name, self.plan_tokens, column, (), warnings, coverage)
        rate = options.calls_per_second or 100_000.0
        calls = self.plan_tokens * verb.calls_per_token()
        return JobPlan(plan, options, rate, calls / rate, calls * 3e-6, 100_000, self.losses)

    def plan_fitting(
        self, verb: Verb, selection: Selection, target: str, options: JobOptions, *, few: int
    ) -> JobPlan | Plan:
        made = self.plan_job(verb, selection, target, options)
        return made if made.plan.tokens > few else made.plan

    def start_job(self, plan: JobPlan, consent: Consent | None) -> int:
        self._change("job.start", plan.digest)
        self.consent = require(consent, plan)
        view = job_view(32, done=0, poisoned=0, errors={}, remaining=plan.plan.tokens)
        self.views[32] = replace(view, job=replace(view.job, verb=plan.plan.verb, planned=plan.plan.tokens))
        return 32

    def join_job(
        self, job: int, *, progress: Callable[[JobView], None] | None = None, cancelled: Event | None = None
    ) -> JobView:
        self._change("job.join", job)
        if progress is not None:
            progress(self.views[job])
        self.views[job] = self.joined(self._view(job))
        return self.views[job]

    def jobs(self, limit: int = 200) -> tuple[JobView, ...]:
        self.enter("jobs")
        return tuple(self.views[number] for number in sorted(self.views, reverse=True)[:limit])

    def show_job(self, job: int) -> JobView:
        self.enter("job.show")
        return self._view(job)

    def unwritten(self, job: int, kind: str = "", *, limit: int = 200) -> tuple[Unwritten, ...]:
        self.enter("job.unwritten")
        self.asked.append(("unwritten", (job, kind)))
        return tuple(token for of, token in self.tokens if kind in ("", of))[:limit]

    def pause_job(self, job: int) -> JobView:
        return self._to("job.pause", job, JobState.PAUSED)

    def resume_job(self, job: int) -> JobView:
        return self._to("job.resume", job, JobState.RUNNING)

    def cancel_job(self, job: int) -> JobView:
        return self._to("job.cancel", job, JobState.CANCELLED)

    def retry_job(self, job: int) -> int:
        self._change("job.retry", job)
        view = self._view(job)
        self.views[job] = replace(
            view, state=JobState.RUNNING, poisoned=0, errors={}, remaining=view.remaining + view.poisoned
        )
        return view.poisoned

    def _to(self, name: str, job: int, state: JobState) -> JobView:
        self._change(name, job)
        self.views[job] = replace(self._view(job), state=state)
        return self.views[job]

    def _change(self, name: str, about: object) -> None:
        self.enter(name)
        if self.read_only():
            raise ReadOnlyError("The stage is read only.")
        self.asked.append((name.removeprefix("job."), about))

    def _view(self, job: int) -> JobView:
        if job not in self.views:
            raise UnknownJobError(f"There is no job {job}.")
        return self.views[job]


@dataclass
class StageProcesses:
    enter: Enter
    read_only: Callable[[], bool] = lambda: False
    working: dict[int, int] = field(default_factory=dict)
    troubles: dict[int, str] = field(default_factory=dict)
    asked: list[tuple[int, int, tuple[str, ...]]] = field(default_factory=list)

    def fitting(self, calls_per_second: float, tokens: int) -> int:
        return max(1, round((calls_per_second or 50_000) / 10_000))

    def work_on(self, job: int, processes: int = 1, *, trust: Sequence[str] = ()) -> None:
        self.enter("job.work_on")
        if self.read_only():
            raise ReadOnlyError("The stage is read only.")
        self.asked.append((job, processes, tuple(trust)))
        self.working[job] = self.working.get(job, 0) + processes

    def at_work(self) -> Mapping[int, int]:
        return dict(self.working)

    def trouble(self, job: int) -> str:
        return clean(self.troubles.get(job, ""))


@dataclass
class StageUndoing:
    jobs: StageJobs
    consent: Consent | None = None

    def plan_restore(self, job: int) -> RestorePlan:
        self.jobs.enter("undo.plan")
        return RestorePlan(job, self.jobs.show_job(job).done, (OLD,))

    def start_restore(self, plan: RestorePlan, consent: Consent | None) -> int:
        self.jobs.enter("undo.restore")
        if self.jobs.read_only():
            raise ReadOnlyError("The stage is read only.")
        self.consent = require(consent, plan)
        view = job_view(33, done=0, poisoned=0, errors={}, remaining=plan.tokens)
        self.jobs.views[33] = replace(view, job=replace(view.job, restores=plan.job, planned=plan.tokens))
        return 33


def seen_at(moment: datetime) -> tuple[JobRunnerView, ...]:
    return (JobRunnerView(UUID(int=1), "ops-1", 4711, "ana", moment, ended=False),)
