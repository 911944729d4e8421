"""The trail's memory: every record, sorted by time, bounded."""

from bisect import bisect_left, bisect_right, insort
from collections import Counter
from collections.abc import Iterator

from console.sandbox.endpoint.records import Record

CAPACITY = 500_000

Position = tuple[float, int]


class SandboxTrail:
    """Keeps the newest `capacity` records and a queue of those not yet delivered to S3.

    When it overflows, the oldest tenth goes at once, so the cost is spread.
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        self.capacity = capacity
        self.calls: Counter[str] = Counter()
        self._records: list[Record] = []
        self._undelivered: list[Record] = []
        self._sequence = 0

    def __len__(self) -> int:
        return len(self._records)

    @property
    def last(self) -> int:
        """The sequence number of the record that came last, 0 before the first."""
        return self._sequence

    @property
    def undelivered(self) -> int:
        """How many records wait for delivery to S3."""
        return len(self._undelivered)

    def add(self, record: Record) -> None:
        self._number(record)
        self.calls[record.action] += 1
        records = self._records
        if records and record.time < records[-1].time:
            insort(records, record, key=position)
        else:
            records.append(record)
        self._undelivered.append(record)
        if len(records) > self.capacity or len(self._undelivered) > self.capacity:
            self._shrink()

    def add_past(self, batch: list[Record]) -> None:
        """Keep a batch of records from the past; cheaper than adding them one by one."""
        for record in batch:
            self._number(record)
        self._records.extend(batch)
        self._records.sort(key=position)
        self._undelivered.extend(sorted(batch, key=position))
        while len(self._records) > self.capacity or len(self._undelivered) > self.capacity:
            self._shrink()

    def newest_first(self, start: float, end: float, after: Position | None = None) -> Iterator[Record]:
        """Yield records of the seconds `start` to `end` (epoch), both included, newest first.

        `after` resumes behind the record at that position; records that came in since don't shift it.
        """
        records = self._records
        top = bisect_right(records, end, key=lambda record: int(record.time))
        if after is not None:
            top = min(top, bisect_left(records, after, key=position))
        for index in range(top - 1, -1, -1):
            record = records[index]
            if int(record.time) < int(start):
                return
            yield record

    def take_undelivered(self) -> list[Record]:
        taken, self._undelivered = self._undelivered, []
        return taken

    def forget_after(self, sequence: int) -> None:
        self._records = [record for record in self._records if record.sequence <= sequence]
        self._undelivered = [record for record in self._undelivered if record.sequence <= sequence]

    def forget_since(self, since: float) -> None:
        """Forget the records of what happened from a moment (epoch seconds) on, delivered or not."""
        self._records = [record for record in self._records if record.time < since]
        self._undelivered = [record for record in self._undelivered if record.time < since]

    def _number(self, record: Record) -> None:
        self._sequence += 1
        record.sequence = self._sequence

    def _shrink(self) -> None:
        surplus = max(1, self.capacity // 10)
        for kept in (self._records, self._undelivered):
            if len(kept) > self.capacity:
                del kept[:surplus]


def position(record: Record) -> Position:
    return record.time, record.sequence
