"""What controls come to by a snapshot. A snapshot of another day is judged in the same way."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from threading import Event
from typing import TYPE_CHECKING

from crypto_core.compliance.answer import ControlAnswer, ControlStatus, not_assessed
from crypto_core.compliance.control import Exemption, FrameworkControl
from crypto_core.compliance.control_tests import ALL_TESTS
from crypto_core.compliance.library import ControlLibrary, Controls
from crypto_core.compliance.snapshot import Lack, Snapshot, SnapshotPart
from crypto_core.values.clean_text import CleanText
from crypto_core.values.json_records import JsonRecord, made, shape

if TYPE_CHECKING:
    from crypto_core.compliance.snapshot_reader import SnapshotReader

_NUMBER = re.compile(r"([0-9]+)|([^0-9]+)")
"""The parts of a number such as CC6.1 or 10.4.1.1."""


@dataclass(frozen=True, slots=True)
class MeasuredAnswer(JsonRecord):
    """The answer of a test; where none answers a control, it has the control's name."""

    test: str
    answer: ControlAnswer

    json_shape = shape("test measures *answer")

    @property
    def measures(self) -> str | None:
        return ALL_TESTS[self.test].measures if self.test in ALL_TESTS else None


@dataclass(frozen=True, slots=True)
class Judgement(JsonRecord):
    """What one control comes to. `answers` are by the test's name; `exemption` holds, `ended` is over."""

    control: FrameworkControl
    answers: tuple[tuple[CleanText, ControlAnswer], ...]
    exemption: Exemption | None = None
    ended: Exemption | None = None

    json_shape = shape(
        "control=control.id framework=control.framework.id standard=control.framework.title "
        "edition=control.framework.edition number=control.number title=control.title "
        "question=control.question owner=control.owner? status words reason? limit=control.limit? "
        "exception=exemption tests",
        tests=made(
            tuple[MeasuredAnswer, ...], lambda record: [MeasuredAnswer(*one) for one in record.answers]
        ),
    )

    @property
    def status(self) -> ControlStatus:
        """The worst of the tests' answers; one that is not assessed is worse than one that is partly met."""
        return min((answer.status for _, answer in self.answers), key=lambda status: status.rank)

    @property
    def fails(self) -> bool:
        """True if it is not met, and nobody granted an exception."""
        return self.status is ControlStatus.NOT_MET and self.exemption is None

    @property
    def reason(self) -> str:
        """Why it is not assessed, "" where it is."""
        if self.status is not ControlStatus.NOT_ASSESSED:
            return ""
        told = [a for _, a in self.answers if a.status is ControlStatus.NOT_ASSESSED]
        return "; ".join(dict.fromkeys(f"{answer.lack}: {answer.reason}" for answer in told))

    @property
    def words(self) -> str:
        """The status as it is told: how far it goes, why not, until when it is excepted."""
        far = f" as far as it is about {self.control.as_far_as}" if self.control.as_far_as else ""
        if self.status is ControlStatus.MET:
            return f"met{far}"
        if self.status is ControlStatus.PARTLY:
            return f"partly met{far}"
        if self.status is ControlStatus.NOT_ASSESSED:
            return f"not assessed, {self.reason}"
        if self.exemption is not None:
            return f"not met, {self.exemption.words}"
        return f"not met; its exception ended on {self.ended.until:%Y-%m-%d}" if self.ended else "not met"

    @property
    def order(self) -> tuple[int, bool, tuple[tuple[int, str], ...]]:
        """For sorting: by status, what is excepted behind what is not, in the order of the numbers."""
        parts = _NUMBER.findall(f"{self.control.framework.title} {self.control.number}")
        numbers = tuple((int(digits or 0), text) for digits, text in parts)
        return self.status.rank, self.exemption is not None, numbers


@dataclass(frozen=True, slots=True)
class Assessment:
    """All judgements of one moment: by framework, the worst first. `failed`: something could not be read."""

    taken_at: datetime
    judgements: tuple[Judgement, ...]
    controls: Controls
    failed: bool = False

    def count(self, status: ControlStatus) -> int:
        return sum(one.status is status for one in self.judgements)

    @property
    def fails(self) -> bool:
        """True if a control is not met that nobody excepted."""
        return any(one.fails for one in self.judgements)


def parts_of(controls: Iterable[FrameworkControl]) -> tuple[SnapshotPart, ...]:
    wanted = {part for control in controls for name in control.tests for part in ALL_TESTS[name].parts}
    return tuple(part for part in SnapshotPart if part in wanted)


def judge(control: FrameworkControl, snapshot: Snapshot, exemption: Exemption | None = None) -> Judgement:
    """Return what a control comes to. An exception that is over counts for nothing."""
    if not control.tests:
        answers = ((control.id, not_assessed(control.outside, Lack.OUTSIDE)),)
        return Judgement(control, answers)
    asked = tuple((name, ALL_TESTS[name].answer(snapshot)) for name in control.tests)
    if exemption is not None and exemption.holds(snapshot.taken_at):
        return Judgement(control, asked, exemption)
    return Judgement(control, asked, ended=exemption)


def assess(controls: Controls, snapshot: Snapshot, framework: str = "") -> Assessment:
    chosen = [one for one in controls.controls if framework in ("", one.framework.id)]
    judged = [judge(one, snapshot, controls.exemptions.get(one.id)) for one in chosen]
    places = {name: place for place, name in enumerate(controls.frameworks)}
    ordered = sorted(judged, key=lambda one: (places[one.control.framework.id], *one.order))
    return Assessment(snapshot.taken_at, tuple(ordered), controls, snapshot.failed)


@dataclass(eq=False)
class ComplianceService:
    """Judges controls by what is measured now. Blocks on SQL and AWS: call it from a worker."""

    library: ControlLibrary
    reader: SnapshotReader

    def assess_now(self, framework: str = "", *, cancelled: Event | None = None) -> Assessment:
        """Return what controls come to now, of all frameworks or of one; only what they need is measured.

        Raises SettingsError for a framework that no catalogue has, InterruptedRunError.
        """
        controls = self.library.read()
        controls.require(framework)
        chosen = (one for one in controls.controls if framework in ("", one.framework.id))
        snapshot = self.reader.take(parts_of(chosen), cancelled)
        return assess(controls, snapshot, framework)
