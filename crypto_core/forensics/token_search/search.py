"""Finds the rows that hold a token: the stored tokens are opened at bulk speed and compared, and wiped.

The columns whose tokens are of the issuer that a token's beginning names come first. Where that finds every
token, the others are left out, and the result names them; where it does not, they are looked at as well. An
envelope whose ciphertext says that its token is of another length is not opened. Envelopes that Keydeck had
replaced and keeps are opened too, and told as what a row held earlier.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from hmac import compare_digest
from threading import Event, Lock
from time import monotonic

from crypto_core.database.tokens.backups import replaced_values, replaced_when
from crypto_core.database.tokens.catalogue import Catalogue, LiveCatalogue
from crypto_core.database.tokens.store import StoredToken, TokenScope, TokenStore
from crypto_core.database.tokens.tables import TokenColumn
from crypto_core.database.tokens.value_opener import ValueOpener
from crypto_core.envelope import TOKENS_OF, Format
from crypto_core.forensics.token_search.fingerprinter import Fingerprinter
from crypto_core.forensics.token_search.index import TokenIndex
from crypto_core.forensics.token_search.leak_reader import leaked_tokens
from crypto_core.forensics.token_search.result import (
    AskedToken,
    DecoyRow,
    OldValue,
    TokenSearchResult,
    UnopenedToken,
)
from crypto_core.forensics.token_search.target_tokens import (
    TokenMatcher,
    WantedToken,
    hashes_of,
    lengths_of,
    wipe,
)
from crypto_core.incidents.model import FoundScope
from crypto_core.reencryption.bulk.ports import Opened
from crypto_core.reencryption.bulk.token_opener import NOT_AN_ENVELOPE
from crypto_core.reencryption.plan import RunProgress
from crypto_core.reencryption.verification import Verifier
from crypto_core.values.cancellation import stop_if
from crypto_core.values.counts import counted
from crypto_core.values.errors import MissingGrantError, MissingSchemaError
from crypto_core.values.references import TokenRef
from crypto_core.values.secret import Secret

EXAMPLES = 20
"""Values that could not be compared and are named."""


@dataclass(slots=True)
class FoundRows:
    """What is found so far.

    One thread reads and compares what is no envelope while another one is told what opened. `values` are the
    stored values that hold a token, with its number.
    """

    matcher: TokenMatcher
    progress: Callable[[RunProgress], None] | None
    rows: dict[int, set[TokenRef]]
    values: list[tuple[int, TokenRef, bytes]] = field(default_factory=list)
    total: int = 0
    compared: int = 0
    unopened: int = 0
    examples: list[UnopenedToken] = field(default_factory=list)
    started: float = field(default_factory=monotonic)
    moments: Mapping[tuple[TokenRef, bytes], datetime] = field(default_factory=dict)
    lock: Lock = field(default_factory=Lock)

    def apart(self) -> FoundRows:
        """For other values of the same rows: nothing is found of them yet, and no progress is told."""
        return FoundRows(self.matcher, None, {number: set() for number in self.rows})

    def look_at(self, stored: StoredToken, token: Secret) -> bool:
        """Note it if a token is one of those wanted; returns whether it is."""
        numbers = self.matcher.numbers(token)
        with self.lock:
            for number in numbers:
                self.rows[number].add(stored.ref)
                self.values.append((number, stored.ref, stored.digest))
        return bool(numbers)

    def replaced(self) -> dict[int, tuple[OldValue, ...]]:
        """The values as replaced ones, by the number of their token, but for rows that hold it still."""
        old: dict[int, set[OldValue]] = {}
        for number, ref, digest in self.values:
            if ref not in self.rows[number] and (ref, digest) in self.moments:
                old.setdefault(number, set()).add(OldValue(ref, self.moments[ref, digest]))
        return {n: tuple(sorted(v, key=lambda one: (one.ref, one.replaced_at))) for n, v in old.items()}

    def count(self, compared: int) -> None:
        with self.lock:
            self.compared += compared

    def could_not_open(self, ref: TokenRef, reason: str) -> None:
        with self.lock:
            self.unopened += 1
            if len(self.examples) < EXAMPLES:
                self.examples.append(UnopenedToken(ref, reason))

    def hear(self, found: Sequence[Opened]) -> None:
        self.count(sum(one.verification.opened for one in found))
        for one in found:
            if not one.verification.opened:
                self.could_not_open(one.verification.ref, one.verification.reason)
        self.tell()

    def tell(self) -> None:
        if self.progress is not None:
            seconds = monotonic() - self.started
            self.progress(RunProgress(self.total, self.compared, self.unopened, 0, seconds))


_STORED = TokenScope(frozenset(Format) - {Format.EMPTY})


class TokenSearch:
    """Searches one database. Blocks on SQL and KMS: call it from a worker. Changes nothing."""

    def __init__(
        self,
        verifier: Verifier,
        opener: ValueOpener,
        store: TokenStore,
        catalogue: LiveCatalogue,
        gaps: Callable[[Event | None], Sequence[str]],
        index: TokenIndex,
    ) -> None:
        """`opener` opens what is no envelope. `gaps` says what may hold tokens and can't be seen here."""
        self._index = index
        self._verifier = verifier
        self._opener = opener
        self._store = store
        self._catalogue = catalogue
        self._gaps = gaps

    def find_rows(
        self,
        wanted: Sequence[WantedToken],
        *,
        unread: str = "",
        everywhere: bool = False,
        progress: Callable[[RunProgress], None] | None = None,
        cancelled: Event | None = None,
    ) -> TokenSearchResult:
        """Return the rows that hold some tokens. With `everywhere`, no column is left out.

        What the index of tokens knows is not opened. `unread` says what of the text may hold further tokens.
        `progress` is called from other threads. Raises KmsError if KMS can't be asked at all, DatabaseError,
        SettingsError, InterruptedRunError.
        """
        found = FoundRows(TokenMatcher(wanted), progress, {one.number: set() for one in wanted})
        known, note = (None, "") if everywhere else self._ask_index(wanted, found, cancelled)
        lengths = frozenset[int]() if everywhere else lengths_of(wanted)
        scope = replace(_STORED, token_bytes=lengths, unindexed=known)
        done = self._pass(scope, wanted, found, everywhere=everywhere, cancelled=cancelled)
        old_gaps = self._look_at_old(scope, done.searched, found, cancelled)
        notes = (*self._gaps(cancelled), *old_gaps, *([note] if note else []))
        return replace(self._result(wanted, found, replace(done, notes=notes)), unread=unread)

    def rows_with(
        self,
        leaked: Secret | Sequence[str],
        progress: Callable[[RunProgress], None],
        cancelled: Event,
        *,
        everywhere: bool = False,
    ) -> FoundScope:
        """Return the rows with tokens of a text, which is wiped, or with GitHub's hashes, for an incident.

        Raises InvalidTokenError for a text without a token, and as `find_rows`.
        """
        leak = leaked_tokens(leaked)
        try:
            found = self.find_rows(
                leak.wanted,
                unread=leak.unread,
                everywhere=everywhere,
                progress=progress,
                cancelled=cancelled,
            )
        finally:
            wipe(leak.wanted)
        lines = (*found.lines, leak.remark) if leak.remark else found.lines
        told = {"search": found.as_json() | {"lines_without_token": leak.silent_lines}}
        by = leak.found_by(found.summary)
        return FoundScope(tuple(map(str, found.references)), by, lines, told, bool(found.missing))

    def _pass(
        self,
        scope: TokenScope,
        wanted: Sequence[WantedToken],
        found: FoundRows,
        *,
        everywhere: bool,
        cancelled: Event | None,
    ) -> _Pass:
        """Look through the likely columns, then through the others where a token is still missing."""
        likely, others = _by_likelihood(self._catalogue(), wanted)
        if everywhere:
            likely, others = likely + others, ()
        stored = self._store.count(_STORED, cancelled=cancelled)
        tally = self._store.count(scope, cancelled=cancelled) if scope != _STORED else stored
        searched: tuple[TokenColumn, ...] = ()
        for columns in (likely, others):
            if searched and all(found.rows.values()):
                break
            found.total += sum(tally.get(str(column), 0) for column in columns)
            self._look_through(scope, columns, found, cancelled)
            searched += columns
        spared = sum(stored.get(str(column), 0) - tally.get(str(column), 0) for column in searched)
        left_out = tuple(column for column in others if column not in searched)
        return _Pass(searched, left_out, spared, by_index=scope.unindexed is not None)

    def _ask_index(
        self, wanted: Sequence[WantedToken], found: FoundRows, cancelled: Event | None
    ) -> tuple[int | None, str]:
        """Find rows by the index; returns the number of its key, None where it can't be relied on, and why.

        Where a token is in none of its entries, each entry is verified: one that the index's key did not make
        could keep a row from being opened.
        """
        with self._index.opened() as (asking, note):
            if asking is None:
                return None, note
            self._find_indexed(asking, wanted, found)
            if all(found.rows.values()):
                return asking.number, ""
            foreign = self._index.foreign_entries(asking, cancelled)
            if not foreign:
                return asking.number, ""
        entries = counted(foreign, "fingerprint")
        return None, f"{entries} not made under the index's key: it was left aside, and all was opened"

    def _find_indexed(self, asking: Fingerprinter, wanted: Sequence[WantedToken], found: FoundRows) -> None:
        by_mark: dict[bytes, list[int]] = {}
        for one in wanted:
            for sha256 in hashes_of(one):
                by_mark.setdefault(asking.of_hash(sha256), []).append(one.number)
        entries = self._index.entries(asking, list(by_mark))
        held = self._index.held(entries)
        for entry in entries:
            for number in by_mark[entry.fingerprint]:
                if (entry.ref, entry.digest) in held:
                    found.rows[number].add(entry.ref)
                found.values.append((number, entry.ref, entry.digest))

    def _result(self, wanted: Sequence[WantedToken], found: FoundRows, done: _Pass) -> TokenSearchResult:
        return TokenSearchResult(
            {number: tuple(sorted(refs)) for number, refs in found.rows.items()},
            found.compared,
            found.unopened,
            tuple(found.examples),
            tuple(map(str, done.searched)),
            tuple(map(str, done.left_out)),
            done.notes,
            {one.number: AskedToken(one.place, one.mask, one.lines) for one in reversed(wanted)},
            found.replaced(),
            0 if done.by_index else done.spared,
            done.spared if done.by_index else 0,
            self._in_decoys(wanted),
        )

    def _in_decoys(self, wanted: Sequence[WantedToken]) -> dict[int, tuple[DecoyRow, ...]]:
        """The decoys that hold a token, by its number: their list has hashes, so that nothing opens them."""
        found: dict[int, tuple[DecoyRow, ...]] = {}
        listed = [(decoy, token) for decoy in self._catalogue().decoys.rows for token in decoy.tokens]
        for one in wanted if listed else ():
            hashes = hashes_of(one)
            rows = tuple(
                DecoyRow(TokenRef(decoy.table, token.column, decoy.row_id), decoy.tripwire)
                for decoy, token in listed
                if any(compare_digest(token.token, sha256) for sha256 in hashes)
            )
            if rows:
                found[one.number] = (*found.get(one.number, ()), *rows)
        return found

    def _look_at_old(
        self, scope: TokenScope, columns: Sequence[TokenColumn], found: FoundRows, cancelled: Event | None
    ) -> tuple[str, ...]:
        """Look at the replaced envelopes of some columns; returns what of them could not be looked at."""
        old = found.apart()
        try:
            pages = self._old(columns, scope)
            self._verifier.open_tokens(pages, old.hear, look_at=old.look_at, cancelled=cancelled)
            stop_if(cancelled)
            found.values += old.values
            found.moments = replaced_when(self._catalogue.engine, found.values)
        except MissingSchemaError:
            return ()
        except MissingGrantError as error:
            return (f"Envelopes that Keydeck replaced can't be read: {error.message}",)
        gap = f"{counted(old.unopened, 'envelope')} that Keydeck replaced could not be opened"
        return (gap,) if old.unopened else ()

    def _old(self, columns: Sequence[TokenColumn], scope: TokenScope) -> Iterator[list[StoredToken]]:
        pages = replaced_values(
            self._catalogue.engine, self._catalogue(), columns, scope.token_bytes, scope.unindexed
        )
        for page in pages:
            held = {token.ref: token.digest for token in self._store.read_many(t.ref for t, _ in page)}
            # Where the value that took its place is still there, it has been compared.
            if old := [token for token, successor in page if held.get(token.ref) != successor]:
                yield old

    def _look_through(
        self, scope: TokenScope, columns: Sequence[TokenColumn], found: FoundRows, cancelled: Event | None
    ) -> None:
        sealed = self._sealed(scope, columns, found)
        self._verifier.open_tokens(sealed, found.hear, look_at=found.look_at, cancelled=cancelled)
        stop_if(cancelled)

    def _sealed(
        self, scope: TokenScope, columns: Sequence[TokenColumn], found: FoundRows
    ) -> Iterator[list[StoredToken]]:
        """The envelopes of some columns. What is none is compared on the way: no KMS is asked for it."""
        for column in columns:
            for page in self._store.pages(scope, of=column):
                for token in page:
                    if not token.format.protected:
                        self._compare_unsealed(token, found)
                found.tell()
                if sealed := [token for token in page if token.format.protected]:
                    yield sealed

    def _compare_unsealed(self, stored: StoredToken, found: FoundRows) -> None:
        opened = self._opener.open_value(stored)
        if opened.token is None:
            found.could_not_open(stored.ref, opened.reason)
            return
        with opened.token as token:
            same = found.look_at(stored, token)
        if stored.format is Format.UNRECOGNISED and not same:
            # It may be a damaged envelope of the very token.
            found.could_not_open(stored.ref, NOT_AN_ENVELOPE[stored.format])
        else:
            found.count(1)


@dataclass(frozen=True, slots=True)
class _Pass:
    """Which columns were looked through and which not, and how many envelopes there were not opened.

    They are in the index, or of another length.
    """

    searched: tuple[TokenColumn, ...]
    left_out: tuple[TokenColumn, ...]
    spared: int = 0
    by_index: bool = False
    notes: tuple[str, ...] = ()


def _by_likelihood(
    catalogue: Catalogue, wanted: Sequence[WantedToken]
) -> tuple[tuple[TokenColumn, ...], tuple[TokenColumn, ...]]:
    """The columns that may hold tokens of the issuers, and those whose rows are another provider's."""
    issuers = {one.issuer for one in wanted}
    likely: list[TokenColumn] = []
    others: list[TokenColumn] = []
    for table in catalogue.tables:
        # A table that names its provider row by row has tokens of all.
        whose = None if "provider" in table.shown else TOKENS_OF.get(table.provider.lower())
        columns = [TokenColumn(table.name, column) for column in table.token_columns]
        (likely if whose is None or "" in issuers or whose in issuers else others).extend(columns)
    return tuple(likely), tuple(others)
