"""Jobs in words for a terminal: a list, one job, how it ended, which tokens are not written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from console.printed.lists import Printout
from console.printed.output import print_json, print_line, say, utc
from crypto_core.lists.coverage import Coverage
from crypto_core.reencryption.jobs.model import JobPlan, JobState, JobView
from crypto_core.reencryption.plan import Plan, Unwritten
from crypto_core.values.counts import counted
from crypto_core.values.json_records import JsonRecord, made, shape
from screens.moments import span
from screens.plan_words import assumed_words, loss_lines, rate_words, takes_words
from screens.styled_text import plain

if TYPE_CHECKING:
    from crypto_core.reencryption.jobs.service import JobService

_HEADERS = (
    *("job", "state", "what", "planned", "written", "not written", "remaining", "tokens/s", "begun", "by"),
)


@dataclass(frozen=True, slots=True)
class JobDocument(JsonRecord):
    view: JobView

    json_shape = shape(
        "*view from=view.job.source_key_arn created_at=view.job.created_at created_by=view.job.created_by "
        "host=view.job.host restores=view.job.restores rate calls_per_second=view.calls_per_second "
        "pace=view.pace eta_seconds=view.eta_seconds",
        rate=made(str | float, lambda job: job.view.calls_per_second or "auto"),
    )


@dataclass(frozen=True, slots=True)
class UnwrittenOfKind(JsonRecord):
    kind: str
    reference: str
    reason: str


@dataclass(frozen=True, slots=True)
class ShownJob(JsonRecord):
    """A job with its processes and both censuses, and where that is asked for the tokens not written."""

    job: JobDocument
    not_written: tuple[UnwrittenOfKind, ...] | None

    json_shape = shape(
        "*job chunks=job.view.chunks chunks_done=job.view.chunks_done censuses_of_zero=job.view.zeroes "
        "runners=job.view.runners census_before=job.view.census_before census_after=job.view.census_after "
        "[not_written]"
    )


@dataclass(frozen=True, slots=True)
class StartedJob(JsonRecord):
    job: JobDocument
    coverage: Coverage
    refused: tuple[Unwritten, ...]

    json_shape = shape("*job coverage refused")


def listing_of(found: Sequence[JobView]) -> Printout[JobView]:
    return Printout(
        name="jobs",
        schema="job",
        rows=found,
        record=lambda view: JobDocument(view).as_json(),
        headers=_HEADERS,
        cells=lambda view: (
            view.job.id,
            view.state.value,
            f"{view.job.verb.words}: {view.job.selection}",
            view.job.planned,
            view.done,
            view.poisoned,
            view.remaining,
            round(view.tokens_per_second),
            utc(view.job.created_at, "%Y-%m-%d %H:%M"),
            view.job.created_by,
        ),
        spare=("by", "tokens/s", "begun"),
    )


def describe(view: JobView) -> Iterator[str]:
    job = view.job
    yield _line(f"job {job.id}: {view.state.value}", view.why)
    yield f"{job.verb.words}: {job.selection}"
    if job.source_key_arn:
        yield f"from {job.source_key_arn}"
    yield f"to   {job.target_key_arn}"
    yield f"begun {utc(job.created_at)} UTC by {job.created_by} on {job.host}"
    if job.restores is not None:
        yield f"restores what job {job.restores} replaced"
    yield (
        f"written {view.done:,} of {job.planned:,}, remaining {view.remaining:,}, "
        f"not written {view.poisoned:,}, conflicts retried {view.conflicts:,}"
    )
    if view.opened:
        yield f"opened by KMS before they were written: {view.opened}"
    throttled = sum(sample.throttled for sample in view.samples)
    yield _line(
        f"{counted(view.kms_calls, 'KMS call')} in {view.seconds:,.1f} s, "
        f"{view.tokens_per_second:,.0f} tokens/s",
        f"throttled of late {throttled:,}" if throttled else "",
    )
    yield f"rate {rate_words(view)}"
    if view.eta_seconds is not None and view.state is JobState.RUNNING:
        yield f"about {span(timedelta(seconds=view.eta_seconds))} remaining"
    if view.waiting:
        yield f"waiting: {view.waiting}; it goes on by itself"
    for kind, tokens in view.errors.items():
        yield f"not written, {kind}: {tokens:,}"
    for runner in view.runners:
        heard = "silent since" if runner.silent else "seen"
        words = "ended" if runner.ended and not runner.silent else f"{heard} {utc(runner.seen_at)} UTC"
        yield f"process {runner.pid} on {runner.host}, {words}, as {runner.actor}"
    for remark in view.remarks:
        yield f"Note: {remark}"


def print_unwritten(view: JobView, unwritten: Mapping[str, Sequence[tuple[str, str]]]) -> None:
    """Print the tokens that can't be written, by kind; says where not all are named."""
    for kind, tokens in unwritten.items():
        for reference, reason in tokens:
            print_line(_line(f"not written, {kind}: {reference}", reason))
        if len(tokens) < view.errors.get(kind, 0):
            say(f"{kind}: {len(tokens):,} of {view.errors[kind]:,}. More with --limit.")


def unwritten_of(work: JobService, view: JobView, limit: int) -> dict[str, list[tuple[str, str]]]:
    """Return tokens that a job can't write, with their reasons, at most so many of each kind."""
    return {
        kind: [(u.reference, u.reason) for u in work.unwritten(view.job.id, kind, limit=limit)]
        for kind in view.errors
    }


def say_end(view: JobView, *, as_json: bool, plan: Plan | None = None) -> None:
    """Print a job's state once this host has stopped working on it: the document, or words."""
    if as_json:
        document = JobDocument(view)
        print_json((StartedJob(document, plan.coverage, plan.refused) if plan else document).as_json())
        return
    for line in describe(view):
        print_line(line)
    if view.state is JobState.RUNNING:
        say(f"Job {view.job.id} is not at its end. Continue it with: keydeck jobs join {view.job.id}")
    elif view.state in (JobState.PAUSED, JobState.FAILED):
        say(f"Job {view.job.id} continues after: keydeck jobs resume {view.job.id}")
    if view.poisoned:
        say(f"Not written: {view.poisoned:,}. Which, and why: keydeck jobs show {view.job.id} --errors")


def code_of(view: JobView, *, interrupted: bool) -> int:
    """Return the exit code: 0 only where every token is written."""
    if view.complete:
        return 0
    if view.state is JobState.FAILED:
        return 3
    return 130 if interrupted and not view.state.ended else 1


def print_takes(plan: JobPlan, *, processes: int | None, err: bool = False) -> None:
    """Print what a job takes, and who loses access by it; `processes` None: as cores are full and free."""
    for line in (takes_words(plan, processes), *map(plain, loss_lines(plan))):
        print_line(line, err=err)


def takes_of(plan: JobPlan, processes: int | None) -> dict[str, Any]:
    """Return what a job takes as a part of a dry run's document."""
    return {
        "kms_calls": plan.kms_calls,
        "rate": plan.options.calls_per_second or "auto",
        "calls_per_second": plan.calls_per_second,
        "assumes": assumed_words(plan),
        "estimated_seconds": round(plan.seconds, 1),
        "estimated_dollars": round(plan.dollars, 4),
        "quota": plan.quota,
        "quota_share": round(plan.quota_share, 4),
        "processes": processes,
        "losses": list(plan.losses),
        "plan_digest": plan.digest,
    }


def _line(text: str, more: str = "") -> str:
    return f"{text}: {more}" if more else text
