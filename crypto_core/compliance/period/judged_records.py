"""What each record's tests answer. Pure: a record of any day is judged in the same way."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from crypto_core.compliance.answer import ControlAnswer, ControlStatus
from crypto_core.compliance.control import FrameworkControl
from crypto_core.compliance.control_tests import ALL_TESTS
from crypto_core.compliance.records.record import EvidenceRecord
from crypto_core.findings.finding import Finding

RANK = {status: status.rank for status in ControlStatus}


@dataclass(frozen=True, slots=True)
class JudgedRecord:
    """A record and the answer of every test to it, by the test's name."""

    record: EvidenceRecord
    answers: Mapping[str, ControlAnswer]

    @property
    def at(self) -> datetime:
        return self.record.taken_at

    def status(self, control: FrameworkControl) -> ControlStatus:
        """Return what a control comes to: the worst answer; not assessed where no test answers it."""
        told = (self.answers[name].status for name in control.tests)
        return min(told, key=RANK.__getitem__, default=ControlStatus.NOT_ASSESSED)

    def causes(self) -> dict[str, tuple[Finding, list[str]]]:
        """Return each cause by what it is of, once, with the tests that tell of it."""
        found: dict[str, tuple[Finding, list[str]]] = {}
        for name, answer in self.answers.items():
            for one in answer.causes:
                found.setdefault(one.thing, (one, []))[1].append(name)
        return found


def judge_records(records: Iterable[EvidenceRecord]) -> tuple[JudgedRecord, ...]:
    """Return records with their answers, in the order of time."""
    ordered = sorted(records, key=lambda one: (one.taken_at, one.number))
    return tuple(
        JudgedRecord(one, {name: test.answer(one.snapshot) for name, test in ALL_TESTS.items()})
        for one in ordered
    )
