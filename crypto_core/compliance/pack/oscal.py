"""A period as assessment results in OSCAL 1.1 (NIST, "OSCAL Assessment Results Model").

Each framework is a result, with observations for tests, lapses and lacks, and a finding for each control.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator

from crypto_core.compliance.control import FrameworkControl
from crypto_core.compliance.pack.context import PackContext
from crypto_core.compliance.pack.csv_tables import csv_table
from crypto_core.compliance.pack.oscal_datatypes import (
    Json,
    OscalNames,
    filled,
    line,
    markup,
    moment,
    prop,
    props,
    string,
    token,
)
from crypto_core.compliance.pack.oscal_findings import FrameworkResult, objective_of
from crypto_core.compliance.pack.oscal_observations import (
    CHANGES,
    CONTROLS,
    LAPSES,
    RECORDS,
    answered_tests,
)
from crypto_core.compliance.period.period import AuditPeriod, ControlPeriod

OSCAL_VERSION = "1.1.3"
_RMF = "http://csrc.nist.gov/ns/rmf"
"""Whose the names of NIST's own properties are."""
_ASSESSOR = "assessor"
_RECORDS = (RECORDS, "application/jsonl", "The records that all of this rests on, signed one by one")
_TABLES = (
    (CONTROLS, "text/csv", "What each control came to, day by day"),
    (LAPSES, "text/csv", "What was not met, from when to when"),
    (CHANGES, "text/csv", "The full population of changes"),
)


def oscal_results(period: AuditPeriod, context: PackContext) -> bytes:
    """Return the document: the same bytes for the same period and context."""
    names = OscalNames(context.database_id, period.since, period.until, period.framework)
    controls = [one.control for one in period.controls]
    document = filled(
        uuid=names.of("document"),
        metadata=_metadata(period, context, names),
        import_ap={
            "href": names.ref("plan"),
            "remarks": "There is no plan beside the catalogues of controls.",
        },
        local_definitions=filled(objectives_and_methods=list(map(_objective, controls))),
        results=[one.as_json() for one in _results(period, context, names)],
        back_matter={"resources": [_plan(context, names), *_files(period, context, names)]},
    )
    return (json.dumps({"assessment-results": document}, indent=1) + "\n").encode()


def _results(period: AuditPeriod, context: PackContext, names: OscalNames) -> list[FrameworkResult]:
    by_framework: dict[str, list[ControlPeriod]] = {}
    for one in period.controls:
        by_framework.setdefault(one.control.framework.id, []).append(one)
    wanted = by_framework or {period.framework: []}
    tests = answered_tests(period, (name for one in period.controls for name in one.control.tests))
    return [FrameworkResult(id_, many, tests, period, context, names) for id_, many in wanted.items()]


def _metadata(period: AuditPeriod, context: PackContext, names: OscalNames) -> Json:
    maker = names.of("maker")
    return filled(
        title=f"Token encryption from {period.since:%Y-%m-%d} to {period.until:%Y-%m-%d}",
        last_modified=moment(context.made_at),
        version=moment(context.made_at),
        oscal_version=OSCAL_VERSION,
        props=props({"made-by": "Keydeck", "keydeck-version": context.version, "seed": period.seed}),
        roles=[{"id": _ASSESSOR, "title": "Made the document"}],
        parties=[{"uuid": maker, "type": "organization", "name": string(context.made_by)}],
        responsible_parties=[{"role-id": _ASSESSOR, "party-uuids": [maker]}],
        remarks=markup(
            "A control is satisfied only where it was met on every day of the period, by a record of that "
            "day. What was met in part, not assessed, excepted or without a record is not satisfied, with "
            "the reason other."
        ),
    )


def _objective(control: FrameworkControl) -> Json:
    objective = objective_of(control)
    prose = markup(control.question, control.as_far_as and f"As far as it is about {control.as_far_as}.")
    method = {
        "id": f"{objective}_test",
        "name": "assessment-method",
        "props": [{"name": "method", "ns": _RMF, "value": "TEST"}],
        "prose": markup(*control.tests),
    }
    return filled(
        control_id=token(control.id),
        description=line(f"{control.framework.title} {control.number}: {control.title}"),
        parts=[
            filled(id=objective, name="assessment-objective", prose=prose),
            *([method] if control.tests else []),
        ],
    )


def _plan(context: PackContext, names: OscalNames) -> Json:
    catalogues = [
        prop("catalogue", f"{one.id} {one.version}", f"SHA-256 {one.digest}") for one in context.catalogues
    ]
    return filled(
        uuid=names.of("plan"),
        title="What is assessed, and how",
        description=markup(
            "Every control of Keydeck's catalogues is answered by its tests, record by record. "
            "The tests are those of the objectives in this document."
        ),
        props=catalogues,
        rlinks=[{"href": "report.html", "media-type": "text/html"}],
    )


def _files(period: AuditPeriod, context: PackContext, names: OscalNames) -> Iterator[Json]:
    yield _file(names, *_RECORDS, hashes=[])
    for path, media, said in _TABLES:
        sha256 = hashlib.sha256(csv_table(path)(period, context)).hexdigest()
        yield _file(names, path, media, said, hashes=[{"algorithm": "SHA-256", "value": sha256}])


def _file(names: OscalNames, path: str, media: str, said: str, *, hashes: list[Json]) -> Json:
    return filled(
        uuid=names.of("file", path),
        title=path,
        description=f"{said}. Its SHA-256 is in manifest.json, which signature.json signs.",
        rlinks=[filled(href=path, media_type=media, hashes=hashes)],
    )
