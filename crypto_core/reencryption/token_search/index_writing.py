"""Makes entries of the index of tokens while envelopes are opened."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from threading import Lock
from time import monotonic

from sqlalchemy import Engine

from crypto_core.database.connection.engine import connected
from crypto_core.database.tokens.fingerprints import Fingerprint, note_entries
from crypto_core.database.tokens.store import StoredToken
from crypto_core.reencryption.bulk.ports import Opened
from crypto_core.reencryption.plan import RunProgress
from crypto_core.reencryption.token_search.fingerprinter import Fingerprinter
from crypto_core.references import TokenRef
from crypto_core.secret import Secret


@dataclass(slots=True)
class IndexWriting:
    engine: Engine
    maker: Fingerprinter
    total: int
    progress: Callable[[RunProgress], None] | None
    noted: int = 0
    unopened: int = 0
    started: float = field(default_factory=monotonic)
    lock: Lock = field(default_factory=Lock)
    made: dict[TokenRef, Fingerprint] = field(default_factory=dict)

    def look_at(self, stored: StoredToken, token: Secret) -> None:
        entry = self.maker.entry(stored.ref, stored.digest, self.maker.of_token(token))
        with self.lock:
            self.made[stored.ref] = entry

    def hear(self, found: Sequence[Opened]) -> None:
        opened = [one.verification.ref for one in found if one.verification.opened]
        with self.lock:
            entries = [self.made.pop(ref) for ref in opened if ref in self.made]
        with connected(self.engine, write=True) as connection:
            note_entries(connection, self.maker.number, entries)
        self.noted += len(entries)
        self.unopened += len(found) - len(opened)
        if self.progress is not None:
            seconds = monotonic() - self.started
            self.progress(RunProgress(self.total, self.noted, self.unopened, 0, seconds))
