"""What is planned for tokens, what a job takes and what a run did, in words for terminals and screens."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from textwrap import wrap
from types import MappingProxyType

from crypto_core.reencryption.bulk.pace import PaceTrend
from crypto_core.reencryption.jobs.model import JobPlan, JobView
from crypto_core.reencryption.plan import Plan, RunResult, Unwritten, Verb
from crypto_core.reencryption.scale.figures import Basis, Figure
from crypto_core.reencryption.scale.forecast import Forecast, Result
from crypto_core.values.counts import counted
from crypto_core.values.key_names import short_key
from screens.moments import span
from screens.styled_text import BAD, BLANK, GOOD, WARNING, StyledLine, effect_lines

ABOUT: dict[Verb, str] = {
    Verb.REWRAP: (
        "Rewrap puts the same data keys under another KMS key. It is no recovery from a compromise: anyone "
        "who could use the old key may already hold the data keys. To recover, re-encrypt."
    ),
    Verb.REENCRYPT: "Re-encrypt makes a new data key and a new ciphertext for each token.",
    Verb.ENCRYPT: (
        "Encrypt in place replaces a plaintext or dev value by an envelope. The old value isn't kept."
    ),
}
_STANDING = {
    PaceTrend.RISING: "looking for more",
    PaceTrend.SHARED: "the platform uses the rest",
    PaceTrend.LIMITED: "the limit",
    PaceTrend.UNUSED: "more than its processes make",
    PaceTrend.STARVED: "next to nothing: KMS throttles whatever the rate",
}
SHOWN = 50


def plan_lines(plan: Plan, kms_calls: int | None = None, *, most: int | None = SHOWN) -> Iterator[StyledLine]:
    """Yield what would be written, at what cost, with which warnings, and what stays as it is.

    `kms_calls` is what a job takes. At most so many of the tokens that stay as they are are named.
    """
    if plan.tokens:
        name = f"{plan.target_name} {short_key(plan.target_key_arn)}".strip()
        calls = counted(plan.kms_calls if kms_calls is None else kms_calls, "call")
        yield (counted(plan.tokens, "token"), "bold"), " would be written under ", (name, "bold")
        yield ((f"{calls} of KMS, of the quota that production shares", "$muted"),)
        for column, count in sorted(plan.by_column.items()):
            yield f"{count:>9,}  ", column
        for conversion in plan.conversions:
            if conversion.changes:
                yield f"{conversion.tokens:>9,}  ", f"{conversion.source} becomes {conversion.written}"
        yield from effect_lines(warnings=plan.warnings)
    else:
        yield (("Nothing to write.", "bold"),)
    for reason in plan.coverage.reasons:
        yield WARNING, "not covered: ", reason
    if plan.refused:
        count = len(plan.refused)
        words = f"{counted(count, 'token')} would be left as {'it is' if count == 1 else 'they are'}:"
        yield BLANK
        yield BAD, (words, "bold")
        yield from unwritten_lines(plan.refused, most)


def unwritten_lines(unwritten: Sequence[Unwritten], most: int | None = SHOWN) -> Iterator[StyledLine]:
    """Yield each reason with the tokens that it holds for, and how many more there are than are named."""
    by_reason: dict[str, list[str]] = {}
    for token in unwritten[:most]:
        by_reason.setdefault(token.reason, []).append(token.reference)
    for reason, references in by_reason.items():
        yield (f"  {reason}",)
        yield from ((("    " + reference, "$muted"),) for reference in references)
    if most is not None and len(unwritten) > most:
        yield (f"  and {len(unwritten) - most:,} more",)


def stop_lines(result: RunResult) -> Iterator[StyledLine]:
    """Yield what stopped a run, nothing where it ran to its end."""
    if result.stopped_by:
        yield WARNING, "Stopped: ", result.stopped_by


def result_lines(result: RunResult, *, most: int | None = SHOWN) -> Iterator[StyledLine]:
    """Yield what a run did; what stopped it is in `stop_lines`."""
    calls = f"{counted(result.kms_calls, 'call')} of KMS"
    rate = f"   {result.done / result.seconds:,.0f} tokens/s" if result.seconds else ""
    yield (
        GOOD if result.complete else WARNING,
        (f"{result.done:,} of {counted(result.planned, 'token')} written", "bold"),
        (f"   {result.seconds:,.1f} s{rate}   {calls}", "$muted"),
    )
    if result.changed_meanwhile:
        yield (
            f"{counted(result.changed_meanwhile, 'token')} changed in the meantime; the newer values stay.",
        )
    if result.conflicts_retried:
        yield (f"{counted(result.conflicts_retried, 'conflict')} with other writers, tried again.",)
    if result.remaining:
        yield (f"{counted(result.remaining, 'token')} not reached. Run it again to continue.",)
    if result.poisoned:
        yield BAD, (f"{counted(len(result.poisoned), 'token')} can't be written:", "bold")
        yield from unwritten_lines(result.poisoned, most)


def loss_lines(plan: JobPlan) -> Iterator[StyledLine]:
    if plan.losses:
        many = counted(len(plan.losses), "principal")
        yield BAD, (f"{many} would lose access to these tokens:", "bold")
        yield from ((("• ", "$error"), loss) for loss in plan.losses)
        yield ("Allow them under the new key first: continuing takes their access away.",)


def takes_words(plan: JobPlan, processes: int | None) -> str:
    """Return what a job takes: time, share of the quota, cost, processes (None: as many as cores take)."""
    time = span(timedelta(seconds=max(plan.seconds, 1)))
    rate = f"{assumed_words(plan)}; rate auto"
    if plan.options.calls_per_second:
        rate = (
            f"at up to {plan.calls_per_second:,.0f} KMS calls/s, {plan.quota_share:.0%} of the quota of "
            f"{plan.quota:,} that production shares"
        )
    many = "process" if processes == 1 else "processes"
    number = "as many processes as there are cores" if processes is None else f"{processes:,} {many}"
    return f"at least {time}, {rate}; about ${plan.dollars:,.2f}; {number}"


def assumed_words(plan: JobPlan) -> str:
    """Return under which assumption a job takes as long as its plan says."""
    quota = f"the quota of {plan.quota:,} KMS calls/s"
    if plan.options.calls_per_second:
        return f"if production leaves {plan.calls_per_second:,.0f} KMS calls/s of {quota}"
    return f"if production leaves all of {quota}"


def rate_words(view: JobView) -> str:
    """Return how often a job asks KMS, and why: "auto: 1,640 KMS calls/s, the platform uses the rest"."""
    limit, pace = view.calls_per_second, view.pace
    name = f"at most {limit:,.0f} calls/s" if limit else "auto"
    if pace is None:
        return name if limit else "auto: what production leaves of KMS's quota"
    return f"{name}: {pace.calls_per_second:,.0f} calls/s, {_STANDING[pace.standing]}"


_WIDTH = 78
_INDENT = "    "
_POWERS = "kMGTP"


def forecast_lines(told: Forecast) -> Iterator[str]:
    yield ""
    yield "What it takes"
    for result in told.results:
        yield f"  {result.name}: {value_words(result)}"
        yield from wrap(result.advice, _WIDTH, initial_indent=_INDENT, subsequent_indent=_INDENT)
    yield ""
    yield "Reckoned from"
    for figure in told.figures:
        yield f"  {_figure(figure)}"


def _figure(figure: Figure) -> str:
    origin = figure.origin.value
    about = f"{origin}, {figure.source}" if figure.source and figure.origin is not Basis.SUPPOSED else origin
    number = f"{figure.value:,.4g}" if figure.value < 1_000 else f"{figure.value:,.0f}"
    return f"{figure.name} {number} {figure.unit}".rstrip() + f": {about}"


def value_words(result: Result) -> str:
    """Return how much of it: "at least 5 h", "3.1 TB"."""
    words = _WORDS.get(result.unit)
    return f"{result.value:,.0f}" if words is None else words(result.value)


def _bytes(value: float) -> str:
    power = 0
    while value >= 999.5 and power < len(_POWERS):
        value, power = value / 1_000, power + 1
    return f"{value:,.0f} B" if not power else f"{value:.3g} {_POWERS[power - 1]}B"


_WORDS: Mapping[str, Callable[[float], str]] = MappingProxyType(
    {
        "s": lambda value: f"at least {span(timedelta(seconds=max(value, 1)))}",
        "USD": lambda value: f"about ${value:,.2f}",
        "B": _bytes,
        "B/s": lambda value: f"{_bytes(value)}/s",
        "%": lambda value: f"{value:.0%}",
        "cores": lambda value: f"{value:,.1f}",
    }
)
