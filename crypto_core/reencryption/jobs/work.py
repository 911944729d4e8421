"""The tokens of one chunk, as the pipeline reads and writes them.

Each batch is one transaction: rows, backups, what can't be written, and the chunk's counts, fenced by its
lease. A value that the database refuses is found by halving the batch; what passes is waited out. A row that
another transaction holds for long is given up for now, and so does not hold up the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from time import monotonic, sleep
from uuid import UUID

from sqlalchemy import Connection

from crypto_core.database.tokens.chunks import BatchCounts, Chunk, ChunkStore
from crypto_core.database.tokens.job_tokens import Unwritable, UnwritableStore
from crypto_core.database.tokens.store import StoredToken, TokenScope, TokenStore, digest
from crypto_core.errors import DatabaseError
from crypto_core.reencryption.bulk.ports import Committed, Outcome, Poison, Sealed
from crypto_core.reencryption.bulk.sealing import UNKNOWN_KEY
from crypto_core.reencryption.jobs.batch_size import BatchSize
from crypto_core.reencryption.jobs.in_flight import Outstanding
from crypto_core.reencryption.jobs.transient_retry import Endurance
from crypto_core.references import TokenRef

PAGE = 500
HELD_SECONDS = 1.0
"""How long a batch waits for rows that other transactions hold."""
HELD = "row-held"
REFUSED = "refused-by-database"
CONTRADICTED = "kms-contradicts-itself"
"""KMS refused a token with a key that it names for it when it is asked again."""
PASSING = (HELD, CONTRADICTED)
"""What another try, later, may not meet."""
KEYS_DIFFER = frozenset({"incorrect-key", "untrusted-key", "invalid-ciphertext", UNKNOWN_KEY})
"""Kinds of failures after which KMS is asked which key a token is really under."""
DAMAGED = frozenset({"authentication-failed", "malformed", "unsupported-format", "envelope"})
"""Kinds of failures of a stored envelope that opens under no key."""

Written = Callable[[Connection, frozenset[TokenRef]], None]


@dataclass(frozen=True, slots=True)
class ChunkGround:
    """What a chunk is worked on with. `note` is called in each batch's transaction, at its end.

    `key_asked` gets what can't be written because of its key, and has KMS asked about that: it returns why,
    None for a token that is under another key than the one that is being emptied. `damaged` gets what is
    damaged, to remember it.
    """

    store: TokenStore
    chunks: ChunkStore
    unwritable: UnwritableStore
    run_id: UUID
    verb: str
    scope: TokenScope
    endure: Endurance
    key_asked: Callable[[Poison], Poison | None]
    damaged: Callable[[Sequence[Poison]], None]
    size: BatchSize = field(default_factory=BatchSize)
    note: Written | None = None


class ChunkPages:
    """TokenPages of a chunk: what is in its range, or on its list, and still in the job's scope."""

    def __init__(self, ground: ChunkGround, chunk: Chunk, outstanding: Outstanding) -> None:
        self._ground = ground
        self._chunk = chunk
        self._outstanding = outstanding
        self._after = chunk.position if chunk.position is not None else chunk.after_id
        self._listed = _behind(chunk.row_ids, chunk.position) if chunk.row_ids is not None else None
        self._ended = False

    def next(self) -> Sequence[StoredToken]:
        """Return some tokens, none at the end. Raises DatabaseError."""
        while not self._ended:
            found = self._ground.endure(self._read)
            left = self._left(found)
            if left:
                return left
        return []

    def again(self, tokens: Sequence[StoredToken]) -> Sequence[StoredToken]:
        """Return those tokens, read anew, that are still to be written. Raises DatabaseError."""
        ids = [t.ref.identity for t in tokens]
        ground = self._ground
        found = ground.endure(lambda: ground.store.among(ground.scope, self._chunk.column, ids))
        self._outstanding.settle(gone := set(ids) - {t.ref.identity for t in found})
        self._outstanding.count(changed=len(gone))
        return found

    def _read(self) -> list[StoredToken]:
        ground, column = self._ground, self._chunk.column
        if self._listed is not None:
            ids, rest = self._listed[:PAGE], self._listed[PAGE:]
            found = ground.store.among(ground.scope, column, ids)
            self._listed, self._ended = rest, not rest
            self._outstanding.hand_out(ids)
            self._outstanding.settle(gone := set(ids) - {t.ref.identity for t in found})
            self._outstanding.count(changed=len(gone))
            return found
        upto = self._chunk.upto_id
        found = ground.store.page(ground.scope, column, self._after, upto, size=PAGE)
        self._outstanding.hand_out(t.ref.identity for t in found)
        if found:
            self._after = found[-1].ref.identity
        self._ended = len(found) < PAGE
        return found

    def _left(self, found: list[StoredToken]) -> list[StoredToken]:
        """Without those that this job is known not to write, or that it had written before the claim."""
        if not found:
            return found
        ground, chunk = self._ground, self._chunk
        skipped: frozenset[str] = frozenset()
        if chunk.wave > 1:
            ids = [t.ref.identity for t in found]
            skipped = ground.endure(lambda: ground.unwritable.among(chunk.job_id, chunk.column, ids))
        if chunk.attempt > 1:
            digests = [t.digest for t in found]
            ours = ground.endure(lambda: ground.store.written_in(ground.run_id, digests))
            skipped |= {t.ref.identity for t in found if t.digest in ours}
        self._outstanding.settle(skipped)
        return [t for t in found if t.ref.identity not in skipped]


class ChunkSink:
    """TokenSink of a chunk."""

    def __init__(self, ground: ChunkGround, chunk: Chunk, outstanding: Outstanding) -> None:
        self._ground = ground
        self._chunk = chunk
        self._outstanding = outstanding
        self._known = chunk.counted
        """What is counted of the chunk, as far as we have heard."""
        self._tried = BatchCounts()
        """What the last transaction that reached its end was to write down of `outstanding`."""
        self.written = 0
        """Tokens written through this sink."""

    def commit(self, batch: Sequence[Outcome]) -> Committed:
        """Write a batch. Raises LeaseLostError, or DatabaseError for what lasts."""
        sealed = [outcome for outcome in batch if isinstance(outcome, Sealed)]
        refused = self._give_up([outcome for outcome in batch if isinstance(outcome, Poison)])
        poison: list[Poison] = []
        written = 0
        changed: list[StoredToken] = []
        until = monotonic() + HELD_SECONDS
        while sealed or refused:
            done, by_row = self._write(sealed, refused)
            written += len(done)
            poison += by_row
            settled = done | {p.token.ref for p in by_row}
            others, sealed = self._held([s for s in sealed if s.replacement.old.ref not in settled])
            changed += others
            refused = by_row
            if sealed and not by_row:
                if monotonic() > until:
                    reason = "Another transaction holds the row."
                    refused = [Poison(s.replacement.old, HELD, reason, s.kms_calls) for s in sealed]
                    poison += refused
                    sealed = []
                else:
                    sleep(0.05)
        self._outstanding.count(conflicts=len(changed))
        self.written += written
        return Committed(written, tuple(changed), tuple(poison))

    def _give_up(self, poison: Sequence[Poison]) -> list[Poison]:
        """What really can't be written: a token that is under another key is no longer ours to write.

        What KMS says now to be under the key after all is tried again later.
        """
        ground, kept = self._ground, list[Poison]()
        damaged = [one for one in poison if one.kind in DAMAGED and one.token.format.protected]
        ground.endure(partial(ground.damaged, damaged))
        for one in poison:
            asked = one.kind in KEYS_DIFFER
            told = ground.endure(partial(ground.key_asked, one)) if asked else one
            if told is None:
                self._outstanding.settle([one.token.ref.identity])
                self._outstanding.count(changed=1, kms_calls=one.kms_calls)
            else:
                kept.append(told)
        return kept

    def _write(
        self, sealed: Sequence[Sealed], refused: Sequence[Poison]
    ) -> tuple[frozenset[TokenRef], list[Poison]]:
        """Write what can be written; returns that, and what the database refuses because of its value."""
        if len(sealed) > self._ground.size.tokens:
            return self._apart(self._in_sizes(sealed, refused))
        untold = list(refused)
        try:
            return self._ground.endure(lambda: self._transaction(sealed, refused, untold)), []
        except DatabaseError as error:
            if not error.by_the_row or not sealed:
                raise
            if len(sealed) == 1 and not refused:
                one = sealed[0]
                return frozenset(), [Poison(one.replacement.old, REFUSED, error.message, one.kms_calls)]
        half = len(sealed) // 2
        # What is refused already goes first, and alone: it must not be halved with the rest.
        parts = [(sealed[:half], ()), (sealed[half:], ())] if not refused else [((), refused), (sealed, ())]
        return self._apart(parts)

    def _in_sizes(
        self, sealed: Sequence[Sealed], refused: Sequence[Poison]
    ) -> Iterator[tuple[Sequence[Sealed], Sequence[Poison]]]:
        """Parts of a batch, each as large as fits once those before it are written."""
        first = 0
        while first < len(sealed):
            size = self._ground.size.tokens
            yield sealed[first : first + size], () if first else refused
            first += size

    def _apart(
        self, parts: Iterable[tuple[Sequence[Sealed], Sequence[Poison]]]
    ) -> tuple[frozenset[TokenRef], list[Poison]]:
        """Write parts of a batch, a transaction each."""
        written: set[TokenRef] = set()
        by_row: list[Poison] = []
        for some, told in parts:
            if some or told:
                done, more = self._write(some, told)
                written |= done
                by_row += more
        return frozenset(written), by_row

    def _transaction(
        self, sealed: Sequence[Sealed], refused: Sequence[Poison], untold: list[Poison]
    ) -> frozenset[TokenRef]:
        """Write and count. `untold` are those of `refused` that are not known to be counted yet."""
        ground, chunk, outstanding = self._ground, self._chunk, self._outstanding
        calls = {s.replacement.old.ref: s.kms_calls for s in sealed}
        told_before = counted = BatchCounts()
        began = locks_at = counted_at = monotonic()

        def before(connection: Connection) -> None:
            nonlocal began, locks_at
            began = monotonic()
            known = ground.chunks.counted(connection, chunk)
            if known != self._known:
                # An earlier try was committed, and its answer was lost.
                outstanding.written_down(self._tried)
                self._known, self._tried = known, BatchCounts()
                untold.clear()
            locks_at = monotonic()

        def within(connection: Connection, written: frozenset[TokenRef]) -> None:
            nonlocal told_before, counted, counted_at
            told_before = self._tried = outstanding.counted()
            settled = {ref.identity for ref in written} | {p.token.ref.identity for p in refused}
            asked = sum(calls[ref] for ref in written) + sum(p.kms_calls for p in untold)
            counted = replace(
                told_before, done=len(written), poisoned=len(untold), kms_calls=told_before.kms_calls + asked
            )
            ground.chunks.count_batch(connection, chunk, outstanding.position(settled), counted)
            told = [Unwritable(p.token.ref, p.kind, p.reason) for p in untold]
            ground.unwritable.note(connection, chunk.job_id, told)
            if ground.note is not None and written:
                ground.note(connection, written)
            counted_at = monotonic()

        replacements = [s.replacement for s in sealed]
        written = ground.store.write_tokens(
            ground.run_id, ground.verb, replacements, before=before, within=within, wait=False
        )
        one_statement = locks_at - began
        # Rows are free once it is committed; what is read again after that holds none.
        held = counted_at + one_statement - locks_at
        ground.size.took(len(sealed), held, one_statement=one_statement)
        self._known += counted
        outstanding.written_down(told_before)
        outstanding.settle({ref.identity for ref in written} | {p.token.ref.identity for p in refused})
        return written

    def _held(self, missing: Sequence[Sealed]) -> tuple[list[StoredToken], list[Sealed]]:
        """Tell apart what was not written: changed by somebody else, and unchanged, as its row was locked.

        What is ours by now was written by a transaction whose end we did not hear of, and counted there.
        """
        if not missing:
            return [], []
        ground = self._ground
        refs = [s.replacement.old.ref for s in missing]
        now = {t.ref: t for t in ground.endure(lambda: ground.store.read_many(refs))}
        changed: list[StoredToken] = []
        held: list[Sealed] = []
        for one in missing:
            old = one.replacement.old
            token = now.get(old.ref)
            if token is not None and token.digest == old.digest:
                held.append(one)
            elif token is not None and token.digest == digest(one.replacement.stored):
                self._outstanding.settle([old.ref.identity])
            else:
                self._outstanding.count(kms_calls=one.kms_calls)
                changed.append(old)
        return changed, held


def _behind(ids: list[str], position: str | None) -> list[str]:
    return ids if position is None or position not in ids else ids[ids.index(position) + 1 :]
