"""Writes batches of new envelopes: each in a transaction, together with what a ledger records of it.

A value that the database refuses is found by halving the batch; what passes is waited out. A row that another
transaction holds for long is given up for now, and so does not hold up the others. A token that its key did
not open is asked about once more, and damage is remembered.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from functools import partial
from statistics import median
from time import monotonic, sleep
from typing import Any, Protocol
from uuid import UUID

from sqlalchemy import Connection

from crypto_core.database.tokens.attribution import Attributor, answer_of_damage
from crypto_core.database.tokens.store import StoredToken, digest
from crypto_core.reencryption.bulk.ports import Outcome, Poison, Sealed, TokenTask
from crypto_core.reencryption.bulk.token_sealer import UNKNOWN_KEY
from crypto_core.reencryption.endurance import Endurance
from crypto_core.values.clean_text import clean
from crypto_core.values.errors import ContradictoryAnswerError, DatabaseError
from crypto_core.values.key_names import same_key
from crypto_core.values.references import TokenRef

MOST, FIRST = 500, 32
LOCKED_SECONDS = 0.08
"""How long a transaction is to hold its rows, so that nobody waits for one of them for twice as long."""
STATEMENTS = 7
"""What a transaction sends while it holds rows: it locks, writes, backs up, reads back, looks for rows of
others, counts, commits."""


class BatchSize:
    """How many tokens a transaction writes: as many as it may hold rows for. For one thread.

    A transaction takes some statements, however few its tokens: to a server that is far away, or from a host
    whose processors are busy, fewer tokens would make nothing shorter, and each of them dearer. What remains
    goes by the token. Both are medians of late: a packet that is lost once says nothing of the next one.
    """

    def __init__(self) -> None:
        self.tokens = FIRST
        self._statements: deque[float] = deque(maxlen=9)
        """Seconds that a statement took which reads one row, waiting for a processor included."""
        self._by_token: deque[float] = deque(maxlen=5)
        """Seconds that a token took beside them."""

    def took(self, tokens: int, seconds: float, *, one_statement: float = 0.0) -> None:
        """Tell for how long a transaction held so many tokens, and what a statement took that reads one row.

        Many tokens that took too long are followed by as many as would have had the time. Of few tokens a
        single transaction says little. While there is time, each is followed by twice as many. Where the
        statements alone take long, tokens may add half of that.
        """
        if not tokens:
            return
        self._statements.append(one_statement)
        waits = STATEMENTS * median(self._statements)
        room = max(LOCKED_SECONDS - waits, LOCKED_SECONDS / 2, waits / 2)
        beside = max(seconds - waits, 1e-6)
        if beside <= room and tokens < self.tokens:
            return
        if beside > room and tokens >= FIRST:
            self._by_token.clear()
        self._by_token.append(beside / tokens)
        self.tokens = max(1, min(MOST, self.tokens * 2, int(room / median(self._by_token))))


HELD_SECONDS = 1.0
"""How long a batch waits for rows that other transactions hold."""
HELD = "row-held"
REFUSED = "refused-by-database"
ALIKE = 16
"""After so many in a row that a table or partition refused as a whole it isn't tried token by token."""
CONTRADICTED = "kms-contradicts-itself"
"""KMS refused a token with a key that it names for it when it is asked again."""
PASSING = (HELD, CONTRADICTED)
"""What another try, later, may not meet."""
KEYS_DIFFER = frozenset({"incorrect-key", "untrusted-key", "invalid-ciphertext", UNKNOWN_KEY})
"""Kinds of failures after which KMS is asked which key a token is really under."""
DAMAGED = frozenset({"authentication-failed", "malformed", "unsupported-format", "envelope"})
"""Kinds of failures of a stored envelope that opens under no key."""


class BatchLedger(Protocol):
    def begin(self, connection: Connection, refused: list[Poison]) -> None:
        """Called in a transaction before any row is locked; empties `refused` if it is recorded already."""

    def record(self, connection: Connection, written: Sequence[Sealed], refused: Sequence[Poison]) -> None:
        """Called in the transaction after everything else, before it commits."""

    def committed(self, written: Sequence[Sealed], refused: Sequence[Poison]) -> None:
        """The transaction is committed; `refused` are also those that had been recorded before."""

    def settle(self, refs: Iterable[TokenRef]) -> None:
        """Some tokens are finished, though nothing was written of them."""

    def count(self, *, changed: int = 0, conflicts: int = 0, kms_calls: int = 0) -> None:
        """Count what came of tokens of which nothing was written."""


@dataclass(slots=True, eq=False, repr=False)
class BatchSink:
    """TokenSink of a run, or of one chunk of a job."""

    attributor: Attributor
    order: TokenTask
    run_id: UUID
    verb: str
    ledger: BatchLedger
    endure: Endurance
    _: KW_ONLY
    size: BatchSize = field(default_factory=BatchSize)
    held_seconds: float = HELD_SECONDS
    written: int = field(default=0, init=False)
    """Tokens written through this sink."""
    _refusals: Counter[tuple[Any, ...]] = field(default_factory=Counter, init=False)
    """Tokens refused since one was last written, by the message and the partition."""

    def commit(self, batch: Sequence[Outcome]) -> Sequence[StoredToken]:
        """Write a batch; return what had changed. Raises LeaseLostError, or DatabaseError for what lasts."""
        sealed = [outcome for outcome in batch if isinstance(outcome, Sealed)]
        refused = self._give_up([outcome for outcome in batch if isinstance(outcome, Poison)])
        changed: list[StoredToken] = []
        until = monotonic() + self.held_seconds
        while sealed or refused:
            done, by_row = self._write(sealed, refused)
            self.written += len(done)
            settled = done | {p.token.ref for p in by_row}
            others, sealed = self._held([s for s in sealed if s.replacement.old.ref not in settled])
            changed += others
            refused = by_row
            if sealed and not by_row:
                if monotonic() > until:
                    reason = "Another transaction holds the row."
                    refused = [Poison(s.replacement.old, HELD, reason, s.kms_calls) for s in sealed]
                    sealed = []
                else:
                    sleep(0.05)
        self.ledger.count(conflicts=len(changed))
        return changed

    def _give_up(self, poison: Sequence[Poison]) -> list[Poison]:
        """What really can't be written: a token that is under another key is no longer ours to write.

        What KMS says now to be under the key after all is tried again later.
        """
        damaged = [one for one in poison if one.kind in DAMAGED and one.token.format.protected]
        if damaged:
            answers = [answer_of_damage(one.token, one.reason) for one in damaged]
            self.endure(partial(self.attributor.answers.remember, answers))
        kept: list[Poison] = []
        for one in poison:
            told = self.endure(partial(self._key_asked, one)) if one.kind in KEYS_DIFFER else one
            if told is None:
                self.ledger.settle([one.token.ref])
                self.ledger.count(changed=1, kms_calls=one.kms_calls)
            else:
                kept.append(told)
        return kept

    def _key_asked(self, poison: Poison) -> Poison | None:
        """Ask KMS which key the token is really under; that is remembered.

        Returns None for another key than the one that is emptied, else the reason, with the key's name where
        it is one that may not be asked. Raises KmsError where KMS fails for now to say so.
        """
        order = self.order
        if order.source is None and poison.kind != UNKNOWN_KEY:
            return poison
        probe = self.attributor.ask_kms([poison.token])[0]
        if probe.failure is not None and probe.failure.transient:
            raise probe.failure
        if isinstance(probe.failure, ContradictoryAnswerError):
            return replace(poison, kind=CONTRADICTED)
        key_arn = probe.answer.key_arn if probe.answer is not None else None
        if key_arn is None:
            return poison
        if order.source is not None:
            return replace(poison, kind=CONTRADICTED) if same_key(key_arn, order.source) else None
        if any(same_key(key_arn, name) for name in order.keyring.trusted):
            return poison
        return replace(poison, reason=f"It is under {key_arn}, which is not trusted.")

    def _write(
        self, sealed: Sequence[Sealed], refused: Sequence[Poison]
    ) -> tuple[frozenset[TokenRef], list[Poison]]:
        """Write what can be written; returns that, and what the database refuses because of its value."""
        if len(sealed) > self.size.tokens:
            return self._apart(self._in_sizes(sealed, refused))
        unrecorded = list(refused)
        try:
            written = self.endure(lambda: self._transaction(sealed, refused, unrecorded))
        except DatabaseError as error:
            if not error.by_the_row or not sealed:
                raise
            refs = [one.replacement.old.ref for one in sealed]
            places = self.endure(partial(self.attributor.store.partitions, refs))
            by_place: dict[tuple[str, str], list[Sealed]] = {}
            for one in sealed:
                by_place.setdefault(places[one.replacement.old.ref], []).append(one)
            about = (error.message, *by_place)
            alike = error.by_the_table and self._refusals[about] >= ALIKE
            if not refused and (len(sealed) == 1 or alike):
                self._refusals[about] += len(sealed)
                return frozenset(), [
                    Poison(s.replacement.old, REFUSED, clean(error, 1_000), s.kms_calls) for s in sealed
                ]
        else:
            if written:
                self._refusals.clear()
            return written, []
        if len(by_place) > 1 and not refused:
            return self._apart((some, ()) for some in by_place.values())
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
            size = self.size.tokens
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
        self, sealed: Sequence[Sealed], refused: Sequence[Poison], unrecorded: list[Poison]
    ) -> frozenset[TokenRef]:
        """Write and record. `unrecorded` are those of `refused` that are not known to be recorded yet."""
        began = locks_at = recorded_at = monotonic()

        def before(connection: Connection) -> None:
            nonlocal began, locks_at
            began = monotonic()
            self.ledger.begin(connection, unrecorded)
            locks_at = monotonic()

        def within(connection: Connection, written: frozenset[TokenRef]) -> None:
            nonlocal recorded_at
            self.ledger.record(connection, _among(sealed, written), unrecorded)
            recorded_at = monotonic()

        replacements = [s.replacement for s in sealed]
        written = self.attributor.store.write_tokens(
            self.run_id, self.verb, replacements, before=before, within=within, wait=False
        )
        one_statement = locks_at - began
        # Rows are free once it is committed; what is read again after that holds none.
        held = recorded_at + one_statement - locks_at
        self.size.took(len(sealed), held, one_statement=one_statement)
        self.ledger.committed(_among(sealed, written), refused)
        return written

    def _held(self, missing: Sequence[Sealed]) -> tuple[list[StoredToken], list[Sealed]]:
        """Tell apart what was not written: changed by somebody else, and unchanged, as its row was locked.

        What is ours by now was written by a transaction whose end we did not hear of, and counted there.
        """
        if not missing:
            return [], []
        refs = [s.replacement.old.ref for s in missing]
        now = {t.ref: t for t in self.endure(lambda: self.attributor.store.read_many(refs))}
        changed: list[StoredToken] = []
        held: list[Sealed] = []
        for one in missing:
            old = one.replacement.old
            token = now.get(old.ref)
            if token is not None and token.digest == old.digest:
                held.append(one)
            elif token is not None and token.digest == digest(one.replacement.stored):
                self.ledger.settle([old.ref])
            else:
                self.ledger.count(kms_calls=one.kms_calls)
                changed.append(old)
        return changed, held


def calls_of(written: Sequence[Sealed], refused: Sequence[Poison]) -> int:
    return sum(one.kms_calls for one in written) + sum(one.kms_calls for one in refused)


def _among(sealed: Sequence[Sealed], refs: frozenset[TokenRef]) -> list[Sealed]:
    return [one for one in sealed if one.replacement.old.ref in refs]
