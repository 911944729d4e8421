"""A period as assessment results in OSCAL 1.1 (NIST, "OSCAL Assessment Results Model"), one a framework.

OSCAL knows two states. A control is satisfied where it was met on every day of the period by a record of that
day. Otherwise it is not satisfied: the reason is "fail" where it was not met, and "other" where it was
excepted, met in part, not assessed, or where a day has no record.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from crypto_core.compliance.algorithm_uses import algorithms_in_use, quantum_readiness, use_of_key
from crypto_core.compliance.answer import ControlStatus
from crypto_core.compliance.control import Exemption, FrameworkControl
from crypto_core.compliance.facts import GuardingKeyFacts, KeyFact
from crypto_core.compliance.pack.context import PackContext
from crypto_core.compliance.pack.csv_tables import csv_table
from crypto_core.compliance.pack.oscal_datatypes import (
    Json,
    OscalNames,
    day_begins,
    day_ends,
    filled,
    line,
    markup,
    moment,
    prop,
    props,
    string,
    token,
)
from crypto_core.compliance.pack.oscal_observations import (
    CHANGES,
    CONTROLS,
    LAPSES,
    RECORDS,
    AnsweredTest,
    ObservationMaker,
    answered_tests,
    days_values,
    days_words,
    doubtful,
    lapse_key,
    lapse_values,
    lapse_words,
)
from crypto_core.compliance.period.period import AuditPeriod, ControlPeriod, Lapse
from crypto_core.compliance.snapshot import MissingPart, SnapshotPart

OPEN, CLOSED, EXCEPTED = "open", "closed", "deviation-approved"
_NONE_KNOWN: Json = {"description": "No control of this framework is known.", "include-all": {}}
"""A selection has to select: all that there are, which are none."""


@dataclass(frozen=True, slots=True)
class OscalSystem:
    """The system of one result, by the newest record."""

    period: AuditPeriod
    context: PackContext
    names: OscalNames
    result: str

    @property
    def origins(self) -> list[Json]:
        return [{"actors": [{"type": "tool", "actor-uuid": self._of("tool")}]}]

    @property
    def subjects(self) -> list[Json]:
        return [{"subject-uuid": self._of("database"), "type": "component", "title": "The token database"}]

    def as_json(self) -> Json:
        return filled(
            components=[self._database()],
            inventory_items=list(map(self._key, self._keys())),
            assessment_assets={"components": [self._tool()], "assessment-platforms": [self._machine()]},
        )

    def _of(self, *parts: str) -> str:
        return self.names.of(self.result, *parts)

    def _database(self) -> Json:
        found = self.period.newest(SnapshotPart.KEYS)
        lacking = found.reason if isinstance(found, MissingPart) else ""
        return filled(
            uuid=self._of("database"),
            type="system",
            title="The token database",
            description=markup(
                "A PostgreSQL database that holds API tokens, and the KMS keys that guard them."
            ),
            props=[
                *props({"database-id": self.context.database_id, "keys-not-known": lacking}),
                *(prop("quantum-readiness", one) for one in self._readiness()),
            ],
            status={"state": "operational"},
        )

    def _tool(self) -> Json:
        return filled(
            uuid=self._of("tool"),
            type="software",
            title="Keydeck",
            description="Measures how tokens are encrypted, and keeps the records.",
            props=props({"version": self.context.version}),
            status={"state": "operational"},
        )

    def _machine(self) -> Json:
        return filled(
            uuid=self._of("machine"),
            title=line(self.context.host, "The machine that this document was made on"),
            uses_components=[{"component-uuid": self._of("tool")}],
        )

    def _readiness(self) -> tuple[str, ...]:
        records = self.period.records
        return quantum_readiness(algorithms_in_use(records[-1].snapshot)) if records else ()

    def _keys(self) -> tuple[KeyFact, ...]:
        records = self.period.records
        found = records[-1].snapshot.known(GuardingKeyFacts) if records else None
        return found.keys if found else ()

    def _key(self, key: KeyFact) -> Json:
        use = use_of_key(key)
        return filled(
            uuid=self._of("key", key.arn),
            description=markup(f"KMS key {key.name}", key.purpose),
            props=props(
                {
                    "arn": key.arn,
                    "state": key.state,
                    "spec": key.spec,
                    "origin": key.origin,
                    "manager": key.manager,
                    "owner": key.owner,
                    "tokens": key.tokens,
                    "algorithm": use.name if use else None,
                    "quantum": use.quantum if use else None,
                }
            ),
            implemented_components=[{"component-uuid": self._of("database")}],
        )


def objective_of(control: FrameworkControl) -> str:
    return f"{token(control.id)}_obj"


@dataclass(frozen=True)
class FrameworkResult:
    """One result: the controls of a framework over the period. `id` is the framework's."""

    id: str
    controls: Sequence[ControlPeriod]
    tests: Mapping[str, AnsweredTest]
    period: AuditPeriod
    context: PackContext
    names: OscalNames

    def as_json(self) -> Json:
        title = ", ".join(dict.fromkeys(one.control.framework.title for one in self.controls)) or self.id
        said = f"From {self.period.since:%Y-%m-%d} to {self.period.until:%Y-%m-%d}, both days in UTC."
        return filled(
            uuid=self._observer.uuid("result"),
            title=line(title, "No framework"),
            description=markup(
                said, "Measured by Keydeck, record by record; nothing beyond that is claimed."
            ),
            start=day_begins(self.period.since),
            end=day_ends(self.period.until),
            props=props({"framework": self.id}),
            local_definitions=self._system.as_json(),
            reviewed_controls=self._reviewed(),
            observations=list(self._observations()),
            risks=[self._risk(lapse) for lapse in self._lapses],
            findings=[self._finding(one) for one in self.controls],
        )

    @cached_property
    def _system(self) -> OscalSystem:
        return OscalSystem(self.period, self.context, self.names, self.id)

    @cached_property
    def _observer(self) -> ObservationMaker:
        made_at = moment(self.context.made_at)
        return ObservationMaker(
            self.period, self.names, self.id, made_at, self._system.origins, self._system.subjects
        )

    @property
    def _tests(self) -> dict[str, AnsweredTest]:
        asked = dict.fromkeys(name for one in self.controls for name in one.control.tests)
        return {name: self.tests[name] for name in asked if name in self.tests}

    @cached_property
    def _lapses(self) -> tuple[Lapse, ...]:
        inside = {one.control.id for one in self.controls}
        return tuple(one for one in self.period.lapses if inside & {control.id for control in one.controls})

    def _reviewed(self) -> Json:
        controls = [{"control-id": token(one.control.id)} for one in self.controls]
        objectives = [{"objective-id": objective_of(one.control)} for one in self.controls]
        selected: Json = {"include-controls": controls} if controls else _NONE_KNOWN
        return filled(
            description=markup("The controls that Keydeck's catalogues have of this framework."),
            control_selections=[selected],
            control_objective_selections=[{"include-objectives": objectives}] if objectives else [],
        )

    def _observations(self) -> Iterator[Json]:
        yield from map(self._observer.of_test, self._tests.values())
        for lapse in self._lapses:
            yield self._observer.of_lapse(lapse, self.period.lapses.index(lapse))
        if self.period.gaps:
            yield self._observer.of_gaps()
        if doubtful(self.period):
            yield self._observer.of_doubts()

    def _finding(self, one: ControlPeriod) -> Json:
        control = one.control
        far = f"This is about {control.as_far_as}." if control.as_far_as else ""
        excepted = map(_exemption_words, one.exemptions)
        return filled(
            uuid=self._observer.uuid("finding", control.id),
            title=line(f"{control.framework.title} {control.number}: {control.title}"),
            description=markup(control.question, *days_words(one.days), otherwise=line(control.id)),
            props=props(
                {
                    "framework": control.framework.id,
                    "edition": control.framework.edition,
                    "number": control.number,
                    "owner": control.owner,
                    "worst": one.worst,
                    **days_values(one.days),
                    "days-excepted": sum(day.excepted for day in one.days),
                }
            ),
            origins=self._system.origins,
            target=self._target(one),
            related_observations=[{"observation-uuid": uuid} for uuid in self._related(one)],
            related_risks=[{"risk-uuid": self._risk_uuid(lapse)} for lapse in self._lapses_of(control)],
            remarks=markup(far, control.limit, control.outside, *excepted),
        )

    def _target(self, one: ControlPeriod) -> Json:
        state, reason, words = standing(one)
        return {
            "type": "objective-id",
            "target-id": objective_of(one.control),
            "title": line(one.control.title),
            "status": {"state": state, "reason": reason, "remarks": markup(words)},
        }

    def _related(self, one: ControlPeriod) -> Iterator[str]:
        observer = self._observer
        yield from (observer.uuid("test", name) for name in one.control.tests if name in self.tests)
        yield from (observer.uuid("lapse", *lapse_key(lapse)) for lapse in self._lapses_of(one.control))
        if self.period.gaps:
            yield observer.uuid("gaps")
        if doubtful(self.period):
            yield observer.uuid("doubts")

    def _lapses_of(self, control: FrameworkControl) -> Iterator[Lapse]:
        return (one for one in self._lapses if control.id in {found.id for found in one.controls})

    def _risk_uuid(self, lapse: Lapse) -> str:
        return self._observer.uuid("risk", *lapse_key(lapse))

    def _risk(self, lapse: Lapse) -> Json:
        uuid, over = self._risk_uuid(lapse), lapse.before
        log = [self._log_entry(uuid, "began", lapse, moment(lapse.first_at), OPEN)]
        if over is not None:
            log.append(self._log_entry(uuid, "ended", lapse, moment(over), CLOSED))
        return filled(
            uuid=uuid,
            title=line(lapse.cause),
            description=markup(lapse.what, otherwise=line(lapse.cause)),
            statement=markup(lapse_words(lapse)),
            props=props(lapse_values(lapse)),
            status=CLOSED if lapse.over else EXCEPTED if lapse.excepted else OPEN,
            origins=self._system.origins,
            risk_log={"entries": log},
            related_observations=[{"observation-uuid": self._observer.uuid("lapse", *lapse_key(lapse))}],
        )

    def _log_entry(self, risk: str, what: str, lapse: Lapse, at: str, status: str) -> Json:
        said = lapse.ended_by or "What ended it is not known." if status == CLOSED else lapse.what
        return filled(
            uuid=self._observer.uuid("log", risk, what),
            title=f"The lapse {what}",
            description=markup(said, lapse.began_by if status == OPEN else ""),
            start=at,
            status_change=status,
        )


def _exemption_words(one: Exemption) -> str:
    since = f"from {one.since:%Y-%m-%d} " if one.since else ""
    return f"Excepted {since}until {one.until:%Y-%m-%d} by {one.by}: {one.reason}"


def standing(one: ControlPeriod) -> tuple[str, str, str]:
    """Return OSCAL's state and reason, and the sentence that says why."""
    failed = [day for day in one.days if day.status is ControlStatus.NOT_MET]
    if any(not day.excepted for day in failed):
        return "not-satisfied", "fail", "Not met on at least one day of the period."
    if failed:
        return "not-satisfied", "other", "Not met on at least one day, and excepted then."
    if one.days and one.count(ControlStatus.MET) == len(one.days):
        return "satisfied", "pass", "Met on every day of the period, by a record of each."
    if one.worst is ControlStatus.MET:
        return (
            "not-satisfied",
            "other",
            "Met on every day with a record; for the other days nothing is known.",
        )
    if one.worst is None:
        return "not-satisfied", "other", "Not assessed: there is no record in the period."
    lacking = "not assessed" if one.worst is ControlStatus.NOT_ASSESSED else "met in part only"
    return "not-satisfied", "other", f"At no time found not met, and on at least one day {lacking}."


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
