"""The findings as a table lists them."""

from __future__ import annotations

from crypto_core.findings.finding import Finding
from crypto_core.findings.severity import Severity
from crypto_core.key_names import is_key_arn, short_key
from crypto_core.lists.filter_language import Field
from crypto_core.trail.store.suppressions import Suppressed, sift
from screens.ages import ago
from screens.facts import Facts
from screens.signs import SIGNS
from screens.widgets.table.columns import Cell, Column
from screens.widgets.table.listing import Listing
from screens.widgets.table.memory_rows import MemoryRows


def subject_words(finding: Finding, facts: Facts) -> str:
    """Return what a finding is about as a row has room for it: a key's alias, a trail's name."""
    if is_key_arn(finding.subject):
        return facts.key_words.long(finding.subject)
    return short_key(finding.subject) if ":alias/" in finding.subject else finding.subject.rsplit("/", 1)[-1]


def _severity(finding: Finding, _facts: Facts) -> Cell:
    return finding.severity.value, SIGNS[finding.severity].style


def _last(finding: Finding, facts: Facts) -> Cell:
    return (ago(finding.last_at, facts.moment) if finding.last_at else "-"), "$muted"


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


COLUMNS: tuple[Column[Finding], ...] = (
    Column("severity", "severity", _severity, "severity", 10, 11, 0),
    Column("title", "finding", lambda finding, _: (finding.title, "bold"), "title", 30, 90, 1),
    Column("subject", "about", lambda f, facts: (subject_words(f, facts), ""), "subject", 18, 40, 2),
    Column("rule", "rule", lambda finding, _: (finding.rule, "$muted"), "rule", 16, 26, 3),
    Column(
        "controls", "controls", lambda f, _: (", ".join(f.controls), "$muted"), "", 20, 60, 4, shown=False
    ),
    Column(
        "techniques", "ATT&CK", lambda f, _: (", ".join(f.techniques), "$muted"), "", 10, 40, 5, shown=False
    ),
    Column("last", "last seen", _last, "last", 9, 12, 4),
)

ROWS: MemoryRows[Finding] = MemoryRows(
    told,
    {
        Field("severity", values=tuple(s.value for s in Severity if s is not Severity.NONE)): (
            lambda finding, _: finding.severity.value
        ),
        Field("rule"): lambda finding, _: finding.rule,
        Field("subject"): lambda finding, facts: (
            finding.subject,
            finding.subject.rsplit("/", 1)[-1],
            subject_words(finding, facts),
        ),
        Field("title"): lambda finding, _: finding.title,
        Field("control"): lambda finding, _: finding.controls,
        Field("technique"): lambda finding, _: finding.techniques,
    },
    identity=lambda finding: f"{finding.rule} {finding.subject} {finding.title}",
    free=("title", "subject", "rule"),
    sorts={
        "severity": lambda finding, _: finding.severity.rank,
        "title": lambda finding, _: finding.title,
        "subject": subject_words,
        "rule": lambda finding, _: finding.rule,
        "last": lambda finding, _: int(finding.last_at.timestamp()) if finding.last_at else 0,
    },
)

LISTING: Listing[Finding] = Listing(
    name="findings",
    columns=COLUMNS,
    source=ROWS,
    fields=ROWS.fields,
    sort="severity",
    worst_first="severity",
    identity=lambda finding: (finding.rule, finding.subject, finding.title),
    reference=lambda finding: finding.subject,
    sign=lambda finding, _: SIGNS[finding.severity],
    record=lambda finding: finding.as_json(),
    one="finding",
    many="findings",
    nothing="No findings in what was examined. Anything not examined is listed below.",
)
EXAMPLE = "severity:critical,high rule:kms-rotation-* -subject:*reports*"
