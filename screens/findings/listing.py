"""The findings as a table lists them."""

from __future__ import annotations

from crypto_core.findings.finding import Finding
from crypto_core.findings.severity import Severity
from crypto_core.key_names import is_key_arn, short_key
from crypto_core.lists.filter_language import Field, Value
from crypto_core.lists.in_memory import MemorySource
from crypto_core.lists.paging import PagedSource
from crypto_core.trail.store.suppressions import Suppressed, sift
from screens.ages import ago
from screens.facts import Facts
from screens.signs import SIGNS, Sign
from screens.widgets.table.columns import Cell, Column
from screens.widgets.table.listing import Listing

FIELDS: dict[str, Field] = {
    field.name: field
    for field in (
        Field("severity", values=tuple(s.value for s in Severity if s is not Severity.NONE)),
        Field("rule"),
        Field("subject"),
        Field("title"),
        Field("control"),
        Field("technique"),
    )
}


def subject_words(finding: Finding, facts: Facts) -> str:
    """Return what a finding is about as a row has room for it: a key's alias, a trail's name."""
    if is_key_arn(finding.subject):
        return facts.key_words.long(finding.subject)
    return short_key(finding.subject) if ":alias/" in finding.subject else finding.subject.rsplit("/", 1)[-1]


def _severity(finding: Finding, _facts: Facts) -> Cell:
    return finding.severity.value, SIGNS[finding.severity].style


def _title(finding: Finding, _facts: Facts) -> Cell:
    return finding.title, "bold"


def _subject(finding: Finding, facts: Facts) -> Cell:
    return subject_words(finding, facts), ""


def _rule(finding: Finding, _facts: Facts) -> Cell:
    return finding.rule, "$muted"


def _controls(finding: Finding, _facts: Facts) -> Cell:
    return ", ".join(finding.controls), "$muted"


def _techniques(finding: Finding, _facts: Facts) -> Cell:
    return ", ".join(finding.techniques), "$muted"


def _last(finding: Finding, facts: Facts) -> Cell:
    return (ago(finding.last_at, facts.moment) if finding.last_at else "-"), "$muted"


def _sign(finding: Finding, _facts: Facts) -> Sign:
    return SIGNS[finding.severity]


def _read(facts: Facts, finding: Finding, field: str) -> Value:
    match field:
        case "severity":
            return finding.severity.value
        case "rule":
            return finding.rule
        case "subject":
            return (finding.subject, finding.subject.rsplit("/", 1)[-1], subject_words(finding, facts))
        case "control":
            return finding.controls
        case "technique":
            return finding.techniques
    return finding.title


def told(facts: Facts) -> tuple[Finding, ...]:
    """Return the findings that are known by now, of keys and of events, without those that are suppressed."""
    posture, trail = facts.posture.value, facts.trail.value
    of_keys = posture.findings if posture is not None else ()
    kept, _ = sift(of_keys, trail.suppressions if trail is not None else ())
    return (*kept, *(trail.findings if trail is not None else ()))


def hidden(facts: Facts) -> tuple[Suppressed, ...]:
    """Return the findings that are known by now and suppressed."""
    posture, trail = facts.posture.value, facts.trail.value
    if trail is None:
        return ()
    _, suppressed = sift(posture.findings if posture is not None else (), trail.suppressions)
    return (*suppressed, *trail.suppressed)


def reasons(facts: Facts) -> tuple[str, ...]:
    """Return what could not be examined."""
    posture, trail = facts.posture.value, facts.trail.value
    return (
        *(posture.coverage.reasons if posture is not None else ()),
        *(trail.coverage.reasons if trail is not None else ()),
    )


def events_filter(finding: Finding) -> str:
    """Return the filter for the events that a finding names, "" where it names none."""
    ids = [event_id for event_id in finding.events if event_id and '"' not in event_id]
    return "id:" + ",".join(f'"{event_id}"' for event_id in ids) if ids else ""


def source(facts: Facts) -> PagedSource[Finding]:
    """Return the findings that are known by now, the worst first."""
    return MemorySource(
        lambda: told(facts),
        fields=FIELDS,
        read=lambda finding, field: _read(facts, finding, field),
        identity=lambda finding: f"{finding.rule} {finding.subject} {finding.title}",
        free=("title", "subject", "rule"),
        sorts={
            "severity": lambda finding: finding.severity.rank,
            "title": lambda finding: finding.title,
            "subject": lambda finding: subject_words(finding, facts),
            "rule": lambda finding: finding.rule,
            "last": lambda finding: int(finding.last_at.timestamp()) if finding.last_at else 0,
        },
    )


LISTING: Listing[Finding] = Listing(
    name="findings",
    columns=(
        Column("severity", "severity", _severity, "severity", 10, 11, 0),
        Column("title", "finding", _title, "title", 30, 90, 1),
        Column("subject", "about", _subject, "subject", 18, 40, 2),
        Column("rule", "rule", _rule, "rule", 16, 26, 3),
        Column("controls", "controls", _controls, "", 20, 60, 4, shown=False),
        Column("techniques", "ATT&CK", _techniques, "", 10, 40, 5, shown=False),
        Column("last", "last seen", _last, "last", 9, 12, 4),
    ),
    source=source,
    fields=FIELDS,
    sort="severity",
    worst_first="severity",
    identity=lambda finding: (finding.rule, finding.subject, finding.title),
    reference=lambda finding: finding.subject,
    sign=_sign,
    record=lambda finding: finding.as_json(),
    one="finding",
    many="findings",
    nothing="No findings in what was examined. What was not, if anything, is named below.",
)
EXAMPLE = "severity:critical,high rule:kms-rotation-* -subject:*reports*"
