"""A job as it is shown: what it is to do, where it stands, who works on it and how it ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from crypto_core.guard.consent import Danger, document_digest
from crypto_core.keys.replacement import Compared
from crypto_core.reencryption.bulk.pace import PaceTrend
from crypto_core.reencryption.jobs.replica_watch import MAX_LAG_SECONDS
from crypto_core.reencryption.plan import PROVED, Plan, Verb
from crypto_core.values.clean_text import CleanText, cleans
from crypto_core.values.json_records import JsonRecord, made, shape

FEW = 200
"""Up to so many tokens are written by one process at once, and nothing of it is kept as a job."""


class JobState(StrEnum):
    RUNNING = "running"
    PAUSED = "paused"
    DONE = "done"
    """Two censuses in a row found nothing left, but for tokens that can't be written."""
    CANCELLED = "cancelled"
    FAILED = "failed"
    """It can't go on until what `why` says is put right; `resume_job` goes on then."""

    @property
    def ended(self) -> bool:
        return self in (JobState.DONE, JobState.CANCELLED)


@dataclass(frozen=True, slots=True)
class JobOptions:
    """How a job is run. `calls_per_second` is for all its runners together; 0 for what the quota leaves.

    `accepted` are principals that may lose access: ARNs or accounts, `*` and `?` as in IAM. They are not
    among the plan's losses. The job waits while a replica is over `max_lag` seconds behind; 0 for never.
    """

    calls_per_second: float = 0.0
    ask_kms: bool = False
    allow_downgrade: bool = False
    accepted: tuple[str, ...] = ()
    max_lag: float = MAX_LAG_SECONDS


CompareAccess = Callable[[str, str, Sequence[str]], Compared]
"""Who decrypts under a source key today and may not under a target key: by both ARNs.

Those that the last argument names may lose it, and are left out.
"""


@dataclass(frozen=True, slots=True)
@cleans(losses=600)
class JobPlan:
    """A dry run's result: the plan, and what it takes.

    `losses` are principals that decrypt under the source key today and may not under the target's, each with
    why. A job that has any needs a typed confirmation, whatever the number of tokens.
    """

    plan: Plan
    options: JobOptions
    calls_per_second: float
    """At most: what was set, else the quota."""
    seconds: float
    dollars: float
    quota: int
    """Calls a second that KMS allows this account in the target's Region."""
    losses: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    """Not yet among the plan's own."""

    @property
    def danger(self) -> Danger:
        return Danger.TYPED if self.losses else self.plan.danger

    @property
    def confirmation(self) -> str:
        return self.plan.confirmation

    @property
    def unagreed(self) -> tuple[str, ...]:
        return self.plan.unagreed

    @property
    def digest(self) -> str:
        told = {"plan": self.plan.digest, "losses": sorted(self.losses), "options": astuple(self.options)}
        return document_digest(told)

    def at(self, calls_per_second: float) -> JobPlan:
        """Return the same plan at another rate, which is above 0."""
        options = replace(self.options, calls_per_second=calls_per_second)
        seconds = self.kms_calls / calls_per_second
        return replace(self, options=options, calls_per_second=calls_per_second, seconds=seconds)

    @property
    def kms_calls(self) -> int:
        return self.plan.tokens * self.plan.verb.calls_per_token(ask_kms=self.options.ask_kms)

    @property
    def quota_share(self) -> float:
        """How much of the quota the job takes at its rate, from 0 to 1."""
        return min(1.0, self.calls_per_second / self.quota) if self.quota else 1.0


@dataclass(frozen=True, slots=True)
@cleans(selection=1_000, created_by=300, host=100)
class Job:
    id: int
    run_id: UUID
    verb: Verb
    selection: str
    source_key_arn: str | None
    target_key_arn: str
    planned: int
    created_at: datetime
    created_by: CleanText
    host: CleanText
    restores: int | None = None
    verify: str = "local"


@dataclass(frozen=True, slots=True)
class ThroughputSample:
    """What a second of work came to, over all runners. Latencies are in milliseconds."""

    at: datetime
    tokens: int
    calls: int
    throttled: int
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True)
class JobPace(JsonRecord):
    """The pace of those that work on a job now: calls a second together, and why (bulk/pace.py)."""

    calls_per_second: float
    standing: PaceTrend

    json_shape = shape("...", calls_per_second=made(float, lambda pace: round(pace.calls_per_second, 1)))


@dataclass(frozen=True, slots=True)
class JobRunnerView(JsonRecord):
    id: UUID
    host: CleanText
    pid: int
    actor: CleanText
    seen_at: datetime
    ended: bool
    """It works no longer, as far as is known."""
    silent: bool = False
    """It has not ended by itself, and nothing is heard of it: it is cut off, or was killed."""

    json_shape = shape("... -id")


@dataclass(frozen=True, slots=True)
@cleans(why=2_000, errors=100, remarks=2_000, waiting=300)
class JobView(JsonRecord):
    """A job and where it stands. Quick to ask for: twice a second is fine."""

    job: Job
    state: JobState
    why: str
    wave: int
    zeroes: int
    done: int
    conflicts: int
    poisoned: int
    remaining: int
    chunks: int
    chunks_done: int
    kms_calls: int
    calls_per_second: float
    """The limit that was set, 0 for none."""
    seconds: float
    """From its start to its end, or to now."""
    tokens_per_second: float
    """Of late; of the whole job once it has ended."""
    eta_seconds: float | None
    """None where there is no telling."""
    errors: Mapping[str, int] = field(default_factory=dict)
    """Tokens that can't be written, by kind."""
    samples: tuple[ThroughputSample, ...] = ()
    runners: tuple[JobRunnerView, ...] = ()
    pace: JobPace | None = None
    """None where nobody calls KMS for it now."""
    census_before: Mapping[str, Any] | None = None
    census_after: Mapping[str, Any] | None = None
    remarks: tuple[str, ...] = ()
    """What the operator must know of how it ended, such as that nobody can tell who still seals."""
    waiting: str = ""
    """What the job waits for just now, to go on by itself; "" while it doesn't."""

    json_shape = shape(
        "job=job.id state verb=job.verb selection=job.selection to=job.target_key_arn planned=job.planned "
        "done opened conflicts_retried=conflicts poisoned errors remaining seconds tokens_per_second "
        "kms_calls why waiting remarks",
        seconds=made(float, lambda record: round(record.seconds, 3)),
        tokens_per_second=made(float, lambda record: round(record.tokens_per_second, 1)),
    )

    @property
    def opened(self) -> str:
        """How many of the new envelopes KMS opened before they were written; "" of what is restored."""
        if self.job.restores is not None:
            return ""
        if self.job.verb is not Verb.REENCRYPT or self.job.verify == "kms":
            return f"all {self.done:,}"
        return f"about 1 in {PROVED} and the first of each chunk, of {self.done:,}"

    @property
    def through(self) -> int:
        return self.done + self.poisoned

    @property
    def whole(self) -> int:
        """How many tokens it is about: rows that came later count too."""
        return max(self.job.planned, self.through + self.remaining)

    @property
    def complete(self) -> bool:
        return self.state is JobState.DONE and not self.poisoned
