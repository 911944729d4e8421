"""A review after an incident, to be filled in: what Keydeck knows stands in it already, and what to ask, too.

It asks for causes, not for culprits, as Google's Site Reliability Engineering does (chapter 15).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from crypto_core.incidents.model import EntryKind, IncidentView, StepState
from crypto_core.incidents.people import IncidentRole
from crypto_core.incidents.report.words import verdict
from crypto_core.incidents.times import Time, Times, times_of
from crypto_core.reports.markdown import escaped
from crypto_core.reports.masking import shown
from crypto_core.reports.words import duration, moment, moment_utc

_LEFT_OUT = {EntryKind.CHECK, EntryKind.EVIDENCE, EntryKind.JOINED}
"""What the report tells, and a review has no use for."""
FILL_IN = "…"
ENTRIES = 200


def review_of(view: IncidentView, now: datetime) -> str:
    """Return the review as Markdown, with a line break at its end; texts are masked as a report's are."""
    return "\n".join(_lines(view, now)) + "\n"


def _lines(view: IncidentView, now: datetime) -> Iterator[str]:
    incident, times = view.incident, times_of(view, now)
    yield f"# Review of {incident.name}: {_text(incident.title)}"
    yield ""
    yield from _item("Held on", FILL_IN)
    yield from _item("Present", FILL_IN)
    for role in IncidentRole:
        yield from _item(role.value.capitalize(), _text(view.people.who(role)) or FILL_IN)
    yield from _section("What happened", "In three sentences, for somebody who was not there.", [FILL_IN])
    yield from _section(
        "Harm", "Whose tokens, for how long, what was done with them, who was told when.", [FILL_IN]
    )
    yield from _section("Times", "", _table("Time|Took|Budget|Verdict", _times(times)))
    yield from _section("What was done", "", _table("Time (UTC)|What|By", _done(view)))
    yield from _section("What went well", "What should stay as it is?", [FILL_IN])
    yield from _section("What went badly", "", _questions(view, times))
    yield from _section("Where luck helped", "What would have happened a day later, or at night?", [FILL_IN])
    yield from _section(
        "Causes",
        "Ask why until the answer is something that can be changed. People are no causes.",
        [
            "1. How did it begin?",
            "2. Why was it possible?",
            "3. Why was it not seen earlier?",
            "4. Why did it take so long to end?",
        ],
    )
    yield from _section(
        "Follow-ups",
        "Each with an owner and a day. "
        f"`keydeck incident follow-up add {incident.id} TEXT --owner WHO --due DATE` keeps one.",
        _table("No.|What|Owner|Due|State", _follow_ups(view, now)),
    )


def _section(title: str, lead: str, lines: Iterable[str]) -> Iterator[str]:
    yield from ("", f"## {title}", "")
    if lead:
        yield from (lead, "")
    yield from lines


def _item(name: str, value: str) -> Iterator[str]:
    yield f"- **{name}:** {value}"


def _table(headers: str, rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    names = headers.split("|")
    yield "| " + " | ".join(names) + " |"
    yield "|" + " --- |" * len(names)
    for row in rows:
        yield "| " + " | ".join(row) + " |"


def _times(times: Times) -> Iterator[tuple[str, ...]]:
    named = (
        ("To detect", times.detect),
        ("To contain", times.contain),
        ("To eradicate", times.eradicate),
        ("To recover", times.recover),
        ("In all", times.total),
    )
    for name, time in named:
        yield (
            name,
            duration(time.seconds) or time.missing,
            _budget(time),
            verdict(time.within, time.budget_seconds),
        )


def _budget(time: Time) -> str:
    return duration(time.budget_seconds) if time.budget_seconds else "none"


def _done(view: IncidentView) -> Iterator[tuple[str, ...]]:
    told = [entry for entry in view.entries if entry.kind not in _LEFT_OUT]
    for entry in told[:ENTRIES]:
        yield (moment(entry.at), _text(entry.text), _text(entry.actor))
    if len(told) > ENTRIES:
        yield ("", f"and {len(told) - ENTRIES:,} more entries, in the report", "")


def _questions(view: IncidentView, times: Times) -> Iterator[str]:
    """What the record itself asks: late steps, steps left out or done twice, what was not proved."""
    for step, time in zip(view.steps, times.steps, strict=True):
        named = f"Step {step.number}, {_text(step.step.title)},"
        if time.within is False:
            yield f"- {named} took {duration(time.seconds)} of {duration(time.budget_seconds)}. Why?"
        if step.state is StepState.SKIPPED:
            yield f"- {named} was skipped: {_text(step.reason)} Was that right?"
        if step.state is StepState.DONE and step.check is not None and not step.check.passed:
            why = _text(step.reason or step.check.state.value)
            yield f"- {named} ended without its proof: {why} Is it safe?"
    for entry in view.entries:
        if entry.kind in (EntryKind.REOPENED, EntryKind.ACCEPTED):
            yield f"- {moment_utc(entry.at)}: {_text(entry.text)} What would have avoided it?"
    yield f"- What else? {FILL_IN}"


def _follow_ups(view: IncidentView, now: datetime) -> Iterator[tuple[str, ...]]:
    for one in view.people.follow_ups:
        state = one.stands(now.date())
        told = f"{state}: {_text(one.outcome)}" if one.outcome else state
        yield (str(one.number), _text(one.text), _text(one.owner), str(one.due or ""), told)
    yield ("", FILL_IN, "", "", "")


def _text(text: str) -> str:
    return escaped(shown(text))
