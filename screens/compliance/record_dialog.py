"""Making a record of evidence: measured first, shown, then measured again and kept once that is agreed to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from textual.content import Content

from crypto_core.cancelling import Cancellation
from crypto_core.guard.consent import Consent, Danger
from crypto_core.text.counting import counted
from screens.asking import ask
from screens.blocking import Trouble
from screens.compliance.day_lines import moment
from screens.facts import Facts
from screens.styled import GOOD, WARNING, StyledLine
from screens.widgets.cells import painted
from screens.widgets.notice import trouble_content
from screens.widgets.plan_dialog import PlanDialog

if TYPE_CHECKING:
    from crypto_core.compliance.records.recording import EvidenceRecorder, RecordedDay


@dataclass(frozen=True, slots=True)
class RecordPlan:
    draft: RecordedDay
    danger: Danger = Danger.CONFIRM
    confirmation: str = ""

    @property
    def digest(self) -> str:
        return self.draft.record.digest.hex()


class RecordEvidence(PlanDialog[RecordPlan, "RecordedDay"]):
    """Returns the record that was kept, None where none was."""

    LOOKING: ClassVar[str] = "Measuring what controls are about…"

    def __init__(self, facts: Facts, recorder: EvidenceRecorder) -> None:
        super().__init__(facts, "Record evidence")
        self._recorder = recorder
        self._made: RecordedDay | None = None

    def make(self, cancelled: Cancellation) -> RecordPlan:
        """Measure everything; the journal keeps that this was looked at."""
        return RecordPlan(self._recorder.draft(cancelled))

    def content(self, plan: RecordPlan) -> Content:
        return painted(_plan_lines(plan.draft))

    def label(self, plan: RecordPlan) -> str:
        return f"Make record {plan.draft.record.number:,}"

    def go_on(self, plan: RecordPlan, consent: Consent) -> None:
        self.under_way("Recording", "Measuring, signing and keeping the record…")
        recorder = self._recorder
        self._asked = ask(self, recorder.record_day, self._end, group="record", limit=self.LIMIT_SECONDS)

    def _end(self, answer: RecordedDay | Trouble) -> None:
        if isinstance(answer, Trouble):
            self.tell("Not recorded", trouble_content(answer), leave="Close")
            return
        self._made = answer
        self.tell("Recorded", painted(_made_lines(answer)), leave="Close")

    def action_leave(self) -> None:
        """Close. A record that is under way is kept, or not at all."""
        self.dismiss(self._made)


def _plan_lines(draft: RecordedDay) -> Iterator[StyledLine]:
    number, size = draft.record.number, len(draft.record.document.encode())
    yield (f"Measures everything again and keeps it as record {number:,}: about {counted(size, 'byte')}.",)
    after = f"names record {number - 1:,} before it, and " if number > 1 else ""
    yield (f"It {after}is named by the journal. No record can be changed or taken back.",)
    yield from _missing_lines(draft)


def _made_lines(made: RecordedDay) -> Iterator[StyledLine]:
    record = made.record
    yield GOOD, f"Record {record.number:,} of {moment(record.taken_at)} UTC is kept."
    if record.signature is not None:
        yield GOOD, f"Signed: {record.signature.algorithm} by {record.signature.key_arn}."
    else:
        yield WARNING, f"Not signed: {record.unsigned_because}"
    if made.checkpoint is not None:
        yield GOOD, f"The journal is signed up to entry {made.checkpoint.seq:,}."
    elif made.unanchored_because:
        yield WARNING, f"The journal's end is not signed: {made.unanchored_because}"
    yield from _missing_lines(made)


def _missing_lines(day: RecordedDay) -> Iterator[StyledLine]:
    for part, missing in day.missing.items():
        yield WARNING, f"{part}: {missing.lack}: {missing.reason}"
