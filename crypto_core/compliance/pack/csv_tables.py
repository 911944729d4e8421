"""The tables of a pack: CSV that no spreadsheet takes for formulas, a heading even where there is no row.

What isn't known is empty. Moments are ISO 8601 in UTC, days too, ages are in days.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, date, datetime
from enum import Enum

from crypto_core.compliance.answer import ControlStatus
from crypto_core.compliance.facts import ChangeFact
from crypto_core.compliance.pack.context import PackContext
from crypto_core.compliance.pack.recorded_keys import SeenKey, seen_accesses, seen_keys
from crypto_core.compliance.pack.words import age_days, looked_up, reasons_of, recorded_days, status_words
from crypto_core.compliance.period.period import AuditPeriod
from crypto_core.lists.row_files import CsvWriter
from crypto_core.reports.json import json_value

Row = Sequence[object]
Rows = Callable[[AuditPeriod], Iterable[Row]]


def _controls(period: AuditPeriod) -> Iterator[Row]:
    for one in period.controls:
        control, framework = one.control, one.control.framework
        yield (
            *(framework.id, framework.title, framework.edition, control.number, control.id),
            *(control.title, control.question, control.owner, control.as_far_as, control.limit),
            *(one.worst, status_words(one), len(one.days), recorded_days(one)),
            *(one.count(status) for status in ControlStatus),
            sum(day.excepted for day in one.days),
            "; ".join(reasons_of(one, period.records)),
            "; ".join(f"{s.status or 'no record'} {s.first}..{s.last}" for s in one.spans),
        )


def _lapses(period: AuditPeriod) -> Iterator[Row]:
    for one in period.lapses:
        yield (
            *(one.cause, one.what, one.source, one.after, one.first_at, one.last_at, one.before),
            *(one.over, one.excepted, one.began_by, one.ended_by, "; ".join(one.tests)),
            "; ".join(f"{c.framework.title} {c.number}" for c in one.controls),
            "; ".join(f"{c.source} {c.id}" for c in one.changes),
            "; ".join(map(str, one.records)),
            "; ".join(one.remarks),
        )


def _keys(period: AuditPeriod) -> Iterator[Row]:
    for seen in seen_keys(period):
        key = seen.key
        whole = (
            *(key.arn, key.name, key.owner, key.purpose, key.spec, key.usage, key.state, key.origin),
            *(key.manager, key.rotates, key.rotation_days, seen.material_days, key.created_at),
            *(key.deletion_at, key.last_used_at, key.policy_sha256, key.tokens, key.writes),
            *(
                seen.first,
                seen.record.day,
                seen.record.number,
                "; ".join(f"{name}: {reason}" for name, reason in key.missing.items()),
            ),
        )
        yield from ((*whole, *material) for material in _materials(seen))


def _materials(seen: SeenKey) -> Iterator[Row]:
    at = seen.record.taken_at
    for one in seen.key.materials:
        yield one.id, one.state, one.standing, one.since, age_days(one.since, at), one.tokens
    if not seen.key.materials:
        yield ("",) * 6


def _changes(changes: Iterable[ChangeFact]) -> Iterator[Row]:
    for one in changes:
        yield (
            *(one.kind, one.source, one.id, one.at, one.what, one.subject, one.who, one.outcome),
            *(one.approved_by, one.detail, one.opens, one.closes, looked_up(one)),
        )


def _access(period: AuditPeriod) -> Iterator[Row]:
    for one in seen_accesses(period):
        access = one.access
        yield (
            *(access.key, access.who, "; ".join(access.actions), access.by, access.delegated),
            *(one.first, one.last, one.records),
        )


def _uses(period: AuditPeriod) -> Iterator[Row]:
    unreviewed = set(period.unreviewed)
    for one in period.uses:
        reviewed = one not in unreviewed
        yield (
            *(one.key, one.who, one.action, one.calls, one.denied, one.first_at, one.last_at),
            reviewed,
        )


def _reviews(period: AuditPeriod) -> Iterator[Row]:
    for one in period.reviews:
        yield one.id, one.at, one.by, one.reason, one.accesses, "; ".join(one.keys)


def _incidents(period: AuditPeriod) -> Iterator[Row]:
    for one in period.incidents:
        yield (
            *(one.name, one.runbook, one.declared_at, one.closed_at, one.contained_seconds),
            *(one.budget_seconds or None, one.contained_in_time, one.lead, one.follow_ups, one.overdue),
        )


def _exceptions(period: AuditPeriod) -> Iterator[Row]:
    numbers = {one.control.id: one.control for one in period.controls}
    for one in period.exemptions:
        control = numbers.get(one.control)
        number = f"{control.framework.title} {control.number}" if control else ""
        yield one.control, number, one.reason, one.by, one.until


_CHANGE = "kind,source,id,at,what,subject,who,outcome,approved_by,detail,opens,closes,look_up"
_CONTROL = (
    "framework,standard,edition,number,control,title,question,owner,as_far_as,limit,worst_status,status,"
    "days,days_with_record,days_not_met,days_not_assessed,days_partly,days_met,days_excepted,"
    "not_assessed_because,spans"
)
_KEY = (
    "arn,name,owner,purpose,spec,usage,state,origin,manager,rotates,rotation_days,material_days,created_at,"
    "deletion_at,last_used_at,policy_sha256,tokens,writes,first_day,last_day,record,not_known,material,"
    "material_state,material_standing,material_since,material_age_days,material_tokens"
)
_INCIDENT = (
    "incident,runbook,declared_at,closed_at,contained_seconds,budget_seconds,contained_in_time,lead,"
    "follow_ups,overdue"
)
_LAPSE = (
    "cause,what,source,not_before,first_at,last_at,over_at,over,excepted,began_by,ended_by,tests,controls,"
    "changes,records,remarks"
)
TABLES: dict[str, tuple[str, Rows]] = {
    "access.csv": ("key,who,actions,by,delegated,first_day,last_day,records", _access),
    "changes.csv": (_CHANGE, lambda period: _changes(period.changes)),
    "controls.csv": (
        _CONTROL,
        _controls,
    ),
    "drills.csv": ("restored_at", lambda period: ((at,) for at in period.drills)),
    "exceptions.csv": ("control,number,reason,by,until", _exceptions),
    "incidents.csv": (
        _INCIDENT,
        _incidents,
    ),
    "keys.csv": (
        _KEY,
        _keys,
    ),
    "lapses.csv": (
        _LAPSE,
        _lapses,
    ),
    "reviews.csv": ("journal_entry,at,by,reason,accesses_sha256,keys", _reviews),
    "sample.csv": (_CHANGE, lambda period: _changes(period.sample)),
    "uses.csv": ("key,who,action,calls,denied,first_at,last_at,reviewed_since", _uses),
}


def csv_table(name: str) -> Callable[[AuditPeriod, PackContext], bytes]:
    def make(period: AuditPeriod, context: PackContext) -> bytes:
        headings, rows = TABLES[name]
        file = io.StringIO(newline="")
        writer = CsvWriter(file)
        writer.row(headings.split(","))
        for row in rows(period):
            writer.row([_cell(one) for one in row])
        return file.getvalue().encode()

    return make


def _cell(value: object) -> object:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, bool):
        return "yes" if value else "no"
    # As the report has it, from which the table can be made again.
    return json_value(value) if isinstance(value, float) else value
