"""What came of the tokens of a run, in memory; every batch that is written goes into the journal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Event, Lock
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from crypto_core.database.connection.transactions import LOCK_TIMEOUT_SECONDS
from crypto_core.database.state.journal import Journal
from crypto_core.database.tokens.attribution import Attributor, answer_about
from crypto_core.database.tokens.attribution_cache import AttributionCache
from crypto_core.database.tokens.chunks import BatchCounts
from crypto_core.guard.guarded_change import Outcome
from crypto_core.reencryption.bulk.batch_sink import BatchSink, calls_of
from crypto_core.reencryption.bulk.ports import Poison, Sealed, TokenTask
from crypto_core.reencryption.endurance import Endurance
from crypto_core.reencryption.plan import Unwritten
from crypto_core.values.references import TokenRef


@dataclass(eq=False, repr=False)
class RunLedger:
    """BatchLedger of a run. Thread-safe."""

    answers: AttributionCache
    journal: Journal
    action: str
    detail: Mapping[str, Any]
    """What every entry holds besides the references."""
    same_database: bool
    """True if the journal is in the tokens' own database: its entries commit together with what they tell."""
    heard: Callable[[], None]
    """Called after every batch."""
    counts: BatchCounts = field(default_factory=BatchCounts, init=False)
    left: dict[TokenRef, Poison] = field(default_factory=dict, init=False)
    """Tokens that can't be written."""
    _lock: Lock = field(default_factory=Lock, init=False)

    def __post_init__(self) -> None:
        # AWS may take its whole time limit to say who acts: never while rows are locked.
        self._actor = self.journal.actor()

    @property
    def unwritten(self) -> tuple[Unwritten, ...]:
        return tuple(Unwritten(str(ref), one.reason) for ref, one in sorted(self.left.items()))

    def count(self, **counts: int) -> None:
        with self._lock:
            self.counts += BatchCounts(**counts)

    def settle(self, refs: Iterable[TokenRef]) -> None:
        """Nothing: a run begins again with all that is left."""

    def begin(self, connection: Connection, refused: list[Poison]) -> None:
        """Nothing: a run ends where a transaction's answer is lost."""

    def record(self, connection: Connection, written: Sequence[Sealed], refused: Sequence[Poison]) -> None:
        """Journal what is written, in its own transaction where that is possible."""
        if self.same_database:
            self._journal(written, connection)

    def committed(self, written: Sequence[Sealed], refused: Sequence[Poison]) -> None:
        """Count, and remember the keys of the new envelopes."""
        self.left |= {one.token.ref: one for one in refused}
        self.count(done=len(written), poisoned=len(refused), kms_calls=calls_of(written, refused))
        if not self.same_database:
            self._journal(written, None)
        new = ((one.replacement.stored, one.wrapped_by) for one in written)
        self.answers.remember(answer_about(stored, key) for stored, key in new if key is not None)
        self.heard()

    def _journal(self, written: Sequence[Sealed], connection: Connection | None) -> None:
        if not written:
            return
        references = sorted(str(one.replacement.old.ref) for one in written)
        subject = references[0] if len(references) == 1 else f"{len(references)} tokens"
        detail = {**self.detail, "references": references}
        self.journal.record(self.action, subject, Outcome.DONE, detail, within=connection, actor=self._actor)


def run_sink(
    attributor: Attributor, order: TokenTask, run_id: UUID, verb: str, ledger: RunLedger, stop: Event
) -> BatchSink:
    """Return the sink of a run: it waits for rows, and for nothing else."""
    impatient = Endurance(stop, patience_seconds=0)
    return BatchSink(attributor, order, run_id, verb, ledger, impatient, held_seconds=LOCK_TIMEOUT_SECONDS)
