"""One job, followed as it goes from whichever console, and the tokens that it can't write, each with why."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from itertools import pairwise
from typing import Any

from textual.content import Content

from crypto_core.reencryption.bulk.pace import PaceTrend
from crypto_core.reencryption.jobs.model import JobState, JobView
from crypto_core.reencryption.plan import Unwritten
from crypto_core.values.cancellation import Cancellation
from crypto_core.values.clean_text import shortened
from crypto_core.values.counts import counted
from screens.answer_screen import UseScreen
from screens.blocking_calls import Failure
from screens.event_filters import term
from screens.facts import ScreenFacts
from screens.jobs.job_actor import JobActor
from screens.jobs.words import at_work, how_to_work, state_sign, to_go
from screens.moments import ago, span, stamp
from screens.plan_words import rate_words
from screens.routes import JobErrorsRoute, KeyRoute, TokensRoute
from screens.use.lines import BLANK, NAME_CELLS, fact, prose, who
from screens.widgets.cells import cut, fit, fit_middle, progress
from screens.widgets.line_list import Line, line

_HEIGHTS = "▁▂▃▄▅▆▇█"
_NUMBER = 28


def job_lines(view: JobView, width: int, facts: ScreenFacts) -> Iterator[Line]:
    yield _progress(view, width)
    yield _rate(view, width)
    yield _counts(view, width)
    if view.why:
        yield from prose(view.why, width, lead="✖ ", lead_style="$error")
    if view.waiting:
        yield from prose(
            f"Waiting: {view.waiting}. It goes on by itself.", width, lead="▲ ", lead_style="$warning"
        )
    for remark in view.remarks:
        yield from prose(remark, width, lead="▲ ", lead_style="$warning")
    here = facts.services.job_processes
    if here is not None and (trouble := here.trouble(view.job.id)):
        yield from prose(trouble, width, lead="✖ ", lead_style="$error")
    if view.state is JobState.RUNNING and not at_work(view):
        words = f"No process is working on it. {how_to_work(view, facts)}"
        yield from prose(words, width, lead="▲ ", lead_style="$warning")
    yield BLANK
    yield from _kms(view, width)
    yield from _errors(view, width)
    yield from _about(view, width, facts)
    yield from _runners(view, width, facts)
    yield from _censuses(view, width, facts)


def _progress(view: JobView, width: int) -> Line:
    style = "$accent" if view.state is JobState.RUNNING else state_sign(view).style
    return Line(progress(view.through, view.whole, width, style))


def _rate(view: JobView, width: int) -> Line:
    sign = state_sign(view)
    left, spent = to_go(view), span(timedelta(seconds=view.seconds))
    words = [
        f"{view.tokens_per_second:,.0f} tokens/s",
        *([f"{left} remaining"] if left else []),
        f"took {spent}" if view.state.ended else f"{spent} so far",
        *([f"{_nth(view.wave)} wave"] if view.wave > 1 else []),
        *(["closing census: nothing left once"] if view.zeroes == 1 and not view.state.ended else []),
    ]
    return line(
        (f"{sign.text} {view.state.value}   ", f"bold {sign.style}"),
        cut(" · ".join(words), max(width - 13, 10)),
    )


def _nth(number: int) -> str:
    ends = {1: "st", 2: "nd", 3: "rd"}
    return f"{number}{'th' if 10 <= number % 100 <= 20 else ends.get(number % 10, 'th')}"


def _counts(view: JobView, width: int) -> Line:
    parts: list[str | tuple[str, str]] = [
        f"written {view.done:,} · remaining {view.remaining:,} · conflicts retried {view.conflicts:,} · ",
        (f"not written {view.poisoned:,}", "$error" if view.poisoned else ""),
    ]
    return Line(Content.assemble(*parts).truncate(width, ellipsis=True))


def _kms(view: JobView, width: int) -> Iterator[Line]:
    room = max(width - NAME_CELLS - _NUMBER, 10)
    starved = view.pace is not None and view.pace.standing is PaceTrend.STARVED
    words = f"{view.kms_calls:,}, {rate_words(view)}"
    yield fact("KMS calls", words, width, style="$warning" if starved else "")
    if not view.samples:
        if not view.state.ended:
            yield fact("KMS", "no recent calls", width, style="$muted")
        return
    last = view.samples[-1]
    sampled = span(last.at - view.samples[0].at + timedelta(seconds=1))
    throttled = sum(sample.throttled for sample in view.samples)
    for name, values, number, style in (
        ("tokens/s", [float(s.tokens) for s in view.samples], f"{last.tokens:,}", "$accent"),
        ("latency p50", [s.p50_ms for s in view.samples], f"{last.p50_ms:,.1f} ms", "$accent"),
        ("latency p99", [s.p99_ms for s in view.samples], f"{last.p99_ms:,.1f} ms", "$accent"),
        (
            "throttled",
            [float(s.throttled) for s in view.samples],
            f"{throttled:,} in {sampled}",
            "$warning" if throttled else "$muted",
        ),
    ):
        chart = sparkline(values, room)
        shown = fit(chart, room) if chart.strip() else fit("", room)
        yield line((fit(name, NAME_CELLS), "$muted"), (shown, style), (f"  {number}", "bold"))


def sparkline(values: Sequence[float], cells: int) -> str:
    """Return values as bars of one cell each, the newest last, the highest full, none blank."""
    if not values or cells <= 0:
        return ""
    if len(values) > cells:
        edges = [round(n * len(values) / cells) for n in range(cells + 1)]
        values = [max(values[a:b]) for a, b in pairwise(edges)]
    most = max(values)
    if most <= 0:
        return " " * len(values)
    return "".join(
        _HEIGHTS[min(int(value / most * len(_HEIGHTS)), len(_HEIGHTS) - 1)] if value > 0 else " "
        for value in values
    )


def _errors(view: JobView, width: int) -> Iterator[Line]:
    if not view.errors:
        return
    yield BLANK
    yield line(("Can't be written", "bold"), ("   the rest continues", "$muted"))
    for kind, tokens in sorted(view.errors.items(), key=lambda item: (-item[1], item[0])):
        content = Content.assemble(
            ("✖ ", "$error"), (fit(kind, max(width - 14, 10)), "$accent"), (f"{tokens:>12,}", "bold")
        )
        yield Line(content, JobErrorsRoute(view.job.id, kind), "Enter: which tokens, and why.")


def _about(view: JobView, width: int, facts: ScreenFacts) -> Iterator[Line]:
    job, now = view.job, facts.clock()
    yield BLANK
    yield fact("job", f"{job.id}: {job.verb.words}, {job.selection}", width, style="bold")
    for name, arn in (("from", job.source_key_arn), ("to", job.target_key_arn)):
        if arn:
            words = f"{facts.key_words.long(arn)}  {arn}"
            yield fact(name, words, width, target=KeyRoute(arn), hint="Enter: the key.", whole_end=True)
    if job.restores is not None:
        yield fact("restores", f"what job {job.restores} replaced", width)
    elif view.state.ended:
        yield fact("KMS opened", view.opened, width)
    yield fact("begun", f"{stamp(job.created_at, now)} by {who(job.created_by)} on {job.host}", width)
    yield fact("chunks", f"{view.chunks_done:,} of {view.chunks:,}", width)


def _runners(view: JobView, width: int, facts: ScreenFacts) -> Iterator[Line]:
    if not view.runners:
        return
    yield BLANK
    here = facts.services.job_processes
    own = here.at_work().get(view.job.id, 0) if here is not None else 0
    words = f"   {at_work(view):,} at work"
    words += f", {own:,} of this console: until it is left" if own else ""
    yield line(("Processes", "bold"), (cut(words, max(width - 9, 10)), "$muted"))
    for runner in view.runners:
        heard = "silent, last seen" if runner.silent else "seen"
        known = runner.silent or not runner.ended
        when = f"{heard} {ago(runner.seen_at, facts.clock())}" if known else "ended"
        text = f"{runner.pid} on {runner.host}  {when}  {who(runner.actor)}"
        yield line((cut(text, width), "$muted" if runner.ended else ""))


def _censuses(view: JobView, width: int, facts: ScreenFacts) -> Iterator[Line]:
    before, after = (_census(census, view, facts) for census in (view.census_before, view.census_after))
    if not before and not after:
        return
    yield BLANK
    yield line(("Census", "bold"))
    yield fact("before", before or "not taken", width)
    yield fact("after", after or ("not taken" if view.state.ended else "taken at the end"), width)


def _census(census: Mapping[str, Any] | None, view: JobView, facts: ScreenFacts) -> str:
    """How many tokens were under both keys, as it is kept in the job."""
    if not census:
        return ""
    shares = census.get("keys")
    rows = [row for row in shares if isinstance(row, Mapping)] if isinstance(shares, list) else []
    words = []
    for arn in filter(None, (view.job.source_key_arn, view.job.target_key_arn)):
        count = sum(_whole_number(row.get("tokens")) for row in rows if row.get("key_arn") == arn)
        words.append(f"{count:,} under {facts.key_words.long(arn)}")
    words.append(f"{_whole_number(census.get('tokens')):,} in all")
    coverage = census.get("coverage")
    if isinstance(coverage, Mapping) and coverage.get("complete") is False:
        words.append("not whole")
    return " · ".join(words)


def _whole_number(value: object) -> int:
    return value if isinstance(value, int) else 0


class JobScreen(JobActor, UseScreen[JobView]):
    """Where the job stands is in the database: asked for every second, nothing of it is kept here."""

    NAME = "job"
    EVERY = 0.5
    ASKING = "Asking where the job stands…"

    def __init__(self, facts: ScreenFacts, job: int) -> None:
        super().__init__(facts)
        self.job = job
        self._here = (0, "")
        """How many processes of this console work on it, and why others stopped."""

    @property
    def crumb(self) -> tuple[str, str]:
        return "Job", str(self.job)

    @property
    def job_in_hand(self) -> JobView | None:
        return self.answer

    def ask_for(self, cancelled: Cancellation) -> JobView:
        return self.facts.services.jobs.show_job(self.job)

    def lines(self, answer: JobView, width: int) -> Iterable[Line]:
        return job_lines(answer, width, self.facts)

    def _keep(self, answer: JobView | Failure) -> None:
        here = self.facts.services.job_processes
        told = (here.at_work().get(self.job, 0), here.trouble(self.job)) if here is not None else (0, "")
        if told != self._here:
            self._here, self._written = told, ((), ())
        super()._keep(answer)
        self._show_state()

    def cursor_moved(self) -> None:
        super().cursor_moved()
        self._show_state()

    def _show_state(self) -> None:
        view = self.answer
        if view is None or not self.is_mounted:
            return
        sign = state_sign(view)
        self.show_path(Content.assemble((f"{sign.text} {view.state.value}", sign.style)))
        self.refresh_hints(view.state, view.poisoned > 0)


MOST = 1_000


class JobErrorsScreen(UseScreen[tuple[Unwritten, ...]]):
    """By reason; from each token to its connection."""

    NAME = "job-errors"
    EVERY = 5.0
    ASKING = "Asking which tokens can't be written…"

    def __init__(self, facts: ScreenFacts, job: int, kind: str) -> None:
        super().__init__(facts)
        self.job = job
        self.kind = kind

    @property
    def crumb(self) -> tuple[str, str]:
        return "Not written", shortened(self.kind, 60)

    def ask_for(self, cancelled: Cancellation) -> tuple[Unwritten, ...]:
        return self.facts.services.jobs.unwritten(self.job, self.kind, limit=MOST + 1)

    def lines(self, answer: tuple[Unwritten, ...], width: int) -> Iterable[Line]:
        return error_lines(answer, width, self.job)


def error_lines(answer: tuple[Unwritten, ...], width: int, job: int) -> Iterator[Line]:
    """Yield each reason with its tokens, and whether these are all."""
    if not answer:
        yield line(("None any more.", "bold"))
        return
    by_reason: dict[str, list[str]] = {}
    for token in answer[:MOST]:
        by_reason.setdefault(token.reason, []).append(token.reference)
    for reason, references in by_reason.items():
        yield from prose(reason or "No reason was kept.", width, lead="✖ ", lead_style="$error")
        yield line((f"  {counted(len(references), 'token')}", "$muted"))
        for reference in references:
            target = TokensRoute(term("reference", reference))
            content = Content.assemble("  ", (fit_middle(reference, max(width - 2, 8)).rstrip(), "$accent"))
            yield Line(content, target, "Enter: its connection.")
        yield BLANK
    if len(answer) > MOST:
        words = f"These are the first {MOST:,}. All: keydeck jobs show {job} --errors --limit N"
        yield from prose(words, width, style="$muted")
