"""What was observed in a period, as observations of OSCAL: tests over the period, lapses, and lacks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import starmap

from crypto_core.compliance.answer import ControlAnswer, ControlStatus
from crypto_core.compliance.control_tests import ALL_TESTS
from crypto_core.compliance.pack.oscal_datatypes import Json, OscalNames, filled, line, markup, moment, props
from crypto_core.compliance.period.period import AuditPeriod, ControlDay, Lapse, runs_of, spans_of
from crypto_core.values.counts import counted

RECORDS, CHANGES, CONTROLS, LAPSES = "records.jsonl", "changes.csv", "controls.csv", "lapses.csv"
"""Files of the pack that evidence stands in."""
_MOST_SPANS = 8
_MOST_CHANGES = 20


@dataclass(frozen=True, slots=True)
class AnsweredTest:
    """One test over the period; `newest` is its answer by the last record."""

    name: str
    days: tuple[ControlDay, ...]
    newest: ControlAnswer


@dataclass(frozen=True, slots=True)
class ObservationMaker:
    """Makes the observations of one result. `made_at` is when what isn't there was looked for."""

    period: AuditPeriod
    names: OscalNames
    result: str
    made_at: str
    origins: list[Json]
    subjects: list[Json]

    def of_test(self, test: AnsweredTest) -> Json:
        known = ALL_TESTS[test.name]
        records = self.period.records
        return self._observation(
            self.uuid("test", test.name),
            title=test.name,
            said=(known.measures, *days_words(test.days)),
            methods=("TEST",),
            kind="control-objective",
            collected=moment(records[-1].taken_at),
            values=days_values(test.days),
            evidence=[self._evidence(RECORDS, f"Records {records[0].number} to {records[-1].number}.")],
            remarks=(test.newest.reason, *(f"In the newest record: {one}" for one in test.newest.lines)),
        )

    def of_lapse(self, lapse: Lapse, place: int) -> Json:
        evidence = [self._evidence(LAPSES, f"Lapse {place + 1}.")]
        if lapse.records:
            evidence.append(self._evidence(RECORDS, f"Records {numbers_text(lapse.records)}."))
        if lapse.changes:
            named = [f"{one.source} {one.id}: {one.what}" for one in lapse.changes[:_MOST_CHANGES]]
            evidence.append(self._evidence(CHANGES, "; ".join(named)))
        return self._observation(
            self.uuid("lapse", *lapse_key(lapse)),
            title=lapse.cause,
            said=(lapse.what, lapse_words(lapse)),
            methods=("TEST",) if lapse.records else ("EXAMINE",),
            kind="finding",
            collected=moment(lapse.last_at),
            values=lapse_values(lapse),
            evidence=evidence,
            remarks=(*lapse.remarks, *(f"Seen by {name}." for name in lapse.tests)),
        )

    def of_gaps(self) -> Json:
        gaps = self.period.gaps
        return self._observation(
            self.uuid("gaps"),
            title=f"No record on {counted(len(gaps), 'day')}",
            said=(f"There is none {days_list(gaps)}.", "What was met on these days is not known."),
            methods=("EXAMINE",),
            kind="finding",
            collected=self.made_at,
            values={"days-without-record": len(gaps)},
            evidence=[self._evidence(RECORDS, "All records of the period.")],
        )

    def of_doubts(self) -> Json:
        period = self.period
        unsigned = [f"Not signed: records {numbers_text(period.unsigned)}."] if period.unsigned else []
        return self._observation(
            self.uuid("doubts"),
            title="What the period can't tell",
            said=(*period.problems, *period.unknown, period.unchecked, *unsigned),
            methods=("EXAMINE",),
            kind="finding",
            collected=self.made_at,
            values={"record-problems": len(period.problems), "records-unsigned": len(period.unsigned)},
            evidence=[self._evidence(RECORDS, "All records of the period.")],
        )

    def uuid(self, *parts: str) -> str:
        return self.names.of(self.result, *parts)

    def _evidence(self, path: str, said: str) -> Json:
        return {"href": self.names.ref("file", path), "description": markup(said)}

    def _observation(
        self,
        uuid: str,
        *,
        title: str,
        said: Iterable[str],
        methods: Sequence[str],
        kind: str,
        collected: str,
        values: dict[str, object],
        evidence: list[Json],
        remarks: Iterable[str] = (),
    ) -> Json:
        return filled(
            uuid=uuid,
            title=line(title),
            description=markup(*said, otherwise=line(title)),
            props=props(values),
            methods=list(methods),
            types=[kind],
            origins=self.origins,
            subjects=self.subjects,
            relevant_evidence=evidence,
            collected=collected,
            remarks=markup(*remarks),
        )


def answered_tests(period: AuditPeriod, names: Iterable[str]) -> dict[str, AnsweredTest]:
    """Return tests over the period by their names; without a record none is answered."""
    known = [name for name in dict.fromkeys(names) if name in ALL_TESTS] if period.records else []
    return {name: _answered(period, name) for name in known}


def _answered(period: AuditPeriod, name: str) -> AnsweredTest:
    answers = [(record.day, ALL_TESTS[name].answer(record.snapshot)) for record in period.records]
    worst: dict[date, ControlStatus] = {}
    for day, answer in answers:
        worst[day] = min(worst.get(day, answer.status), answer.status, key=lambda status: status.rank)
    return AnsweredTest(name, tuple(ControlDay(day, worst.get(day)) for day in period.days), answers[-1][1])


def days_words(days: Sequence[ControlDay]) -> Iterator[str]:
    """Yield on how many days it was what, and when it was other than met, a sentence each."""
    counts = Counter(one.status for one in days)
    order = (*reversed(ControlStatus), None)
    told = [f"{_word(status)} on {counted(counts[status], 'day')}." for status in order if counts[status]]
    if told:
        yield " ".join(told)
    other = [span for span in spans_of(days) if span.status is not ControlStatus.MET]
    for span in other[:_MOST_SPANS]:
        yield f"{_word(span.status)} {_span_text(span.first, span.last)}."
    if len(other) > _MOST_SPANS:
        yield f"And {len(other) - _MOST_SPANS:,} times more, day by day in {CONTROLS}."


def days_values(days: Iterable[ControlDay]) -> dict[str, object]:
    counts = Counter(one.status for one in days)
    values = {f"days-{status.value.replace(' ', '-')}": counts[status] for status in ControlStatus}
    return {**values, "days-without-record": counts[None]}


def _word(status: ControlStatus | None) -> str:
    if status is None:
        return "No record"
    return "Partly met" if status is ControlStatus.PARTLY else status.capitalize()


def doubtful(period: AuditPeriod) -> bool:
    """Return whether there is anything that the period can't tell, or that is wrong with its records."""
    return bool(period.problems or period.unknown or period.unchecked or period.unsigned)


def lapse_key(lapse: Lapse) -> tuple[str, str]:
    """Return what tells a lapse from every other of its period."""
    return lapse.cause, lapse.first_at.isoformat()


def lapse_words(lapse: Lapse) -> str:
    """Return from when to when a lapse is known, and what ended it."""
    began = f"not before {moment(lapse.after)}" if lapse.after else "from the beginning of what is known"
    began += f"; begun by {lapse.began_by}" if lapse.began_by else ""
    over = f"over by {moment(lapse.before)}" if lapse.before else "not known to be over"
    ended = f"; ended by {lapse.ended_by}" if lapse.ended_by else ""
    known = f"Known from {moment(lapse.first_at)} to {moment(lapse.last_at)}"
    return f"{known}, {began}, {over}{ended}; by {lapse.source.value}."


def lapse_values(lapse: Lapse) -> dict[str, object]:
    return {
        "source": lapse.source.value,
        "first-at": moment(lapse.first_at),
        "last-at": moment(lapse.last_at),
        "after": moment(lapse.after) if lapse.after else None,
        "before": moment(lapse.before) if lapse.before else None,
    }


def days_list(days: Sequence[date]) -> str:
    """Return days as they follow one another, the first ones."""
    spans = runs_of(days)
    shown = list(starmap(_span_text, spans[:_MOST_SPANS]))
    more = [f"{len(spans) - _MOST_SPANS} times more"] if len(spans) > _MOST_SPANS else []
    return ", ".join([*shown, *more])


def numbers_text(numbers: Sequence[int]) -> str:
    """Return the numbers of records, or the first and the last of many."""
    if len(numbers) > _MOST_SPANS:
        return f"{len(numbers)} records from {numbers[0]} to {numbers[-1]}"
    return ", ".join(map(str, numbers))


def _span_text(first: date, last: date) -> str:
    if first == last:
        return f"on {first:%Y-%m-%d}"
    return f"from {first:%Y-%m-%d} to {last:%Y-%m-%d}"
