"""Reading and writing stored tokens. Every write is a compare-and-swap that another writer's value survives.

The comparison is made on SHA-256 digests, so a plaintext that is being replaced is never sent back to the
server (where a failing statement would end up in its log). The replaced envelope goes into
keydeck.envelope_backup in the same transaction; a plaintext or dev value is never backed up.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from threading import Event
from time import monotonic, sleep
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from crypto_core.database.connection.engine import connected, finish_with_next, own_entries
from crypto_core.database.connection.lock_holders import LOCK_NOT_AVAILABLE
from crypto_core.database.connection.transactions import (
    LOCK_TIMEOUT_SECONDS,
    repeated_if_cut_off,
    repeated_if_rolled_back,
)
from crypto_core.database.dialect import as_stored
from crypto_core.database.qualified_sql import text
from crypto_core.database.schema import envelope_backup
from crypto_core.database.tokens import expressions as sql
from crypto_core.database.tokens import json_documents, row_swap
from crypto_core.database.tokens.attached_code import AttachedCode, write_obstacles
from crypto_core.database.tokens.attribution_cache import SHA256_BYTES, AttributionCache
from crypto_core.database.tokens.catalogue import LiveCatalogue
from crypto_core.database.tokens.fingerprints import Carrier, not_indexed
from crypto_core.database.tokens.key_expressions import in_groups
from crypto_core.database.tokens.tables import Picked, TokenColumn, TokenTable
from crypto_core.database.tokens.token_source import TokenSource, token_source
from crypto_core.database.tokens.written_rows import WrittenRows
from crypto_core.envelope import ENVELOPE_FORMATS, STORED_PREFIXES, Format, classify, parse
from crypto_core.guard.held_step import require_held
from crypto_core.keyring.data_keys import KeyAnswer
from crypto_core.values import errors
from crypto_core.values.counts import counted, listed
from crypto_core.values.json_records import JsonRecord, shape
from crypto_core.values.references import TokenRef
from crypto_core.values.secret import Secret


@dataclass(frozen=True, slots=True)
class StoredToken:
    ref: TokenRef
    format: Format
    value: Secret
    digest: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Replacement:
    old: StoredToken
    stored: str = field(repr=False)
    source: KeyAnswer | None


_HELD_SECONDS = 0.05

KEEPS_TOKEN = frozenset({"rewrap", "reencrypt"})
"""Verbs whose new envelope holds the same token."""


@dataclass(frozen=True, slots=True)
class TokenScope(JsonRecord):
    """Which tokens, in terms of the database. Everything given must hold.

    `edk_prefixes` are key material groups; None among them stands for envelopes without a KMS header.
    With `key_arns` (one key's, its replicas' too), tokens that KMS was asked about one by one count by their
    own answer, and only the others by their group. `unasked` leaves out every token that KMS was asked about.
    `digests` are stored values that count whatever their group is, `but` those that never do; envelopes both.
    `token_bytes` leaves out envelopes whose token has another length than these, and nothing else: what can't
    be read as an envelope stays in. `unindexed` leaves out what the index of tokens has under its key of this
    number.
    """

    formats: frozenset[Format] = frozenset(Format)
    references: tuple[TokenRef, ...] | None = None
    key_arns: frozenset[str] = frozenset()
    edk_prefixes: tuple[bytes | None, ...] | None = None
    unasked: bool = False
    digests: frozenset[bytes] = frozenset()
    but: frozenset[bytes] = frozenset()
    token_bytes: frozenset[int] = frozenset()
    unindexed: int | None = None

    json_shape = shape("... -references")
    """A job's chunks list its references."""


@dataclass(slots=True)
class _Committed(WrittenRows):
    """What a transaction wrote: `stored` are the values of each column, by row id."""

    digests: Mapping[str, bytes] = field(default_factory=dict)
    stored: list[tuple[TokenTable, str, dict[str, str]]] = field(default_factory=list)
    written: list[Replacement] = field(default_factory=list)

    def differing(
        self, connection: sa.Connection, table: TokenTable, column: str, values: Mapping[str, str]
    ) -> list[str]:
        """Return the ids of rows that do not hold these values."""
        by_digest = table.is_text(column)
        given = {row_id: self.digests[value] if by_digest else value for row_id, value in values.items()}
        return row_swap.differing_rows(connection, table, column, given)


def _place(ref: TokenRef) -> tuple[str, str, str]:
    return ref.table, ref.column, ref.row_id


def _is_damaged(token: StoredToken) -> bool:
    """True for a value that nobody writes on purpose: no token in any format, not empty."""
    if not token.format.protected:
        return token.format is Format.UNRECOGNISED
    try:
        parse(token.value.reveal())
    except errors.EnvelopeError:
        return True
    return False


class TokenStore:
    def __init__(
        self,
        engine: sa.Engine,
        catalogue: LiveCatalogue,
        answers: AttributionCache,
        *,
        carrier: Callable[[], Carrier | None] = lambda: None,
    ) -> None:
        """`carrier` is asked before a transaction begins."""
        self._carrier = carrier
        self._engine = engine
        self._catalogue = catalogue
        self._answers = answers

    def read_token(self, ref: TokenRef) -> StoredToken:
        """Return one stored token. Raises InvalidReferenceError, RowVanishedError if it isn't there."""
        found = self.read_many([ref])
        if not found:
            raise errors.RowVanishedError(f"{ref}: {self._catalogue.last().why_nothing(ref)}")
        return found[0]

    def read_many(self, refs: Iterable[TokenRef]) -> list[StoredToken]:
        """Return those of `refs` that are there and not NULL, ordered by column."""
        catalogue = self._catalogue()
        ordered = sorted({r for ref in refs for r in catalogue.references(ref)})
        found: list[StoredToken] = []
        with connected(self._engine) as connection:
            for (table_name, column), group in groupby(ordered, key=lambda r: (r.table, r.column)):
                source = token_source(catalogue.table(table_name), column)
                # What the server's encoding can't hold names no row of it.
                names = [r.identity for r in group if as_stored(connection, r.identity) == r.identity]
                statement = _read(source).where(source.is_one_of(names), source.stored.is_not(None))
                found += _tokens(source, connection.execute(statement))
        return found

    def count(self, scope: TokenScope, *, cancelled: Event | None = None) -> Counter[str]:
        """Return how many tokens are in the scope, by column name. Raises as `tally`."""
        tally = self.tally(scope, cancelled=cancelled)
        return Counter({column: sum(by_format.values()) for column, by_format in tally.items()})

    def tally(self, scope: TokenScope, *, cancelled: Event | None = None) -> dict[str, dict[Format, int]]:
        """Return how many tokens are in the scope, by column name and format; no entry is zero.

        Raises InterruptedRunError once `cancelled` is set.
        """
        tallies: dict[str, dict[Format, int]] = {}
        scoped = list(self.scoped(scope))  # it may have to read the catalogue
        with connected(self._engine, cancelled=cancelled) as connection:
            for source, condition in scoped:
                counted = sql.formats_counted(source.stored, source.source, condition)
                if found := {Format(name): number for name, number in connection.execute(counted)}:
                    tallies[source.name] = found
        return tallies

    def pages(
        self, scope: TokenScope, *, of: TokenColumn | None = None, size: int = 500
    ) -> Iterator[list[StoredToken]]:
        """Give the scope's tokens in pages, in order of column and id; or those `of` one column.

        Each page is a statement of its own: what changed since the last one is seen as it is now. A pass ends
        at the highest id that a column had at its beginning, so it ends while others go on inserting.
        """
        for source, condition in self.scoped(scope, of=of):
            # In the order of the id itself, so that the primary key's index serves.
            if scope.references is not None:
                statement = sa.select(source.id_text).where(condition).order_by(*source.order())
                refs = [source.ref(identity) for (identity,) in self._rows(statement)]
                yield from self._listed(scope, refs, size)
                continue
            # Not max(): uuid has none.
            highest = sa.select(source.id_text).where(source.row_id.is_not(None))
            lasts = self._rows(highest.order_by(*source.order(backwards=True)).limit(1))
            after: str | None = None
            while lasts and after != (last := lasts[0][0]):
                found = self._behind(source, condition, after, last, size)
                if found:
                    yield found
                if len(found) < size:
                    break
                after = found[-1].ref.identity

    def _listed(self, scope: TokenScope, refs: Sequence[TokenRef], size: int) -> Iterator[list[StoredToken]]:
        """Pages of one column's references, each asking for its own alone."""
        for first in range(0, len(refs), size):
            some = replace(scope, references=tuple(refs[first : first + size]))
            for source, condition in self.scoped(some):
                statement = _read(source).where(condition)
                if rows := self._rows(statement.order_by(*source.order())):
                    yield _tokens(source, rows)

    def page(
        self, scope: TokenScope, of: TokenColumn, after: str | None, upto: str | None, *, size: int
    ) -> list[StoredToken]:
        """Return the first tokens of one column behind one id and up to another, as far as in the scope.

        Ids are as PostgreSQL writes them (see TokenRef.identity), and it alone compares them.
        """
        for source, condition in self.scoped(scope, of=of):
            return self._behind(source, condition, after, upto, size)
        return []

    def _behind(
        self,
        source: TokenSource,
        condition: sa.ColumnElement[bool],
        after: str | None,
        upto: str | None,
        size: int,
    ) -> list[StoredToken]:
        bounds = [] if after is None else [source.beyond(after)]
        bounds += [] if upto is None else [source.beyond(upto, backwards=True, inclusive=True)]
        statement = _read(source).where(condition, *bounds)
        return _tokens(source, self._rows(statement.order_by(*source.order()).limit(size)))

    @repeated_if_cut_off
    def _rows(self, statement: sa.Select[Any]) -> Sequence[Any]:
        with connected(self._engine) as connection:
            return connection.execute(statement).all()

    def among(self, scope: TokenScope, of: TokenColumn, ids: Sequence[str]) -> list[StoredToken]:
        """Return the tokens of a column, by these ids, that are in the scope."""
        refs = [self._catalogue().table(of.table).ref(of.column, identity) for identity in ids]
        return next(self._listed(scope, refs, len(refs)), []) if refs else []

    def at_random(self, draws: Iterable[tuple[TokenScope, TokenColumn, int]]) -> list[list[StoredToken]]:
        """For each draw so many tokens of a column in the scope, all as likely."""
        statements = [
            [
                (source, _read(source).where(condition).order_by(sa.func.random()).limit(size))
                for source, condition in self.scoped(scope, of=of)
            ]
            for scope, of, size in draws
        ]
        with connected(self._engine) as connection:
            return [
                [token for source, some in each for token in _tokens(source, connection.execute(some))]
                for each in statements
            ]

    def narrowed(self, picked: Picked, scope: TokenScope) -> Picked:
        """Return those of some picked tokens that are in a scope, still as SQL."""
        for source, condition in self.scoped(scope, of=picked.column):
            inside = sa.select(picked.ids.subquery().c.id)
            return replace(
                picked, ids=sa.select(source.id.label("id")).where(condition, source.id.in_(inside))
            )
        return picked

    def partitions(self, refs: Iterable[TokenRef]) -> dict[TokenRef, tuple[str, str]]:
        """Return the table of each row, and its partition; "" where that is not known."""
        found: dict[TokenRef, tuple[str, str]] = {}
        with connected(self._engine) as connection:
            for name, group in groupby(sorted(refs), key=lambda r: r.table):
                rows = list(group)
                table = self._catalogue().table(name)
                places = row_swap.partitions_of(connection, table, {r.row_id for r in rows})
                found |= {r: (name, places.get(r.row_id, "")) for r in rows}
        return found

    def code_at(self, columns: Iterable[str]) -> tuple[AttachedCode, ...]:
        return self._catalogue.code_at(columns)

    def written_in(self, run_id: UUID, digests: Sequence[bytes]) -> frozenset[bytes]:
        written = envelope_backup.c.written_digest
        of_run = (envelope_backup.c.run_id == run_id, sql.is_among(written, digests, sa.LargeBinary))
        statement = sa.select(written).where(*of_run)
        with connected(self._engine) as connection:
            return frozenset(bytes(found) for found in connection.scalars(statement))

    def write_tokens(
        self,
        run_id: UUID,
        verb: str,
        replacements: Sequence[Replacement],
        *,
        before: Callable[[sa.Connection], None] = lambda connection: None,
        within: Callable[[sa.Connection, frozenset[TokenRef]], None] | None = None,
        wait: bool = True,
    ) -> frozenset[TokenRef]:
        """Swap in the new envelopes and back up the old ones, all in one transaction.

        Returns the references that were written; one that is missing had changed or vanished, and is left as
        it is. So is, without `wait`, one whose row another transaction holds; else all is tried again, and
        nothing held meanwhile. `before` is called in the transaction before any row is locked, and `within`
        with what was written, before it commits. Raises DatabaseError, in which case nothing was written;
        ChangedByDatabaseError where the database stored another value than it was given, and StepLostError
        for a step of an incident that was taken over. Raises ChangedAtCommitError where the transaction is
        committed and the database changed a value as it was: the new envelope is then kept as a backup.
        """
        until = monotonic() + LOCK_TIMEOUT_SECONDS
        while True:
            try:
                done = self._write_now(run_id, verb, replacements, before=before, within=within, wait=wait)
            except errors.DatabaseTimeoutError as error:
                if not wait or error.sqlstate != LOCK_NOT_AVAILABLE or monotonic() > until:
                    raise
                sleep(_HELD_SECONDS)
            else:
                self._require_kept(run_id, done)
                return frozenset(r.old.ref for r in done.written)

    @repeated_if_rolled_back
    def _write_now(
        self,
        run_id: UUID,
        verb: str,
        replacements: Sequence[Replacement],
        *,
        before: Callable[[sa.Connection], None],
        within: Callable[[sa.Connection, frozenset[TokenRef]], None] | None,
        wait: bool,
    ) -> _Committed:
        by_column: dict[tuple[str, str], list[Replacement]] = {}
        for one in replacements:
            by_column.setdefault((one.old.ref.table, one.old.ref.column), []).append(one)
        catalogue = self._catalogue()
        places = [(catalogue.table(name), column) for name, column in sorted(by_column)]
        done = _Committed(places, digests={r.stored: digest(r.stored) for r in replacements})
        new_digests, stored = done.digests, done.stored
        locked: dict[str, frozenset[str]] = {}
        carry = self._carrier() if verb in KEEPS_TOKEN else None
        with connected(self._engine, write=True, brief=not wait) as connection:
            done.transaction = row_swap.begin_swap(connection)
            before(connection)
            for name in sorted({name for name, _ in by_column}):
                ids = {r.old.ref.row_id for r in replacements if r.old.ref.table == name}
                locked[name] = row_swap.lock_rows(connection, catalogue.table(name), ids, wait=wait)
            for (table_name, column), all_of_it in sorted(by_column.items()):
                table = catalogue.table(table_name)
                group = [r for r in all_of_it if r.old.ref.row_id in locked[table_name]]
                if not group:
                    continue
                swap = _swap if table.is_text(column) else _swap_within
                matched, values = swap(connection, table, column, group)
                stored.append((table, column, values))
                swapped = [r for r in group if r.old.ref.identity in matched]
                done.written += swapped
                done.backups += _back_up(connection, run_id, verb, swapped, new_digests)
                if carry is not None:
                    carry(connection, [(r.old.ref, r.old.digest, new_digests[r.stored]) for r in swapped])
            # What triggers make of it afterwards counts too, also those that wait for the transaction's end.
            finish_with_next(connection)
            for table, column, values in stored:
                if changed := done.differing(connection, table, column, values):
                    raise row_swap.changed_by_database(connection, table, column, changed)
            done.require_own_rows(connection, done.foreign_rows(connection, own_entries(connection)))
            if within is not None:
                within(connection, frozenset(r.old.ref for r in done.written))
            require_held()
            done.entries = own_entries(connection)
        return done

    @repeated_if_rolled_back
    def _require_kept(self, run_id: UUID, done: _Committed) -> None:
        """Look whether what was committed is stored, as whoever reads next finds it.

        A deferred constraint trigger may act at COMMIT, after all that the transaction itself can see. What
        others wrote since is theirs. Raises ChangedAtCommitError.
        """
        changed: set[tuple[str, str, str]] = set()
        own: set[tuple[str, str, str]] = set()
        with connected(self._engine) as connection:
            for table, column, values in done.stored:
                differing = done.differing(connection, table, column, values)
                changed |= {(table.name, column, row_id) for row_id in differing}
                ours = row_swap.rows_written_in(connection, table, done.transaction, differing)
                own |= {(table.name, column, row_id) for row_id in ours}
            foreign = done.foreign_rows(connection, done.entries)
            if not changed:
                done.require_own_rows(connection, foreign, written=True)
                return
        replaced = {r.old.ref: r for r in done.written if _place(r.old.ref) in changed}
        now = {token.ref: token for token in self.read_many(replaced)}
        lost: list[Replacement] = []
        undone: list[TokenRef] = []
        for ref, made in replaced.items():
            token = now.get(ref)
            if token is not None and token.digest == done.digests[made.stored]:
                continue
            if token is not None and token.digest == made.old.digest:
                undone.append(ref)
            elif _place(ref) in own or (token is not None and _is_damaged(token)):
                lost.append(made)
        if not lost and not undone:
            with connected(self._engine) as connection:
                done.require_own_rows(connection, foreign, written=True)
            return
        with connected(self._engine, write=True) as connection:
            # What was written is kept, so that it can be restored over the present value.
            kept = [
                Replacement(replace(made.old, value=Secret.of(made.stored), format=Format.V1), str(i), None)
                for i, made in enumerate(lost)
            ]
            present = (now[made.old.ref].digest if made.old.ref in now else b"" for made in lost)
            _back_up(connection, run_id, "lost", kept, {str(i): d for i, d in enumerate(present)})
            refs = sorted([made.old.ref for made in lost] + undone)
            table = self._catalogue.last().table(refs[0].table)
            causes = "; ".join(write_obstacles(connection, table, refs[0].column))
        more = f" and {counted(len(refs) - 1, 'more token')}" if refs[1:] else ""
        wrote = f" It wrote besides: {listed(foreign, 5)}." if foreign else ""
        raise errors.ChangedAtCommitError(
            f"{refs[0]}{more}: the database changed what was written when the transaction was committed "
            f"({causes or 'code of the database'}).{wrote}",
            remedy="Disable what changes tokens there. The envelopes that were written are kept: then run "
            f"keydeck backups restore {refs[0]}.",
        )

    def scoped(
        self, scope: TokenScope, *, of: TokenColumn | None = None
    ) -> Iterator[tuple[TokenSource, sa.ColumnElement[bool]]]:
        """Give the scope's columns, or one, as SQL with its condition."""
        catalogue = self._catalogue()
        answers = self._answers.relation() if scope.key_arns or scope.unasked else None
        for table in catalogue.tables:
            for column in table.token_columns:
                if of not in (None, TokenColumn(table.name, column)):
                    continue
                source = token_source(table, column)
                stored = source.stored
                conditions: list[sa.ColumnElement[bool]] = [stored.is_not(None)]
                if scope.references is not None:
                    own = (r for r in scope.references if (r.table, r.column) == (table.name, column))
                    ids = [r.identity for r in own]
                    if not ids:
                        continue
                    conditions.append(source.is_one_of(ids))
                if scope.formats != frozenset(Format):
                    conditions.append(sql.format_of(stored).in_(sorted(f.value for f in scope.formats)))
                grouped = sa.true() if scope.edk_prefixes is None else _prefix_in(stored, scope.edk_prefixes)
                if scope.digests:
                    grouped = sa.or_(grouped, _is_one_of(stored, scope.digests))
                if scope.token_bytes:
                    conditions.append(sql.has_token_bytes(stored, scope.token_bytes))
                if scope.unindexed is not None:
                    about = (source.name, source.id_text, sql.digest_of(stored))
                    conditions.append(not_indexed(scope.unindexed, *about, of=source.source))
                if scope.but:
                    conditions.append(~_is_one_of(stored, scope.but))
                if answers is None:
                    conditions.append(grouped)
                else:
                    asked = sa.select(answers.c.key_arn).where(answers.c.digest == sql.digest_of(stored))
                    unasked_and_grouped = sa.and_(~asked.correlate(source.source).exists(), grouped)
                    if scope.unasked:
                        conditions.append(unasked_and_grouped)
                    else:
                        told = asked.where(answers.c.key_arn.in_(sorted(scope.key_arns)))
                        conditions.append(sa.or_(told.correlate(source.source).exists(), unasked_and_grouped))
                yield source, sa.and_(*conditions)


def _prefix_in(stored: Any, prefixes: Sequence[bytes | None]) -> sa.ColumnElement[bool]:
    named = in_groups(stored, (prefix for prefix in prefixes if prefix is not None))
    return sa.or_(named, sql.edk_prefix_of(stored).is_(None)) if None in prefixes else named


def _is_one_of(stored: Any, digests: Iterable[bytes]) -> sa.ColumnElement[bool]:
    """True for values with these digests; few are hashed, those with such a mark."""
    listed = sorted(digests)
    marks = sql.is_among(sql.mark_of(stored), (digest[:-SHA256_BYTES] for digest in listed), sa.LargeBinary)
    whole = sql.is_among(sql.digest_of(stored), listed, sa.LargeBinary)
    return sa.and_(sql.is_envelope(stored), marks, whole)


_ENVELOPES = tuple(STORED_PREFIXES[f] for f in ENVELOPE_FORMATS)


def digest(stored: str) -> bytes:
    """What tells a stored value from others, as `expressions.digest_of` computes it in SQL.

    An envelope's mark, then SHA-256 of the value: a join by the mark hashes few values, not a million.
    """
    encoded = stored.encode("utf-8", "surrogatepass")
    begins = sql.MARK_BEGINS
    mark = encoded[begins : begins + sql.MARK_BYTES] if stored.startswith(_ENVELOPES) else b""
    return mark + hashlib.sha256(encoded).digest()


def _read(source: TokenSource) -> sa.Select[Any]:
    return sa.select(source.id_text, source.stored)


def _tokens(source: TokenSource, rows: Iterable[Any]) -> list[StoredToken]:
    return [
        StoredToken(source.ref(identity), classify(stored).format, Secret.of(stored), digest(stored))
        for identity, stored in rows
    ]


def _swap(
    connection: sa.Connection, table: TokenTable, column: str, replacements: Sequence[Replacement]
) -> tuple[set[str], dict[str, str]]:
    values = {r.old.ref.row_id: (r.old.digest, r.stored) for r in replacements}
    written = row_swap.exchange_values(connection, table, column, values)
    return set(written), written


def _swap_within(
    connection: sa.Connection, table: TokenTable, column: str, replacements: Sequence[Replacement]
) -> tuple[set[str], dict[str, str]]:
    """Swap tokens within whole values, whose rows are locked; returns as `_swap`, by identities.

    All of a row's are swapped at once. Every other byte of a document stays as it was, and a member that
    occurs twice is left as it is.
    """
    by_row: dict[str, list[Replacement]] = {}
    for replacement in replacements:
        by_row.setdefault(replacement.old.ref.row_id, []).append(replacement)
    exchanges: dict[str, tuple[bytes, str]] = {}
    matched: dict[str, set[str]] = {}
    for row_id, content in row_swap.whole_values(connection, table, column, by_row):
        after, swapped = json_documents.text_of_bytes(content), set[str]()
        for r in by_row[row_id]:
            found = _found(table, column, after, r.old.ref)
            if found is not None and digest(found.value) == r.old.digest:
                after, swapped = found.replaced(after, r.stored), swapped | {r.old.ref.identity}
        if swapped:
            exchanges[row_id], matched[row_id] = (hashlib.sha256(content).digest(), after), swapped
    written = row_swap.exchange_values(connection, table, column, exchanges)
    return set[str]().union(*(matched[row_id] for row_id in written)), written


def _found(table: TokenTable, column: str, whole: str, ref: TokenRef) -> json_documents.FoundMember | None:
    """A token's place in the whole value of its column; None if it isn't there."""
    if column in table.documents:
        return json_documents.find_member(whole, ref.member or "")
    if table.type_of(column) == "bytea":
        return json_documents.FoundMember(whole, 0, len(whole), is_json=False)
    return json_documents.find_string(whole)


def _back_up(
    connection: sa.Connection,
    run_id: UUID,
    verb: str,
    replacements: Sequence[Replacement],
    digests: Mapping[str, bytes],
) -> Sequence[tuple[Sequence[int], bytes]]:
    """Have the envelopes kept, by one call: a plaintext or dev value never is. Returns ids and digest."""
    kept = [r for r in replacements if r.old.format.protected]
    if not kept:
        return ()
    given = {
        "run": run_id,
        "verb": verb,
        "columns": [f"{r.old.ref.table}.{r.old.ref.column}" for r in kept],
        "rows": [r.old.ref.identity for r in kept],
        "envelopes": [r.old.value.reveal() for r in kept],
        "keys": [r.source.key_arn if r.source else None for r in kept],
        "materials": [r.source.key_material_id if r.source else None for r in kept],
        "digests": [digests[r.stored] for r in kept],
    }
    ids, stored = connection.execute(_BACK_UP, given).one()
    return [(ids, bytes(stored))]


_BACK_UP = text(
    "SELECT b.ids, b.digest FROM keydeck.back_up_envelopes("
    ":run, :verb, :columns, :rows, :envelopes, :keys, :materials, :digests) AS b"
).bindparams(
    sa.bindparam("run", type_=sa.Uuid),
    *(sa.bindparam(n, type_=ARRAY(sa.Text)) for n in ("columns", "rows", "envelopes", "keys", "materials")),
    sa.bindparam("digests", type_=ARRAY(sa.LargeBinary)),
)
