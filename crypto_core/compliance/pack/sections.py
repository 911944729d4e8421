"""What stands in a pack's document, section by section: functions of the period, which write no page."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby, starmap

from crypto_core.aws.fips import OpensslModule
from crypto_core.compliance.algorithms.aws_endpoints import EndpointFact
from crypto_core.compliance.answer import ControlStatus
from crypto_core.compliance.facts import (
    AlgorithmFact,
    ChangeFact,
    CryptographyFacts,
    IncidentFact,
    SigningKeyFact,
)
from crypto_core.compliance.pack import words
from crypto_core.compliance.pack.context import PackContext
from crypto_core.compliance.pack.recorded_keys import SeenKey, access_gaps, seen_accesses, seen_keys
from crypto_core.compliance.pack.words import age_days, days_of, looked_up, population
from crypto_core.compliance.period.period import AuditPeriod, ControlPeriod, Lapse, runs_of
from crypto_core.compliance.snapshot import MissingPart, SnapshotPart
from crypto_core.lists.tone import Tone
from crypto_core.reports.cells import Cell, CellValue, ShownSection, TextLook, at_time, code, facts, table
from crypto_core.reports.foreign_text import masked
from crypto_core.values.counts import counted, listed
from crypto_core.values.moments import duration, moment, moment_utc, span

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


_ID, _TITLE = "cryptography", "Cryptography"
_MOST = 3


def cryptography(period: AuditPeriod) -> ShownSection:
    found = period.newest(SnapshotPart.CRYPTOGRAPHY)
    if not isinstance(found, CryptographyFacts):
        reason = found.reason if isinstance(found, MissingPart) else "the record has something else"
        return ShownSection(_ID, _TITLE, lead=f"Not known: {masked(reason)}.")
    found = masked(found)
    return ShownSection(
        _ID,
        _TITLE,
        lead=(
            f"By the record of {period.records[-1].day}. Security in bits is by NIST SP 800-57 part 1, the "
            "category against quantum computers NIST's, 0 to 5. Connections are those of Keydeck's machine."
        ),
        facts=facts(
            ("FIPS mode", _fips(found)),
            ("AWS's FIPS endpoints", _fips_endpoints(found.endpoints)),
            *(("Not known", gap) for gap in found.gaps[:20]),
        ),
        tables=(
            table(
                "Algorithms",
                "What it does|Algorithm|Protects|Bits of security|Against quantum computers|Known by",
                map(_algorithm_row, found.algorithms),
                "No algorithm is known to be in use.",
            ),
            table(
                "Signing keys",
                "Key|Spec and algorithm|State|Use",
                map(_signing_row, found.signing_keys),
                "No signing key is configured.",
            ),
            table(
                "Connections to AWS",
                "Endpoint|Protocol and cipher|Keys agreed on by|Certificate",
                map(_endpoint_row, found.endpoints),
                "No endpoint was looked at.",
            ),
            table("OpenSSL", "Used by|Version|FIPS mode", map(_module_row, found.modules), "None was asked."),
        ),
    )


def _fips(found: CryptographyFacts) -> str:
    if not found.fips_required:
        return "not required (KEYDECK_FIPS is not set)"
    lacking = [one.what for one in found.modules if not one.fips]
    return f"required; not active, or not known, in {', '.join(lacking)}" if lacking else "required, active"


def _fips_endpoints(endpoints: tuple[EndpointFact, ...]) -> str:
    if not endpoints:
        return "not known"
    return f"used for {sum(one.fips for one in endpoints)} of {counted(len(endpoints), 'endpoint')}"


def _algorithm_row(one: AlgorithmFact) -> tuple[CellValue, ...]:
    tokens = "" if one.tokens is None else counted(one.tokens, "token")
    return (
        (one.use, tokens),
        (one.name, f"{one.key_bits:,}-bit key" if one.key_bits else "", one.standard),
        listed(one.protects, _MOST) or "nothing",
        one.classical_bits,
        one.quantum,
        (one.known.value, one.why),
    )


def _signing_row(one: SigningKeyFact) -> tuple[CellValue, ...]:
    until = f"until {one.until:%Y-%m-%d}" if one.until else ""
    return (
        code(one.name, one.arn if one.arn and one.arn != one.name else ""),
        (one.spec or "not known", one.algorithm or "", one.missing),
        one.state or "not known",
        ("signs" if one.signs else "verifies only", until),
    )


def _endpoint_row(one: EndpointFact) -> tuple[CellValue, ...]:
    certificate = one.certificate
    ends = f"until {certificate.not_after:%Y-%m-%d}" if certificate else ""
    signature = f"signed by {certificate.signature}" if certificate else ""
    return (
        code(one.host, f"{', '.join(one.services)} in {one.region}"),
        (one.protocol or one.problem or "not known", one.cipher or ""),
        one.group or "not known",
        (_key(one), signature, ends),
    )


def _key(one: EndpointFact) -> str:
    if one.certificate is None:
        return "none" if not one.encrypted else "not known"
    return f"{one.certificate.key} {one.certificate.key_bits or ''}".rstrip()


def _module_row(one: OpensslModule) -> tuple[CellValue, ...]:
    mode = "not known" if one.fips is None else "active" if one.fips else "not active"
    return (one.what, one.computes), code(one.version), (mode, one.why)


_LAPSE = "What was wrong|Began, and by what|Ended, and by what|Known by|Controls"
_MOST_SPANS = 40


def summary(period: AuditPeriod, context: PackContext) -> ShownSection:
    days = words.day_count(period)
    recorded = days - len(period.gaps)
    records = period.records
    span = f"{records[0].number:,} to {records[-1].number:,}" if records else "none"
    return ShownSection(
        "summary",
        "Summary",
        lead=(
            "Keydeck measured this day by day. Each statement goes only as far as it says, and only for days "
            "with a record; nothing is said of days without one."
        ),
        facts=facts(
            ("Period", words.days_of(period.since, period.until)),
            ("Controls of", period.framework or "all catalogues"),
            ("Days with a record", f"{recorded:,} of {days:,}"),
            ("Days without", Cell(", ".join(starmap(words.days_of, runs_of(period.gaps))) or "none")),
            ("Records", Cell(f"{len(records):,}", more=(f"numbers {span}",))),
            ("Database", code(context.database_id)),
            (
                "Made",
                Cell(moment_utc(context.made_at), more=(f"Keydeck {context.version}", context.made_by)),
            ),
            ("Records' signatures", period.unchecked and f"not checked: {period.unchecked}"),
            ("Records without", f"{len(period.unsigned):,}" if period.unsigned else ""),
        ),
        tables=(
            table(
                "What is wrong with the records themselves",
                "Problem",
                ((Cell(one, Tone.BAD),) for one in period.problems),
                "Nothing was found: the chain is whole.",
            ),
        ),
    )


def _by_standard(period: AuditPeriod) -> Iterator[tuple[str, tuple[ControlPeriod, ...]]]:
    ordered = sorted(period.controls, key=_standard)
    for title, theirs in groupby(ordered, key=_standard):
        yield title, tuple(sorted(theirs, key=_worst_first))


def _standard(one: ControlPeriod) -> str:
    return f"{one.control.framework.title} {one.control.framework.edition}".strip()


def _worst_first(one: ControlPeriod) -> tuple[int, int]:
    worst = one.worst.rank if one.worst else len(ControlStatus)
    return worst, -one.count(one.worst)


def controls(period: AuditPeriod) -> ShownSection:
    return ShownSection(
        "controls",
        "Controls",
        lead="The questions are Keydeck's, in its own words; the numbers are the standard's.",
        tables=tuple(
            table(
                title,
                "Control|Over the period|From when to when|How far, and by what",
                (_control_row(one, period) for one in theirs),
            )
            for title, theirs in _by_standard(period)
        ),
    )


def _control_row(one: ControlPeriod, period: AuditPeriod) -> tuple[CellValue, ...]:
    control = one.control
    sign, tone = words.LOOKS[one.worst]
    spans = [words.span_words(span) for span in one.spans]
    more = len(spans) - _MOST_SPANS
    return (
        (
            f"{control.number} {control.title}",
            control.question,
            f"Owner: {control.owner}" if control.owner else "",
        ),
        Cell(
            f"{sign} {words.status_words(one)}",
            tone,
            more=(
                *(f"Not assessed: {reason}" for reason in words.reasons_of(one, period.records)),
                *(f"Exception, {e.words}, by {e.by}" for e in one.exemptions),
            ),
        ),
        ("", *spans[:_MOST_SPANS], f"and {more:,} more in controls.csv" if more > 0 else ""),
        (
            words.limit_words(one),
            control.outside,
            *(f"Last record: {line}" for line in words.evidence_lines(one, period.records)),
        ),
    )


def lapses(period: AuditPeriod) -> ShownSection:
    return ShownSection(
        "lapses",
        "Lapses",
        lead=(
            "What was not as it must be, from when to when, and what ended it. A lapse that began and ended "
            "between two records is known by CloudTrail alone, and seen only where its events were fetched."
        ),
        tables=(
            table("Lapses in the period", _LAPSE, map(_lapse_row, period.lapses), "No lapse is known."),
            table(
                "Seen in events, and explained by an operation on record",
                _LAPSE,
                map(_lapse_row, period.explained),
            ),
        ),
    )


def _lapse_row(one: Lapse) -> tuple[CellValue, ...]:
    excepted = "excepted for all of its time" if one.excepted else ""
    return (
        Cell(one.what, Tone.WARNING if one.excepted else Tone.BAD, more=(excepted, one.cause, *one.remarks)),
        Cell(words.began(one), look=TextLook.TIME, more=(one.began_by or "nothing tells by what",)),
        Cell(
            words.ended(one),
            look=TextLook.TIME,
            more=(one.ended_by or ("nothing tells by what" if one.over else ""),),
        ),
        (one.source.value, _records(one.records)),
        ", ".join(f"{c.framework.title} {c.number}" for c in one.controls),
    )


def _records(numbers: tuple[int, ...]) -> str:
    if not numbers:
        return "no record shows it"
    return f"records {numbers[0]:,} – {numbers[-1]:,}" if numbers[1:] else f"record {numbers[0]:,}"


def counts(period: AuditPeriod) -> dict[ControlStatus | None, int]:
    """Return how many controls have each status as their worst; None for those without any record."""
    return {status: sum(one.worst is status for one in period.controls) for status in (*ControlStatus, None)}
