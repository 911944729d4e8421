"""The findings as a table lists them."""

from __future__ import annotations

from crypto_core.filters import Field, Value
from crypto_core.key_names import is_key_arn, short_key
from crypto_core.keys.posture.finding import Finding
from crypto_core.listing import MemorySource
from crypto_core.paging import PagedSource
from crypto_core.severity import Severity
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
    return finding.title


def source(facts: Facts) -> PagedSource[Finding]:
    """Return the findings that are known by now, the worst first."""
    return MemorySource(
        lambda: facts.posture.value.findings if facts.posture.value is not None else (),
        fields=FIELDS,
        read=lambda finding, field: _read(facts, finding, field),
        identity=lambda finding: f"{finding.rule} {finding.subject} {finding.title}",
        free=("title", "subject", "rule"),
        sorts={
            "severity": lambda finding: finding.severity.rank,
            "title": lambda finding: finding.title,
            "subject": lambda finding: subject_words(finding, facts),
            "rule": lambda finding: finding.rule,
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
    nothing="No findings: every rule was asked about every key that is known.",
)
EXAMPLE = "severity:critical,high rule:kms-rotation-* -subject:*reports*"
