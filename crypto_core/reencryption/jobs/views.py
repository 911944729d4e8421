"""Jobs as they are shown, from what the database keeps of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields, replace
from datetime import datetime

from crypto_core.database.state.jobs import LIVELY_SECONDS, JobCounts, JobRow, RunnerRow
from crypto_core.reencryption.bulk.pace import Standing
from crypto_core.reencryption.jobs.model import (
    Job,
    JobPace,
    JobRunnerView,
    JobState,
    JobView,
    ThroughputSample,
)
from crypto_core.reencryption.plan import Verb
from crypto_core.text.cleaning import clean

LATELY_SECONDS = 10.0
"""Seconds over which a running job's rate is told."""


SILENT_SECONDS = 5.0
"""After so long, a process that has not ended is called silent: a heartbeat may be late."""

_FIRST_SAID = (Standing.SHARED, Standing.RISING, Standing.LIMITED, Standing.UNUSED, Standing.STARVED)
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
    reasons = {Standing(sample["standing"]) for sample in told}
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
