"""A period as parts of a JSON document: what `keydeck evidence status --from … --json` prints."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from crypto_core.compliance.facts import ChangeFact
from crypto_core.compliance.period.period import AuditPeriod, Lapse


def lapse_json(lapse: Lapse) -> dict[str, Any]:
    """Return a lapse with the moments that it is known by."""
    return {
        "cause": lapse.cause,
        "what": lapse.what,
        "source": lapse.source.value,
        "first_at": lapse.first_at.isoformat(),
        "last_at": lapse.last_at.isoformat(),
        "after": _moment(lapse.after),
        "before": _moment(lapse.before),
        "over": lapse.over,
        "began_by": lapse.began_by or None,
        "ended_by": lapse.ended_by or None,
        "excepted": lapse.excepted,
        "tests": list(lapse.tests),
        "controls": [
            {"control": one.id, "framework": one.framework.id, "number": one.number, "title": one.title}
            for one in lapse.controls
        ],
        "changes": [change_json(one) for one in lapse.changes],
        "records": list(lapse.records),
        "remarks": list(lapse.remarks),
        "exceptions": [exemption.as_json() for exemption in lapse.exemptions],
    }


def change_json(change: ChangeFact) -> dict[str, Any]:
    """Return a change, and where to look it up."""
    return {
        "kind": change.kind.value,
        "source": change.source,
        "id": change.id,
        "at": change.at.isoformat(),
        "what": change.what,
        "subject": change.subject,
        "who": change.who,
        "outcome": change.outcome,
    }


def period_json(period: AuditPeriod) -> dict[str, Any]:
    """Return what else there is to a period beside its controls."""
    return {
        "since": period.since.isoformat(),
        "until": period.until.isoformat(),
        "framework": period.framework or None,
        "made_at": period.made_at.isoformat(),
        "records": [
            {
                "number": one.number,
                "taken_at": one.taken_at.isoformat(),
                "sha256": one.digest.hex(),
                "signed": one.signature is not None,
            }
            for one in period.records
        ],
        "gaps": [day.isoformat() for day in period.gaps],
        "lapses": [lapse_json(one) for one in period.lapses],
        "explained": [lapse_json(one) for one in period.explained],
        "population": {kind.value: number for kind, number in period.population.items()},
        "problems": list(period.problems),
        "unchecked": period.unchecked or None,
        "unknown": list(period.unknown),
    }


def _moment(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
