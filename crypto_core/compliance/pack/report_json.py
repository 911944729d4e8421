"""The pack's document for programs. It has all that the period was made from besides records, too.

{"schema": …, "schema_version": …, "inputs": …, …}: the version goes up whenever a member is renamed, removed
or comes to mean something else, not when one is added. Moments are ISO 8601 in UTC, durations are in seconds,
what isn't known is null.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import date, datetime
from typing import Any

from crypto_core.compliance.answer import ControlStatus
from crypto_core.compliance.control import FrameworkControl
from crypto_core.compliance.facts import ChangeFact, IncidentFact, ReviewFact, UseFact
from crypto_core.compliance.pack import words
from crypto_core.compliance.pack.context import PackContext
from crypto_core.compliance.pack.recorded_keys import seen_accesses, seen_keys
from crypto_core.compliance.period.period import AuditPeriod, ControlPeriod, Lapse
from crypto_core.reports.json import json_value, written
from crypto_core.values.clean_text import CleanText, clean, cleans
from crypto_core.values.json_records import JsonRecord, JsonRecordError, record_of, shape
from crypto_core.values.json_records import json_value as fact_json

SCHEMA = "keydeck evidence pack"
SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
@cleans(600)
class PeriodInputs(JsonRecord):
    """What a period was made from besides records and controls, as the document has it."""

    since: date
    until: date
    framework: CleanText
    seed: CleanText
    sample: int
    made_at: datetime
    changes: tuple[ChangeFact, ...]
    uses: tuple[UseFact, ...]
    reviews: tuple[ReviewFact, ...]
    incidents: tuple[IncidentFact, ...]
    drills: tuple[datetime, ...]
    problems: tuple[CleanText, ...]
    unknown: tuple[CleanText, ...]
    unchecked: CleanText

    json_shape = shape("... -problems -unknown -unchecked")

    @classmethod
    def of(cls, period: AuditPeriod) -> PeriodInputs:
        values = {one.name: getattr(period, one.name) for one in fields(cls)}
        return cls(**values | {"sample": len(period.sample)})


def report_json(period: AuditPeriod, context: PackContext) -> bytes:
    return written(json_value(_document(period, context))).encode()


def read_document(document: Mapping[str, Any]) -> tuple[PeriodInputs, PackContext]:
    """Return what its period was made from, and its context, without catalogues. Raises ValueError."""
    try:
        told = {name: tuple(clean(one, 600) for one in document[name]) for name in ("problems", "unknown")}
        inputs = record_of(
            PeriodInputs,
            document["inputs"],
            exactly=True,
            unchecked=clean(document["unchecked"], 600),
            **told,
        )
        given = {
            "database_id": clean(document["database_id"]),
            "left_out": tuple(map(clean, document["left_out"])),
        }
        return inputs, record_of(PackContext, document["made"], exactly=True, catalogues=(), **given)
    except (KeyError, TypeError, AttributeError, RecursionError, JsonRecordError) as error:
        raise ValueError("it is no document of a pack") from error


def parsed(content: bytes) -> dict[str, Any]:
    """Return a document from its bytes. Raises ValueError for what is none."""
    try:
        document: dict[str, Any] = json.loads(content)
        same = written(document).encode() == content
    except (RecursionError, TypeError) as error:
        raise ValueError("it is no document of a pack") from error
    if not same:
        raise ValueError("it is not written as Keydeck writes it")
    return document


def _document(period: AuditPeriod, context: PackContext) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "database_id": context.database_id,
        "made": context.as_json() | {"at": context.made_at},
        "days": words.day_count(period),
        "gaps": period.gaps,
        "records": tuple(
            {
                "number": one.number,
                "taken_at": one.taken_at,
                "sha256": one.digest.hex(),
                "signed": one.signature is not None,
            }
            for one in period.records
        ),
        "controls": tuple(_control(one, period) for one in period.controls),
        "lapses": tuple(map(_lapse, period.lapses)),
        "explained": tuple(map(_lapse, period.explained)),
        "unsigned_records": period.unsigned,
        "unreviewed_uses": tuple(map(fact_json, period.unreviewed)),
        "keys": tuple(
            fact_json(one.key)
            | {
                "record": one.record.number,
                "first_day": one.first,
                "last_day": one.record.day,
                "material_days": one.material_days,
                "material_age_days": {
                    m.id: words.age_days(m.since, one.record.taken_at) for m in one.key.materials
                },
            }
            for one in seen_keys(period)
        ),
        "access": tuple(
            fact_json(one.access) | {"first_day": one.first, "last_day": one.last, "records": one.records}
            for one in seen_accesses(period)
        ),
        "population": {kind.value: number for kind, number in words.population(period.changes)},
        "sample": tuple(_change(one) for one in period.sample),
        "exceptions": tuple({"control": e.control} | e.as_json() for e in period.exemptions),
        "problems": period.problems,
        "unchecked": period.unchecked or None,
        "unknown": period.unknown,
        "left_out": context.left_out,
        "catalogues": tuple(one.as_json() for one in context.catalogues),
        "inputs": {
            name: tuple(one) if isinstance(one, list) else one
            for name, one in PeriodInputs.of(period).as_json().items()
        },
    }


def _control(one: ControlPeriod, period: AuditPeriod) -> dict[str, Any]:
    days: dict[str, int] = {status.value: one.count(status) for status in ControlStatus}
    return _named(one.control) | {
        "title": one.control.title,
        "question": one.control.question,
        "owner": one.control.owner or None,
        "as_far_as": one.control.as_far_as or None,
        "limit": one.control.limit or one.control.outside or None,
        "worst": one.worst,
        "words": words.status_words(one),
        "days_with_record": words.recorded_days(one),
        "days": days | {"no record": one.count(None), "excepted": sum(day.excepted for day in one.days)},
        "spans": tuple({"status": s.status, "first": s.first, "last": s.last} for s in one.spans),
        "not_assessed_because": words.reasons_of(one, period.records),
        "evidence_of_last_record": tuple(words.evidence_lines(one, period.records)),
        "exceptions": tuple(e.as_json() for e in one.exemptions),
    }


def _named(control: FrameworkControl) -> dict[str, Any]:
    return {
        "control": control.id,
        "framework": control.framework.id,
        "standard": control.framework.title,
        "edition": control.framework.edition,
        "number": control.number,
    }


def _lapse(one: Lapse) -> dict[str, Any]:
    return {
        "cause": one.cause,
        "what": one.what,
        "source": one.source,
        "not_before": one.after,
        "first_at": one.first_at,
        "last_at": one.last_at,
        "over_at": one.before,
        "began": words.began(one),
        "ended": words.ended(one),
        "began_by": one.began_by or None,
        "ended_by": one.ended_by or None,
        "excepted": one.excepted,
        "remarks": one.remarks,
        "tests": one.tests,
        "controls": tuple(map(_named, one.controls)),
        "changes": tuple(_change(change) for change in one.changes),
        "records": one.records,
    }


def _change(one: ChangeFact) -> dict[str, Any]:
    told: dict[str, Any] = fact_json(one)
    return told | {"look_up": words.looked_up(one)}
