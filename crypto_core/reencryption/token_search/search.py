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
from threading import Event, Lock
from time import monotonic

from crypto_core.cancelling import stop_if
from crypto_core.database.tokens.attribution_cache import AttributionCache
from crypto_core.database.tokens.backups import replaced_values, replaced_when
from crypto_core.database.tokens.catalogue import Catalogue, LiveCatalogue
from crypto_core.database.tokens.opening import ValueOpener
from crypto_core.database.tokens.store import StoredToken, TokenScope, TokenStore
from crypto_core.database.tokens.tables import TokenColumn
from crypto_core.envelope import TOKENS_OF, Format
from crypto_core.errors import MissingGrantError, MissingSchemaError
from crypto_core.reencryption.bulk.opening import NOT_AN_ENVELOPE
from crypto_core.reencryption.bulk.ports import Committed, Opened, Outcome
from crypto_core.reencryption.plan import RunProgress
from crypto_core.reencryption.token_search.matching import TokenMatcher, lengths_of
from crypto_core.reencryption.token_search.result import (
    AskedToken,
    OldValue,
    TokenSearchResult,
    UnopenedToken,
)
from crypto_core.reencryption.token_search.wanted import WantedToken
from crypto_core.reencryption.verification import Verifier
from crypto_core.references import TokenRef
from crypto_core.secret import Secret
from crypto_core.text.counting import counted

_EXAMPLES = 20
_STORED = TokenScope(frozenset(Format) - {Format.EMPTY})


class TokenSearch:
    """Searches one database. Blocks on SQL and KMS: call it from a worker. Changes nothing."""

    def __init__(
        self,
        verifier: Verifier,
        opener: ValueOpener,
        store: TokenStore,
        catalogue: LiveCatalogue,
        answers: AttributionCache,
        *,
        gaps: Callable[[Event | None], Sequence[str]],
    ) -> None:
        """`opener` opens what is no envelope. `gaps` says what may hold tokens and can't be seen here."""
        self._verifier = verifier
        self._opener = opener
        self._store = store
        self._catalogue = catalogue
        self._answers = answers
        self._gaps = gaps

    def find_rows(
        self,
        wanted: Sequence[WantedToken],
        *,
        everywhere: bool = False,
        progress: Callable[[RunProgress], None] | None = None,
        cancelled: Event | None = None,
    ) -> TokenSearchResult:
        """Return the rows that hold some tokens. With `everywhere`, no column is left out.

        `progress` is called from other threads. Raises KmsError if KMS can't be asked at all, DatabaseError,
        SettingsError, InterruptedRunError.
        """
        likely, others = _by_likelihood(self._catalogue(), wanted)
        if everywhere:
            likely, others = likely + others, ()
        scope = replace(_STORED, token_bytes=frozenset() if everywhere else lengths_of(wanted))
        stored = self._count(_STORED, cancelled)
        tally = self._count(scope, cancelled) if scope.token_bytes else stored
        found = _Found(TokenMatcher(wanted), self._answers, progress, {one.number: set() for one in wanted})
        searched: tuple[TokenColumn, ...] = ()
        for columns in (likely, others):
            if searched and all(found.rows.values()):
                break
            found.total += sum(tally.get(str(column), 0) for column in columns)
            self._look_through(scope, columns, found, cancelled)
            searched += columns
        old, old_gaps = self._look_at_old(scope, searched, found, cancelled)
        return TokenSearchResult(
            {number: tuple(sorted(refs)) for number, refs in found.rows.items()},
            found.compared,
            found.unopened,
            tuple(found.examples),
            tuple(map(str, searched)),
            tuple(str(column) for column in others if column not in searched),
            (*self._gaps(cancelled), *old_gaps),
            {one.number: AskedToken(one.place, one.mask, one.lines) for one in wanted},
            old,
            sum(stored.get(str(column), 0) - tally.get(str(column), 0) for column in searched),
        )

    def _count(self, scope: TokenScope, cancelled: Event | None) -> dict[str, int]:
        tally = self._store.tally(scope, cancelled=cancelled)
        return {name: sum(by_format.values()) for name, by_format in tally.items()}

    def _look_at_old(
        self, scope: TokenScope, columns: Sequence[TokenColumn], found: _Found, cancelled: Event | None
    ) -> tuple[dict[int, tuple[OldValue, ...]], tuple[str, ...]]:
        """The replaced envelopes that hold a token, by its number; and what of them was not looked at."""
        old = found.apart()
        try:
            pages = self._old(columns, scope.token_bytes)
            self._verifier.open_tokens(pages, old, look_at=old.look_at, cancelled=cancelled)
            moments = replaced_when(self._catalogue.engine, old.values)
        except MissingSchemaError:
            return {}, ()
        except MissingGrantError as error:
            return {}, (f"Envelopes that Keydeck replaced can't be read: {error.message}",)
        stop_if(cancelled)
        gap = f"{counted(old.unopened, 'envelope')} that Keydeck replaced could not be opened"
        return old.replaced(found.rows, moments), (gap,) if old.unopened else ()

    def _old(self, columns: Sequence[TokenColumn], lengths: frozenset[int]) -> Iterator[list[StoredToken]]:
        for page in replaced_values(self._catalogue.engine, self._catalogue(), columns, lengths):
            held = {token.ref: token.digest for token in self._store.read_many(t.ref for t, _ in page)}
            # Where the value that took its place is still there, it has been compared.
            if old := [token for token, successor in page if held.get(token.ref) != successor]:
                yield old

    def _look_through(
        self, scope: TokenScope, columns: Sequence[TokenColumn], found: _Found, cancelled: Event | None
    ) -> None:
        sealed = self._sealed(scope, columns, found)
        self._verifier.open_tokens(sealed, found, look_at=found.look_at, cancelled=cancelled)
        stop_if(cancelled)

    def _sealed(
        self, scope: TokenScope, columns: Sequence[TokenColumn], found: _Found
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

    def _compare_unsealed(self, stored: StoredToken, found: _Found) -> None:
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


@dataclass(slots=True)
class _Found:
    """What is found so far; a TokenSink that remembers KMS's answers and tells the progress.

    One thread reads and compares what is no envelope while another one is told what opened. `values` are the
    stored values that hold a token, with its number.
    """

    matcher: TokenMatcher
    answers: AttributionCache
    progress: Callable[[RunProgress], None] | None
    rows: dict[int, set[TokenRef]]
    values: list[tuple[int, TokenRef, bytes]] = field(default_factory=list)
    total: int = 0
    compared: int = 0
    unopened: int = 0
    examples: list[UnopenedToken] = field(default_factory=list)
    started: float = field(default_factory=monotonic)
    lock: Lock = field(default_factory=Lock)

    def apart(self) -> _Found:
        """For other values of the same rows: nothing is found of them yet, and no progress is told."""
        return _Found(self.matcher, self.answers, None, {number: set() for number in self.rows})

    def look_at(self, stored: StoredToken, token: Secret) -> bool:
        """Note it if a token is one of those wanted; returns whether it is."""
        numbers = self.matcher.numbers(token)
        with self.lock:
            for number in numbers:
                self.rows[number].add(stored.ref)
                self.values.append((number, stored.ref, stored.digest))
        return bool(numbers)

    def replaced(
        self, held: Mapping[int, set[TokenRef]], moments: Mapping[tuple[TokenRef, bytes], datetime]
    ) -> dict[int, tuple[OldValue, ...]]:
        """The values as replaced ones, by the number of their token, but for rows that hold it still."""
        old: dict[int, list[OldValue]] = {}
        for number, ref, digest in self.values:
            if ref not in held[number] and (ref, digest) in moments:
                old.setdefault(number, []).append(OldValue(ref, moments[ref, digest]))
        return {n: tuple(sorted(v, key=lambda one: (one.ref, one.replaced_at))) for n, v in old.items()}

    def count(self, compared: int) -> None:
        with self.lock:
            self.compared += compared

    def could_not_open(self, ref: TokenRef, reason: str) -> None:
        with self.lock:
            self.unopened += 1
            if len(self.examples) < _EXAMPLES:
                self.examples.append(UnopenedToken(ref, reason))

    def commit(self, batch: Sequence[Outcome]) -> Committed:
        found = [outcome for outcome in batch if isinstance(outcome, Opened)]
        self.answers.remember(one.known for one in found if one.known is not None)
        self.count(sum(one.verification.opened for one in found))
        for one in found:
            if not one.verification.opened:
                self.could_not_open(one.verification.ref, one.verification.reason)
        self.tell()
        return Committed(len(found))

    def tell(self) -> None:
        if self.progress is not None:
            seconds = monotonic() - self.started
            self.progress(RunProgress(self.total, self.compared, self.unopened, 0, seconds))


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
