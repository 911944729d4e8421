"""Follows the journal's entries one by one, and says what is wrong with each.

Found is every change of any field, a gap, another order, a row too many; and that the newest are gone, by the
row that keeps the last one's number. Not found is what changed that row as well: the newest are gone, or
everything from some entry on was made anew. Only checkpoints know that.
"""

from __future__ import annotations

from typing import NamedTuple

from crypto_core.database.state.journal_entry import FIRST, JournalEntry
from crypto_core.errors import AnotherDatabaseError


class WrittenLast(NamedTuple):
    """The entry that was written last, as the row says that is kept for it, and the database's id."""

    seq: int
    digest: bytes
    database_id: str


class Chain:
    """The chain as far as it has been followed. Give it the entries by ascending number."""

    def __init__(self, *, after: int = 0) -> None:
        """`after` is the number before the first entry that is given; its digest is taken as it is told."""
        self.entries = 0
        self.last: JournalEntry | None = None
        self.database_id = ""
        """The id in the last entry that has one; "" as long as none has."""
        self._seq = after
        self._digest: bytes | None = FIRST if after == 0 else None

    def follow(self, entry: JournalEntry) -> str:
        """Take the next entry; return one sentence saying what is wrong with it, "" if nothing is."""
        wrong = self._wrong(entry)
        self.entries += 1
        self.last, self._seq, self._digest = entry, entry.seq, entry.digest
        self.database_id = entry.database_id or self.database_id
        return wrong

    def end(self, written: WrittenLast | None) -> str:
        """Return what is wrong with the chain's end, "" if nothing is, once all entries were followed.

        `written` is the entry that was written last, None where that is not known.
        """
        if written is None:
            return "The number of the entry written last is gone."
        last = (self.last.seq, self.last.digest) if self.last else (0, FIRST)
        if last == written[:2]:
            return another_database(
                "The row of the entry written last", self.database_id, written.database_id
            )
        if last[0] == written[0]:
            return f"Entry {last[0]} is not the one that was written last."
        return f"The journal ends at entry {last[0]}, but the entry written last is {written[0]}."

    def _wrong(self, entry: JournalEntry) -> str:
        expected = self._seq + 1
        if entry.seq > expected:
            return f"Entry {expected} is missing: the next one is {entry.seq}."
        if entry.seq < expected:
            what = "is there more than once" if self.entries else "has no place: the first one is 1"
            return f"Entry {entry.seq} {what}."
        if self._digest is not None and entry.previous != self._digest:
            return f"Entry {entry.seq} does not follow the entry before it."
        if entry.digest != entry.computed_digest():
            return f"Entry {entry.seq} was changed."
        if (
            self.last
            and None not in (entry.database_role, self.last.database_role)
            and entry.at < self.last.at
        ):
            return f"Entry {entry.seq} is earlier than the one before it."
        if self.database_id and entry.database_id is None:
            return f"Entry {entry.seq} names no database, though an entry before it does."
        return another_database(f"Entry {entry.seq}", self.database_id, entry.database_id or "")


def another_database(what: str, expected: str, found: str) -> str:
    """Return a sentence if something is of another database than expected, "" if not or not known."""
    if not expected or not found or expected == found:
        return ""
    return AnotherDatabaseError(what, expected=expected, found=found).message
