"""Keys with their materials, who may use them and who did, and what was changed."""

from __future__ import annotations

from crypto_core.compliance.facts import ChangeFact, IncidentFact
from crypto_core.compliance.pack.recorded_keys import SeenKey, access_gaps, seen_accesses, seen_keys
from crypto_core.compliance.pack.words import age_days, days_of, looked_up, population
from crypto_core.compliance.period.period import AuditPeriod
from crypto_core.lists.tone import Tone
from crypto_core.reports.cells import Cell, CellValue, ShownSection, at_time, code, facts, table
from crypto_core.reports.words import duration, moment, span
from crypto_core.text.counting import counted

MOST_ROWS = 200
"""Rows of who may and who did that are shown; the CSV has all."""
_CHANGE = "When (UTC)|What|Who|Outcome|Where to look it up"


def keys(period: AuditPeriod) -> ShownSection:
    seen = seen_keys(period)
    return ShownSection(
        "keys",
        "Keys",
        lead=(
            "Each key as the last record shows it that has it. States of materials are those of NIST SP "
            "800-57 part 1, as Keydeck infers them from what KMS says and what tokens are under."
        ),
        tables=(
            table(
                "Key inventory",
                "Key|Owner|Purpose|Spec and origin|State|Cryptoperiod|Tokens|Record",
                map(_key_row, seen),
                "No record has a key.",
            ),
            table(
                "Key materials",
                "Key|Material|State by SP 800-57|By KMS|Since (UTC)|Age in days|Tokens",
                (row for one in seen for row in _material_rows(one)),
                "No record has a material.",
            ),
        ),
    )


def _key_row(seen: SeenKey) -> tuple[CellValue, ...]:
    key = seen.key
    rotation = (
        "not known" if key.rotates is None else "KMS rotates it" if key.rotates else "no rotation by KMS"
    )
    every = f"every {counted(key.rotation_days, 'day')}" if key.rotation_days else ""
    limit = f"materials in use for {counted(seen.material_days, 'day')} at most" if seen.material_days else ""
    return (
        code(
            key.name or key.arn, key.arn if key.name else "", "new tokens are written under it" * key.writes
        ),
        key.owner or "nobody named",
        (key.purpose or "not known", key.usage or ""),
        (key.spec or "not known", key.origin or "", key.manager or ""),
        (key.state or "not known", f"deletion on {moment(key.deletion_at)}" if key.deletion_at else ""),
        (rotation, every, limit),
        key.tokens,
        (
            f"{seen.record.number:,}",
            seen.record.day.isoformat(),
            *(f"{name} not known: {why}" for name, why in key.missing.items()),
        ),
    )


def _material_rows(seen: SeenKey) -> list[tuple[CellValue, ...]]:
    at = seen.record.taken_at
    return [
        (
            code(seen.key.name or seen.key.arn),
            code(one.id),
            one.standing or "not known",
            one.state or "not known",
            one.since or at_time("not known"),
            age_days(one.since, at),
            one.tokens,
        )
        for one in seen.key.materials
    ]


def changes(period: AuditPeriod) -> ShownSection:
    return ShownSection(
        "changes",
        "Changes",
        lead=(
            f"The population is all {len(period.changes):,} changes that are known, in changes.csv. The "
            f"sample was drawn from it by the seed “{period.seed}”: the same seed draws the same again."
        ),
        tables=(
            table(
                "Population",
                "Kind|Changes|In the sample",
                (
                    (kind.value, many, sum(one.kind is kind for one in period.sample))
                    for kind, many in population(period.changes)
                ),
            ),
            table(
                f"Sample of {len(period.sample):,} of {len(period.changes):,}",
                _CHANGE,
                map(_change_row, period.sample),
                "There is nothing to draw from.",
            ),
        ),
    )


def _change_row(one: ChangeFact) -> tuple[CellValue, ...]:
    return (
        one.at,
        (f"{one.kind.value}: {one.what}", one.subject, one.detail, one.opens),
        (one.who, f"approved by {one.approved_by}" if one.approved_by else ""),
        one.outcome,
        code(f"{one.source} {one.id}", looked_up(one)),
    )


def access(period: AuditPeriod) -> ShownSection:
    may, did = seen_accesses(period), period.uses
    return ShownSection(
        "access",
        "Access to keys",
        lead=(
            "Who may, by policies and grants that could be read; who did, by the CloudTrail events that were "
            "fetched. Where an account's IAM decides, its policies say who may."
        ),
        facts=facts(
            ("Used, and not reviewed since", f"{len(period.unreviewed):,} of {len(did):,}" if did else ""),
            *(("Not read", gap) for gap in access_gaps(period)[:20]),
        ),
        tables=(
            table(
                f"Who may use keys{_shown(len(may), 'access.csv')}",
                "Key|Who|What|By|Days (UTC)",
                (
                    (
                        code(one.access.key),
                        code(one.access.who, "the account's IAM decides" * one.access.delegated),
                        ", ".join(one.access.actions),
                        one.access.by,
                        at_time(days_of(one.first, one.last)),
                    )
                    for one in may[:MOST_ROWS]
                ),
                "No record says who may.",
            ),
            table(
                f"Who used keys{_shown(len(did), 'uses.csv')}",
                "Key|Who|Call|Calls|Denied|When (UTC)",
                (
                    (
                        code(one.key),
                        code(one.who),
                        one.action,
                        one.calls,
                        Cell(f"{one.denied:,}", Tone.WARNING if one.denied else Tone.PLAIN),
                        at_time(span(one.first_at, one.last_at)),
                    )
                    for one in did[:MOST_ROWS]
                ),
                "No use is known.",
            ),
            table(
                "Access reviews",
                "When (UTC)|By|Reason|What was looked at|Journal's entry",
                (
                    (one.at, one.by, one.reason, code(one.accesses, ", ".join(one.keys)), code(one.id))
                    for one in period.reviews
                ),
                "No access review is on record.",
            ),
        ),
    )


def _shown(rows: int, file: str) -> str:
    return f", the first {MOST_ROWS:,} of {rows:,}; all in {file}" if rows > MOST_ROWS else ""


def incidents(period: AuditPeriod) -> ShownSection:
    return ShownSection(
        "incidents",
        "Incidents and restore drills",
        lead="Incidents that were declared in Keydeck; others are not seen.",
        tables=(
            table(
                "Incidents",
                "Incident|Declared (UTC)|Closed (UTC)|Contained after|Led|Follow-ups",
                map(_row, period.incidents),
                "No incident was declared.",
            ),
            table(
                "Restores that were tried and verified",
                "No.|When (UTC)",
                enumerate(period.drills, 1),
                "No restore drill is on record in the period.",
            ),
        ),
    )


def _row(one: IncidentFact) -> tuple[CellValue, ...]:
    late = one.contained_in_time is False
    kept = {True: "in time", False: "over its budget", None: "no budget, or not known yet"}
    return (
        (one.name, one.runbook),
        one.declared_at,
        one.closed_at or at_time("open"),
        Cell(
            duration(one.contained_seconds) or "not known",
            Tone.BAD if late else Tone.PLAIN,
            more=(
                f"of {duration(one.budget_seconds)}" if one.budget_seconds else "",
                kept[one.contained_in_time],
            ),
        ),
        "a lead was named" if one.lead else "no lead was named",
        (f"{one.follow_ups:,}", f"{one.overdue:,} overdue" if one.overdue else ""),
    )
