"""What a period leaves open for the next audit: each point with the command that settles it, or shows it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta

from crypto_core.compliance.answer import ControlStatus
from crypto_core.compliance.assessment import Judgement, judge
from crypto_core.compliance.control import FrameworkControl
from crypto_core.compliance.control_tests import ALL_TESTS
from crypto_core.compliance.period.period import AuditPeriod
from crypto_core.findings.finding import Severity
from crypto_core.values.clean_text import NO_TEXT, CleanText, clean, cleans
from crypto_core.values.counts import counted, listed
from crypto_core.values.json_records import JsonRecord, shape

SOON = timedelta(days=30)
"""An exception that ends within so many days of the period's end is open."""
_RESTORE = "incident start restore-drill --database NAME"
_COMMANDS = {"accesses-reviewed": "evidence review", "restore-drilled": _RESTORE}
_NAMED = 5


@dataclass(frozen=True, slots=True)
@cleans(600)
class OpenPoint(JsonRecord):
    """One point, and how pressing it is. `controls` are the ids of those that it is about, () for all."""

    severity: Severity
    what: CleanText
    command: CleanText = NO_TEXT
    """What settles it, or shows it whole; "" where nothing of Keydeck's does."""
    controls: tuple[CleanText, ...] = ()

    json_shape = shape("... command? controls")


def open_points(period: AuditPeriod) -> tuple[OpenPoint, ...]:
    """Return what is open, the most pressing first. Pure; what isn't known is in the period's `unknown`."""
    found = (point for points in _SOURCES for point in points(period))
    return tuple(sorted(found, key=lambda one: one.severity.rank))


def _of_records(period: AuditPeriod) -> Iterator[OpenPoint]:
    for problem in period.problems:
        yield _point(Severity.CRITICAL, f"The records can't be relied on: {problem}", "journal verify")
    if period.unchecked:
        words = f"No signature of a record was checked: {period.unchecked}."
        yield _point(Severity.MEDIUM, words, "doctor")
    if period.unsigned:
        numbers = listed([str(number) for number in period.unsigned], _NAMED)
        words = f"{counted(len(period.unsigned), 'record')} not signed: {numbers}. Set KEYDECK_SIGNING_KEY."
        yield _point(Severity.MEDIUM, words, "evidence record")
    if period.gaps:
        days = listed([day.isoformat() for day in period.gaps], _NAMED)
        words = f"{counted(len(period.gaps), 'day')} without a record: {days}. Nothing is known of them."
        yield _point(Severity.MEDIUM, words, "evidence schedule")


def _of_lapses(period: AuditPeriod) -> Iterator[OpenPoint]:
    for lapse in period.lapses:
        if lapse.excepted:
            continue
        began = f"{lapse.first_at:%Y-%m-%d}"
        ids = tuple(one.id for one in lapse.controls)
        about = _numbers(lapse.controls)
        if not lapse.over:
            earlier = "" if lapse.after else " or earlier"
            words = f"Not met since {began}{earlier}: {lapse.what} ({about})."
            yield _point(Severity.HIGH, words, _command_of(lapse.tests), ids)
        elif not lapse.ended_by:
            words = (
                f"Not met from {began} to {lapse.last_at:%Y-%m-%d}, and nothing tells what ended it: "
                f"{lapse.what} ({about})."
            )
            yield _point(Severity.LOW, words, "journal list", ids)


def _of_controls(period: AuditPeriod) -> Iterator[OpenPoint]:
    """Controls that the newest record could not assess, or found met in part, by what is the matter."""
    if not period.records:
        return
    newest = period.records[-1].snapshot
    judged = [judge(one.control, newest) for one in period.controls if one.control.tests]
    for status, severity, words in (
        (ControlStatus.NOT_ASSESSED, Severity.HIGH, "not assessed"),
        (ControlStatus.PARTLY, Severity.LOW, "met in part"),
    ):
        by_reason: dict[tuple[str, str], list[FrameworkControl]] = {}
        for one in judged:
            if one.status is status:
                by_reason.setdefault(_why(one), []).append(one.control)
        for (reason, command), controls in by_reason.items():
            number = f"{counted(len(controls), 'control')} {words} by the newest record"
            ids = tuple(one.id for one in controls)
            yield _point(severity, f"{number} ({_numbers(controls)}): {reason}", command, ids)


def _why(judged: Judgement) -> tuple[str, str]:
    """What the first test that is as bad as its control says, and the command that shows the same."""
    name, answer = next((name, one) for name, one in judged.answers if one.status is judged.status)
    reason = f"{answer.lack}: {answer.reason}" if answer.lack else answer.lines[0] if answer.lines else name
    return reason, _command_of((name,))


def _of_exceptions(period: AuditPeriod) -> Iterator[OpenPoint]:
    controls = {one.control.id: one.control for one in period.controls}
    for one in period.exemptions:
        control = controls.get(one.control)
        if control is None or one.until > period.until + SOON:
            continue
        ended = "ended" if one.until < period.until else "ends"
        words = f"The exception from {_numbers((control,))} {ended} on {one.until}: {one.reason}."
        yield _point(Severity.LOW, words, "evidence status", (one.control,))


def _of_people(period: AuditPeriod) -> Iterator[OpenPoint]:
    if period.unreviewed:
        who = listed(sorted({one.who for one in period.unreviewed}), _NAMED)
        calls = sum(one.calls for one in period.unreviewed)
        words = f"Nobody reviewed {counted(calls, 'call')} of keys that guard tokens, by {who}."
        yield _point(Severity.MEDIUM, words, "evidence review")
    for incident in period.incidents:
        if incident.closed_at is None:
            words = f"{incident.name} ({incident.runbook}) is open since {incident.declared_at:%Y-%m-%d}."
            yield _point(Severity.MEDIUM, words, "incident list")
        elif incident.overdue:
            words = f"{incident.name}: {counted(incident.overdue, 'follow-up')} overdue."
            yield _point(Severity.MEDIUM, words, "incident list")
    if period.records and not period.drills:
        yield _point(Severity.LOW, "No restore is on record in this period.", _RESTORE)


_SOURCES: tuple[Callable[[AuditPeriod], Iterator[OpenPoint]], ...] = (
    _of_records,
    _of_lapses,
    _of_controls,
    _of_exceptions,
    _of_people,
)


def _point(
    severity: Severity, what: str, command: str = "", controls: tuple[CleanText, ...] = ()
) -> OpenPoint:
    return OpenPoint(severity, clean(what, 600), clean(f"keydeck {command}" if command else ""), controls)


def _numbers(controls: Iterable[FrameworkControl]) -> str:
    return listed([f"{one.framework.id} {one.number}" for one in controls], _NAMED)


def _command_of(tests: Iterable[str]) -> str:
    for name in tests:
        if name in _COMMANDS:
            return _COMMANDS[name]
    parts = [part for name in tests if name in ALL_TESTS for part in ALL_TESTS[name].parts]
    return parts[0].command if parts else "evidence status"
