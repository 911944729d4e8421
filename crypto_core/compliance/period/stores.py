"""What is known now of a period, by the same readers that records are made with."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from threading import Event

from crypto_core.compliance.change_reader import OVERLAP
from crypto_core.compliance.facts import DrillFacts, IncidentFacts, UseFacts
from crypto_core.compliance.period.judging import AtHand
from crypto_core.compliance.snapshot import Lack, MissingPart, Snapshot, SnapshotPart
from crypto_core.compliance.snapshot_reader import SnapshotReader
from crypto_core.errors import DatabaseError
from crypto_core.text.cleaning import clean


@dataclass(eq=False)
class ReaderStores:
    """Reads changes, incidents and drills. Blocks on SQL and AWS: call it from a worker."""

    reader: SnapshotReader

    def read(self, since: datetime, until: datetime, cancelled: Event | None) -> AtHand:
        """Return what stores hold of a time; what can't be read is missing. Raises InterruptedRunError."""
        taken = self.reader.take((SnapshotPart.INCIDENTS, SnapshotPart.DRILLS), cancelled)
        end = min(until, taken.taken_at)
        if end <= since:
            changes = MissingPart(Lack.NOTHING, clean("the period has not begun"))
            return AtHand(changes=changes)
        return AtHand(
            changes=self.reader.change_reader.changes(since + OVERLAP, end, cancelled),
            uses=self._reviews(since, end, taken.taken_at),
            incidents=_incidents(taken),
            drills=_drills(taken),
        )

    def _reviews(self, since: datetime, end: datetime, now: datetime) -> UseFacts | MissingPart:
        """The reviews up to now; uses themselves are summed from the records."""
        try:
            return UseFacts(since, end, reviews=self.reader.change_reader.reviews(now))
        except DatabaseError as error:
            return MissingPart(Lack.FAILED, clean(error, 600))


def _incidents(taken: Snapshot) -> IncidentFacts | MissingPart:
    found = taken.part(SnapshotPart.INCIDENTS)
    return found if isinstance(found, IncidentFacts | MissingPart) else _unfit(SnapshotPart.INCIDENTS)


def _drills(taken: Snapshot) -> DrillFacts | MissingPart:
    found = taken.part(SnapshotPart.DRILLS)
    return found if isinstance(found, DrillFacts | MissingPart) else _unfit(SnapshotPart.DRILLS)


def _unfit(part: SnapshotPart) -> MissingPart:
    return MissingPart(Lack.FAILED, clean(f"what was read of {part} is something else"))
