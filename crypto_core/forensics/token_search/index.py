"""The index of tokens: filled by opening what it does not know yet, asked without opening anything, dropped.

It is an opt-in. What it says rests on entries that only who may have KMS unwrap its key can make; what it
does not know is opened by the search.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass, field, replace
from threading import Event, Lock
from time import monotonic

from sqlalchemy import Connection, Engine

from crypto_core.database.connection.engine import connected
from crypto_core.database.state.installation import require_schemas
from crypto_core.database.tokens.catalogue import LiveCatalogue
from crypto_core.database.tokens.fingerprints import (
    Carrier,
    Fingerprint,
    FingerprintTable,
    OutsideRows,
    note_entries,
)
from crypto_core.database.tokens.store import StoredToken, TokenScope, TokenStore
from crypto_core.database.tokens.tables import TokenColumn
from crypto_core.database.tokens.token_source import token_source
from crypto_core.envelope import ENVELOPE_FORMATS
from crypto_core.forensics.token_search.fingerprinter import Fingerprinter, make_key, open_key
from crypto_core.forensics.token_search.index_plan import (
    BUILD,
    DROP,
    NOT_INDEXED,
    IndexFilling,
    IndexPlan,
    IndexStatus,
    SharedToken,
)
from crypto_core.guard.approvals import ApprovalGate
from crypto_core.guard.consent import Consent
from crypto_core.guard.guard import Guard
from crypto_core.guard.guarded_change import Ended, GuardedChange, Outcome, Recorder, Run
from crypto_core.keyring.kms_keyring import KmsKeyring
from crypto_core.reencryption.bulk.ports import Opened
from crypto_core.reencryption.plan import RunProgress
from crypto_core.reencryption.verification import Verifier
from crypto_core.values.cancellation import stop_if
from crypto_core.values.counts import counted
from crypto_core.values.errors import DatabaseError, KeydeckError, RefusedError
from crypto_core.values.references import TokenRef
from crypto_core.values.secret import Secret


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


_log = logging.getLogger(__name__)
_SEALED = TokenScope(frozenset(ENVELOPE_FORMATS))
_MOST_SHARED = 1_000
_MOST_ASKED = 5_000
OFF = "the setting token_index is off"


@dataclass(eq=False, repr=False)
class TokenIndex:
    """The index of one database. Blocks on SQL and KMS: call it from a worker."""

    engine: Engine
    catalogue: LiveCatalogue
    store: TokenStore
    keyring: KmsKeyring
    verifier: Verifier
    journal: Recorder
    _: KW_ONLY
    journal_engine: Engine
    on: bool
    """Whether the settings switch it on; else nothing asks or fills it."""
    read_only: bool
    approvals: ApprovalGate | None = None

    def __post_init__(self) -> None:
        ready = require_schemas(self.engine, self.journal_engine)
        self.guard = Guard(self.journal, read_only=self.read_only, ready=ready, approvals=self.approvals)
        self.table = FingerprintTable(self.engine, self.catalogue)
        self._held: Fingerprinter | None = None
        self._lock = Lock()

    @contextmanager
    def opened(self) -> Iterator[tuple[Fingerprinter | None, str]]:
        """Give what asks the index, for the block (one KMS call); or None, and why it can't be asked.

        Nothing is wrong where it is off or empty: then the reason is "".
        """
        try:
            kept = self.table.key() if self.on and self.table.may("SELECT") else None
            asking = None if kept is None else open_key(kept, self.keyring)
        except KeydeckError as error:
            yield None, f"The index of tokens was not used: {error.message}"
            return
        if asking is None:
            yield None, ""
            return
        with asking:
            yield asking, ""

    def entries(self, asking: Fingerprinter, fingerprints: Sequence[bytes]) -> list[Fingerprint]:
        """Return the entries with some fingerprints that were made under the index's key."""
        return [one for one in self.table.of_tokens(asking.number, fingerprints) if asking.made(one)]

    def held(self, entries: Sequence[Fingerprint]) -> set[tuple[TokenRef, bytes]]:
        """Return the references and digests of those whose row holds the envelope that they are about."""
        known = {TokenColumn(t.name, column) for t in self.catalogue().tables for column in t.token_columns}
        there = {one.ref for one in entries if TokenColumn(one.ref.table, one.ref.column) in known}
        stored = self.store.read_many(there)
        return {(t.ref, t.digest) for t in stored} & {(one.ref, one.digest) for one in entries}

    def foreign_entries(self, asking: Fingerprinter, cancelled: Event | None) -> int:
        """Return how many entries were not made under the index's key. Raises InterruptedRunError."""
        found = 0
        for page in self.table.pages(asking.number):
            stop_if(cancelled)
            found += sum(not asking.made(one) for one in page)
        return found

    def status(self, *, cancelled: Event | None = None) -> IndexStatus:
        """Return how the index stands. Raises DatabaseError, InterruptedRunError."""
        envelopes = self.store.count(_SEALED, cancelled=cancelled).total()
        key = self.table.key() if self.table.may("SELECT") else None
        why_off = "" if self.on else OFF
        if key is None:
            return IndexStatus(why_off or "it was never filled", "", None, 0, envelopes, 0, 0)
        unknown = self.store.count(replace(_SEALED, unindexed=key.number), cancelled=cancelled).total()
        shared = len(self.shared_tokens(limit=_MOST_SHARED))
        entries = self.table.count(key.number)
        return IndexStatus(why_off, key.key_arn, key.made_at, entries, envelopes, envelopes - unknown, shared)

    def shared_tokens(self, *, limit: int) -> tuple[SharedToken, ...]:
        """Return which rows hold the same token, as far as the index knows. No token is opened."""
        key = self.table.key() if self.table.may("SELECT") else None
        groups = [] if key is None else self.table.shared(key.number, limit)
        held = self.held([entry for group in groups for entry in group])
        rows = (tuple(sorted({e.ref for e in group if (e.ref, e.digest) in held})) for group in groups)
        return tuple(SharedToken(refs) for refs in rows if len(refs) > 1)

    def sharing(self, ref: TokenRef) -> tuple[TokenRef, ...] | None:
        """Return the other rows that hold a row's token; None where the index does not know the row.

        Opens nothing. Raises DatabaseError.
        """
        if not self.on or not self.table.may("SELECT"):
            return None
        key, stored = self.table.key(), self.store.read_many([ref])
        if key is None or not stored:
            return None
        with connected(self.engine) as connection:
            own = self.table.of_values(connection, key.number, [(t.ref, t.digest) for t in stored])
        if not own:
            return None
        alike = self.held(self.table.of_tokens(key.number, [own[0].fingerprint]))
        return tuple(sorted({other for other, _ in alike} - {own[0].ref}))

    def outside(self, refs: Sequence[TokenRef], cancelled: Event | None = None) -> OutsideRows:
        """Return the rows outside of some that hold one of their tokens. Opens nothing.

        Raises DatabaseError, InterruptedRunError.
        """
        key = self.table.key() if self.on and self.table.may("SELECT") else None
        if key is None:
            return NOT_INDEXED
        found: set[TokenRef] = set()
        silent = 0
        for at in range(0, len(refs), _MOST_ASKED):
            stop_if(cancelled)
            stored = self.store.read_many(refs[at : at + _MOST_ASKED])
            with connected(self.engine) as connection:
                own = self.table.of_values(connection, key.number, [(t.ref, t.digest) for t in stored])
            silent += len(stored) - len(own)
            alike = self.table.of_tokens(key.number, [one.fingerprint for one in own])
            found |= {ref for ref, _ in self.held(alike)}
        others = self.store.count(replace(_SEALED, unindexed=key.number), cancelled=cancelled).total()
        unknown = f"{counted(silent, 'token')} in scope and {counted(others, 'envelope')} in all"
        gap = f"Not known to the index: {unknown}. One of them may hold a token in scope." if others else ""
        return OutsideRows(tuple(sorted(found - set(refs))), gap)

    def plan_build(self, limit: int | None = None) -> IndexPlan:
        """Return how many envelopes are to be opened, at most `limit`; journaled as a dry run.

        Raises RefusedError where the index is off, DatabaseError, SettingsError without a key to write under.
        """
        return self.guard.plan(BUILD, _SUBJECT, lambda: self._planned(limit), IndexPlan.as_json)

    def build(
        self,
        plan: IndexPlan,
        consent: Consent | None,
        *,
        progress: Callable[[RunProgress], None] | None = None,
        cancelled: Event | None = None,
    ) -> IndexFilling:
        """Open what the index does not know, and note it; forget what is stale. Goes on where it ended.

        Raises ReadOnlyError, MissingSchemaError, NotConfirmedError, RefusedError, KmsError, DatabaseError.
        """

        def act(run: Run) -> IndexFilling:
            run.begin(plan.as_json())
            kept = self.table.key()
            maker = make_key(self.table, self.keyring) if kept is None else open_key(kept, self.keyring)
            with maker:
                writing = IndexWriting(self.engine, maker, plan.envelopes, progress)
                pages = self._unknown(maker.number, plan.envelopes)
                self.verifier.open_tokens(pages, writing.hear, look_at=writing.look_at, cancelled=cancelled)
            interrupted = cancelled is not None and cancelled.is_set()
            return IndexFilling(
                writing.noted,
                writing.unopened,
                0 if interrupted else self._forget_stale(maker.number),
                interrupted,
            )

        change = self._change(BUILD, plan)
        filled, _ = self.guard.run(
            change, consent, act, lambda _, done: Ended(done, Outcome.DONE, done.as_json())
        )
        return filled

    def plan_drop(self) -> IndexPlan:
        """Return how many entries would be forgotten; journaled as a dry run. Raises DatabaseError."""
        return self.guard.plan(DROP, _SUBJECT, self._planned_drop, IndexPlan.as_json)

    def drop(self, plan: IndexPlan, consent: Consent | None) -> int:
        """Forget every entry and the key; returns how many entries there were.

        Raises ReadOnlyError, MissingSchemaError, NotConfirmedError, DatabaseError.
        """

        def act(run: Run) -> int:
            run.begin(plan.as_json())
            return self.table.forget_all()

        def read_back(_: Run, dropped: int) -> Ended[int]:
            if self.table.key() is not None:
                raise DatabaseError("The index's key is still there.")
            return Ended(dropped, Outcome.DONE, {"dropped": dropped})

        dropped, _ = self.guard.run(self._change(DROP, plan), consent, act, read_back)
        return dropped

    def carrier(self) -> Carrier | None:
        """Return what keeps the index true when envelopes are replaced; None where there is no index.

        The index's key is held from then on, until `close`. It never fails a write: what it can't keep true
        is opened by the next search.
        """
        with self._lock:
            if self._held is None and self.on:
                try:
                    kept = self.table.key() if self.table.may("INSERT") else None
                    self._held = None if kept is None else open_key(kept, self.keyring)
                except KeydeckError as error:
                    _log.warning("The index of tokens is not kept up: %s", error.message)
            return None if self._held is None else self._carry

    def note_token(self, ref: TokenRef, digest: bytes, token: Secret) -> None:
        """Note a token that was just written as the envelope with this digest. Raises nothing of ours."""
        if self.carrier() is None:
            return
        held = self._held
        assert held is not None  # noqa: S101  # there is a carrier
        entry = held.entry(ref, digest, held.of_token(token))
        try:
            with connected(self.engine, write=True) as connection:
                note_entries(connection, held.number, [entry])
        except DatabaseError as error:
            _log.warning("The index of tokens is not kept up: %s", error.message)

    def close(self) -> None:
        with self._lock:
            if self._held is not None:
                self._held.wipe()
                self._held = None

    def _carry(self, connection: Connection, replaced: Sequence[tuple[TokenRef, bytes, bytes]]) -> None:
        held = self._held
        if held is None:
            return
        after = {(ref, before): digest for ref, before, digest in replaced}
        known = self.table.of_values(connection, held.number, list(after))
        entries = [
            held.entry(one.ref, after[one.ref, one.digest], one.fingerprint)
            for one in known
            if held.made(one) and (one.ref, one.digest) in after
        ]
        note_entries(connection, held.number, entries)

    def _planned(self, limit: int | None) -> IndexPlan:
        if not self.on:
            raise RefusedError(
                f"The index of tokens can't be filled: {OFF}.",
                remedy="Set KEYDECK_TOKEN_INDEX=1, or token_index in the settings file.",
            )
        key = self.table.key()
        scope = _SEALED if key is None else replace(_SEALED, unindexed=key.number)
        unknown = self.store.count(scope).total()
        arn = (self.keyring.write_key or "") if key is None else key.key_arn
        return IndexPlan(BUILD, unknown if limit is None else min(unknown, limit), arn)

    def _planned_drop(self) -> IndexPlan:
        key = self.table.key()
        return IndexPlan(DROP, 0 if key is None else self.table.count(key.number), key.key_arn if key else "")

    def _change(self, action: str, plan: IndexPlan) -> GuardedChange:
        return GuardedChange.of(plan, action, _SUBJECT, still=lambda: None)

    def _unknown(self, number: int, most: int) -> Iterator[list[StoredToken]]:
        pages = self.store.pages(replace(_SEALED, unindexed=number))
        left = most
        for page in pages:
            if some := page[:left]:
                yield some
            left -= len(some)
            if not left:
                return

    def _forget_stale(self, number: int) -> int:
        columns = (
            token_source(table, column) for table in self.catalogue().tables for column in table.token_columns
        )
        return sum(self.table.forget_stale(source, number) for source in columns)


_SUBJECT = "the index of tokens"
