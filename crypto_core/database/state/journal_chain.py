"""Follows the journal's entries one by one, and says what is wrong with each.

Found is every change of any field, a gap, another order, a row too many; and that the newest are gone, by the
row that keeps the last one's number. Not found is what changed that row as well: the newest are gone, or
everything from some entry on was made anew. Only checkpoints know that.
"""

from __future__ import annotations

from crypto_core.database.state.journal_entry import FIRST, JournalEntry


class Chain:
    """The chain as far as it has been followed. Give it the entries by ascending number."""

    def __init__(self, *, after: int = 0) -> None:
        """`after` is the number before the first entry that is given; its digest is taken as it is told."""
        self.entries = 0
        self.last: JournalEntry | None = None
        self._seq = after
        self._digest: bytes | None = FIRST if after == 0 else None

    def follow(self, entry: JournalEntry) -> str:
        """Take the next entry; return one sentence saying what is wrong with it, "" if nothing is."""
        wrong = self._wrong(entry)
        self.entries += 1
        self.last, self._seq, self._digest = entry, entry.seq, entry.digest
        return wrong

    def end(self, written: tuple[int, bytes] | None) -> str:
        """Return what is wrong with the chain's end, "" if nothing is, once all entries were followed.

        `written` are number and digest of the entry that was written last, None where that is not known.
        """
        if written is None:
            return "The number of the entry written last is gone."
        last = (self.last.seq, self.last.digest) if self.last else (0, FIRST)
        if last == written:
            return ""
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
        return ""
