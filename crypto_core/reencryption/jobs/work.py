"""The tokens of one chunk, as the pipeline reads them, and how far it is.

Each batch is one transaction: rows, backups, what can't be written, and the chunk's counts, fenced by its
lease.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from threading import Lock
from uuid import UUID

from sqlalchemy import Connection

from crypto_core.database.tokens.chunks import BatchCounts, Chunk, ChunkStore
from crypto_core.database.tokens.job_tokens import Unwritable, UnwritableStore
from crypto_core.database.tokens.store import StoredToken, TokenScope, TokenStore
from crypto_core.reencryption.bulk.batch_sink import calls_of
from crypto_core.reencryption.bulk.ports import Poison, Sealed
from crypto_core.reencryption.endurance import Endurance
from crypto_core.values.references import TokenRef

PAGE = 500

Written = Callable[[Connection, Sequence[TokenRef]], None]


class ChunkLedger:
    """BatchLedger of a chunk: which of its tokens are handed out and not finished, and what is counted.

    Shared by a chunk's pages and its sink, each in a thread of its own. A chunk that is claimed again goes on
    behind its position: the last id up to which all are finished.
    """

    def __init__(
        self, chunks: ChunkStore, unwritable: UnwritableStore, chunk: Chunk, note: Written | None = None
    ) -> None:
        """`note` is called in each transaction that writes tokens, at its end."""
        self._chunks, self._unwritable, self._chunk, self._note = chunks, unwritable, chunk, note
        self._order: deque[str] = deque()
        self._settled: set[str] = set()
        self._counted = BatchCounts()
        self._position: str | None = None
        self._lock = Lock()
        self._known = chunk.counted
        """What is counted of the chunk, as far as we have heard."""
        self._tried = BatchCounts()
        """What the last transaction that reached its end was to write down of `counted`."""
        self._added = BatchCounts()
        """What it was to add to the chunk's counts."""

    def hand_out(self, ids: Iterable[str]) -> None:
        """Tell which ids follow, in the order of the chunk."""
        with self._lock:
            self._order.extend(ids)

    def settle(self, refs: Iterable[TokenRef]) -> None:
        self.settle_ids(ref.identity for ref in refs)

    def settle_ids(self, ids: Iterable[str]) -> None:
        with self._lock:
            self._settled.update(ids)
            while self._order and self._order[0] in self._settled:
                self._position = self._order.popleft()
                self._settled.discard(self._position)

    def position(self, ids: Collection[str] = ()) -> str | None:
        """Return the position that there would be if `ids` were finished as well."""
        with self._lock:
            last = self._position
            for row_id in self._order:
                if row_id not in self._settled and row_id not in ids:
                    break
                last = row_id
            return last

    def count(self, *, changed: int = 0, conflicts: int = 0, kms_calls: int = 0) -> None:
        """Count what is written down with the next batch."""
        with self._lock:
            self._counted += BatchCounts(changed=changed, conflicts=conflicts, kms_calls=kms_calls)

    def counted(self) -> BatchCounts:
        with self._lock:
            return self._counted

    def begin(self, connection: Connection, refused: list[Poison]) -> None:
        """Find out whether an earlier try was committed, whose answer was lost. Raises LeaseLostError."""
        known = self._chunks.counted(connection, self._chunk)
        if known != self._known:
            self._write_down(self._tried)
            self._known, self._tried = known, BatchCounts()
            refused.clear()

    def record(self, connection: Connection, written: Sequence[Sealed], refused: Sequence[Poison]) -> None:
        """Write down the counts, the position and the reasons. Raises LeaseLostError."""
        told = self._tried = self.counted()
        calls = told.kms_calls + calls_of(written, refused)
        self._added = replace(told, done=len(written), poisoned=len(refused), kms_calls=calls)
        position = self.position(_finished(written, refused))
        self._chunks.count_batch(connection, self._chunk, position, self._added)
        reasons = [Unwritable(p.token.ref, p.kind, p.reason) for p in refused]
        self._unwritable.note(connection, self._chunk.job_id, reasons)
        if self._note is not None and written:
            self._note(connection, [one.replacement.old.ref for one in written])

    def committed(self, written: Sequence[Sealed], refused: Sequence[Poison]) -> None:
        self._known += self._added
        self._write_down(self._tried)
        self.settle_ids(_finished(written, refused))

    def _write_down(self, counted: BatchCounts) -> None:
        with self._lock:
            self._counted -= counted


def _finished(written: Sequence[Sealed], refused: Sequence[Poison]) -> set[str]:
    tokens = (*(one.replacement.old for one in written), *(one.token for one in refused))
    return {token.ref.identity for token in tokens}


@dataclass(eq=False, repr=False)
class ChunkPages:
    """TokenPages of a chunk: what is in its range, or on its list, and still in the job's scope."""

    store: TokenStore
    unwritable: UnwritableStore
    run_id: UUID
    scope: TokenScope
    chunk: Chunk
    ledger: ChunkLedger
    endure: Endurance

    def __post_init__(self) -> None:
        chunk = self.chunk
        self._after = chunk.position if chunk.position is not None else chunk.after_id
        self._listed = _behind(chunk.row_ids, chunk.position) if chunk.row_ids is not None else None
        self._ended = False

    def next(self) -> Sequence[StoredToken]:
        while not self._ended:
            found = self.endure(self._read)
            left = self._left(found)
            if left:
                return left
        return []

    def again(self, tokens: Sequence[StoredToken]) -> Sequence[StoredToken]:
        ids = [t.ref.identity for t in tokens]
        return self._there(ids, self.endure(lambda: self.store.among(self.scope, self.chunk.column, ids)))

    def _there(self, ids: Sequence[str], found: list[StoredToken]) -> list[StoredToken]:
        """Count what has left the scope as changed."""
        self.ledger.settle_ids(gone := set(ids) - {t.ref.identity for t in found})
        self.ledger.count(changed=len(gone))
        return found

    def _read(self) -> list[StoredToken]:
        column = self.chunk.column
        if self._listed is not None:
            ids, rest = self._listed[:PAGE], self._listed[PAGE:]
            found = self.store.among(self.scope, column, ids)
            self._listed, self._ended = rest, not rest
            self.ledger.hand_out(ids)
            return self._there(ids, found)
        found = self.store.page(self.scope, column, self._after, self.chunk.upto_id, size=PAGE)
        self.ledger.hand_out(t.ref.identity for t in found)
        if found:
            self._after = found[-1].ref.identity
        self._ended = len(found) < PAGE
        return found

    def _left(self, found: list[StoredToken]) -> list[StoredToken]:
        """Without those that this job is known not to write, or that it had written before the claim."""
        if not found:
            return found
        chunk = self.chunk
        skipped: frozenset[str] = frozenset()
        if chunk.wave > 1:
            ids = [t.ref.identity for t in found]
            skipped = self.endure(lambda: self.unwritable.among(chunk.job_id, chunk.column, ids))
        if chunk.attempt > 1:
            digests = [t.digest for t in found]
            ours = self.endure(lambda: self.store.written_in(self.run_id, digests))
            skipped |= {t.ref.identity for t in found if t.digest in ours}
        self.ledger.settle_ids(skipped)
        return [t for t in found if t.ref.identity not in skipped]


def _behind(ids: list[str], position: str | None) -> list[str]:
    return ids if position is None or position not in ids else ids[ids.index(position) + 1 :]
