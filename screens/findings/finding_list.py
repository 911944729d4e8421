"""The findings as a table lists them."""

from __future__ import annotations

from crypto_core.findings.finding import Finding, Severity
from crypto_core.lists.sheet import Sheet, SheetField
from crypto_core.trail.store.suppressions import Suppressed, sift
from crypto_core.values.key_names import is_key_arn, short_key
from screens.facts import ScreenFacts
from screens.signs import SIGNS
from screens.widgets.table.columns import Cell
from screens.widgets.table.table_list import memory_listing


def subject_words(finding: Finding, facts: ScreenFacts) -> str:
    """Return what a finding is about as a row has room for it: a key's alias, a trail's name."""
    if is_key_arn(finding.subject):
        return facts.key_words.long(finding.subject)
    return short_key(finding.subject) if ":alias/" in finding.subject else finding.subject.rsplit("/", 1)[-1]


def _severity(finding: Finding, _facts: ScreenFacts) -> Cell:
    return finding.severity.value, SIGNS[finding.severity].style


def _subject(finding: Finding, facts: ScreenFacts) -> Cell:
    return subject_words(finding, facts), ""


def _subjects(finding: Finding, facts: ScreenFacts) -> tuple[str, ...]:
    return finding.subject, finding.subject.rsplit("/", 1)[-1], subject_words(finding, facts)


def told(facts: ScreenFacts) -> tuple[Finding, ...]:
    """Return the findings that are known by now, of keys and of events, without those that are suppressed."""
    posture, trail = facts.posture.value, facts.trail.value
    of_keys = posture.findings if posture is not None else ()
    kept, _ = sift(of_keys, trail.suppressions if trail is not None else ())
    return (*kept, *(trail.findings if trail is not None else ()))


def hidden(facts: ScreenFacts) -> tuple[Suppressed, ...]:
    posture, trail = facts.posture.value, facts.trail.value
    if trail is None:
        return ()
    _, suppressed = sift(posture.findings if posture is not None else (), trail.suppressions)
    return (*suppressed, *trail.suppressed)


def reasons(facts: ScreenFacts) -> tuple[str, ...]:
    posture, trail = facts.posture.value, facts.trail.value
    return (
        *(posture.coverage.reasons if posture is not None else ()),
        *(trail.coverage.reasons if trail is not None else ()),
    )


def events_filter(finding: Finding) -> str:
    """Return the filter for the events that a finding names, "" where it names none."""
    ids = [event_id for event_id in finding.events if event_id and '"' not in event_id]
    return "id:" + ",".join(f'"{event_id}"' for event_id in ids) if ids else ""


_SEVERITIES = tuple(s.value for s in Severity if s is not Severity.NONE)

SHEET: Sheet[Finding, ScreenFacts] = Sheet(
    "finding",
    "findings",
    (
        SheetField("severity", _severity, (10, 11, 0), find=True, values=_SEVERITIES, order="severity.rank"),
        SheetField("title", None, (30, 90, 1), "finding", tone="bold", free=True, order=True),
        SheetField("subject", _subject, (18, 40, 2), "about", find=_subjects, free=True, order=subject_words),
        SheetField("rule", None, (16, 26, 3), tone="$muted", free=True, order=True),
        SheetField("controls", None, (20, 60, 4), tone="$muted", nothing=("", "$muted"), shown=False),
        SheetField(
            "techniques", None, (10, 40, 5), "ATT&CK", tone="$muted", nothing=("", "$muted"), shown=False
        ),
        SheetField("last", None, (9, 12, 4), "last seen", "last_at", "$muted", order=True),
        SheetField("control", at="controls", find=True, listed=False),
        SheetField("technique", at="techniques", find=True, listed=False),
    ),
)

LISTING = memory_listing(
    "findings",
    SHEET,
    told,
    sort="severity",
    worst_first="severity",
    identity=lambda finding: f"{finding.rule} {finding.subject} {finding.title}",
    reference=lambda finding: finding.subject,
    sign=lambda finding, _: SIGNS[finding.severity],
    nothing="No findings in what was examined. Anything not examined is listed below.",
)
EXAMPLE = "severity:critical,high rule:kms-rotation-* -subject:*reports*"
