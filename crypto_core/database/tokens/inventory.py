"""Which tokens, in what state? Keyset pages from SQL; no token value is ever selected."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from threading import Event
from typing import Any

from sqlalchemy import Connection, Engine, func, select

from crypto_core.database.connection.engine import connected
from crypto_core.database.tokens.attribution_cache import AttributionCache, KnownAttribution, Wrapping
from crypto_core.database.tokens.catalogue import Catalogue, LiveCatalogue
from crypto_core.database.tokens.decoys import NO_DECOYS, Decoys
from crypto_core.database.tokens.expressions import formats_counted
from crypto_core.database.tokens.inventory_expressions import FIELDS, ColumnPlace, has_format, places_of
from crypto_core.database.tokens.inventory_filter_sql import Matcher, asks_for_evidence, asks_for_keys
from crypto_core.database.tokens.inventory_row import InventoryRow
from crypto_core.database.tokens.key_expressions import KeyView, unlike_their_group
from crypto_core.database.tokens.orders import ORDERS, SortKey, needs_keys
from crypto_core.database.tokens.survey import Surveyor, Surveys, read_together, source_of
from crypto_core.database.tokens.table_scan import Position, Search, Walker
from crypto_core.database.tokens.tables import Picked
from crypto_core.database.tokens.token_groups import MOST_GROUPS, GroupBy, GroupTally, TokenGroups
from crypto_core.envelope import Format
from crypto_core.lists.coverage import Evidence
from crypto_core.lists.filter_language import Clause, parse_filter, terms_of
from crypto_core.lists.paging import Cursor, Page, Query, unknown_sort
from crypto_core.values.cancellation import stop_if
from crypto_core.values.clean_text import NO_TEXT
from crypto_core.values.errors import InvalidReferenceError, RowVanishedError
from crypto_core.values.references import TokenRef

__all__ = ["FIELDS", "Inventory", "InventoryRow", "SortKey"]

_Places = tuple[ColumnPlace, ...]

_REFERENCES = 10_000
"""References read at a time: each page may take a scan of its own."""


class Inventory:
    def __init__(
        self,
        engine: Engine,
        catalogue: LiveCatalogue,
        answers: AttributionCache,
        *,
        aliases: Callable[[], Mapping[str, Sequence[str]]] = dict,
    ) -> None:
        """`aliases` gives the aliases of key ARNs as far as they are known; it must not block."""
        self._engine = engine
        self._catalogue = catalogue
        self._answers = answers
        self._aliases = aliases
        self._surveys = Surveys()
        self._placed: tuple[Catalogue | None, _Places, _Places] = (None, (), ())

    def page(
        self,
        query: Query,
        start: Cursor | None = None,
        *,
        backwards: bool = False,
        inclusive: bool = False,
        limit: int = 200,
        cancelled: Event | None = None,
    ) -> Page[InventoryRow]:
        """Return a page as PagedSource says, all of it as at one moment; "" sorts by state.

        Decoys stand in it, marked, as in `rows`; all other answers leave them out.

        Raises DatabaseError too.
        """
        sort = _sort(query)
        self._catalogue()
        places = self._places(decoys=True)
        with self._matching(query.filter, sort, cancelled) as (connection, groups, keys, matcher):
            # Where a list is looked at anew, what was counted before is not to hide what has come since.
            if start is None or inclusive:
                number, survey = self._surveys.begin(query)
            else:
                number = int(start.values[-1])
                survey = self._surveys.of(number)
            at = _position(start, places) if start is not None else None
            surveyor = Surveyor(connection, ORDERS[sort], matcher, keys, cancelled)
            walker = Walker(surveyor, list(self._left_by(matcher, decoys=True)), survey)
            # The reference is itself what breaks ties: from the end, it is the walk that turns around.
            turned = sort is SortKey.REFERENCE and query.descending
            falling = query.descending and not turned
            found = walker.find_positions(Search(at, falling, backwards is not turned, inclusive, limit + 1))
            more, found = len(found) > limit, found[:limit]
            behind = at is not None
            if at is not None and inclusive:
                behind = bool(walker.find_positions(Search(at, falling, backwards is turned, False, 1)))
            if backwards:
                found.reverse()
            refs = [places[p.number].ref(p.row_id) for p in found]
            rows = self._rows(connection, refs, groups)
        cursors = [Cursor((p.kept, places[p.number].name, p.row_id, number)) for p in found]
        above, below = (more, behind) if backwards else (behind, more)
        first, last = (cursors[0], cursors[-1]) if cursors else (None, None)
        return Page(rows, first, last, above=above, below=below)

    def count(self, query: Query, *, cancelled: Event | None = None) -> int:
        """Return how many rows the filter lets through, decoys among them. Raises as `page`.

        Once after the beginning of a list it counts by the list's own values: its pages need that then.
        """
        sort = _sort(query)
        survey = self._surveys.uncounted(query)
        surveyed = survey is not None and (survey.known or (ORDERS[sort].few and not needs_keys(sort)))
        matching = self._matching(query.filter, sort if surveyed else None, cancelled)
        with matching as (connection, _, keys, matcher):
            if survey is not None and surveyed:
                surveyor = Surveyor(connection, ORDERS[sort], matcher, keys, cancelled)
                surveyor.take_survey(survey, list(self._left_by(matcher, decoys=True)))
                if not survey.too_many:
                    return sum(survey.counts.values())
            return self._plain_count(connection, matcher, keys, cancelled)

    def _plain_count(
        self, connection: Connection, matcher: Matcher, keys: KeyView, cancelled: Event | None
    ) -> int:
        total = 0
        for places in read_together(self._places(decoys=True), matcher, keys):
            stop_if(cancelled)
            of_row, passing = matcher.parted(places)
            counted: Any = select(*(func.count().filter(passes) for passes in passing))
            counted = counted.select_from(source_of(places, keys)).where(of_row)
            total += sum(connection.execute(counted).one())
        return total

    def tokens(self, filter_: str, *, cancelled: Event | None = None) -> int:
        """Count the tokens that a filter lets through. Raises as `page`."""
        tallies = self.tally(filter_, cancelled=cancelled)
        return sum(sum(by_format.values()) for by_format in tallies.values())

    def tally(self, filter_: str, *, cancelled: Event | None = None) -> dict[str, dict[Format, int]]:
        """Return how many tokens a filter lets through, by column name and format; no entry is zero.

        Raises as `page`.
        """
        tallies: dict[str, dict[Format, int]] = {}
        with self._matching(filter_, None, cancelled) as (connection, _, keys, matcher):
            for place in self._left_by(matcher):
                stop_if(cancelled)
                tokens = keys.joined(place.source, place.stored)
                by_format = connection.execute(formats_counted(place.stored, tokens, matcher.passing(place)))
                if found := {Format(name): number for name, number in by_format}:
                    tallies[place.name] = found
        return tallies

    def groups(
        self,
        by: GroupBy,
        filter_: str = "",
        *,
        most: int = MOST_GROUPS,
        named: bool = False,
        cancelled: Event | None = None,
    ) -> TokenGroups:
        """Return the tokens that a filter lets through, counted by what they have in common.

        At most so many groups are listed, those with most tokens first; with `named`, tables without
        organisations are not read. Raises as `page`.
        """
        sort = SortKey.KEY if by is GroupBy.KEY else None
        with self._matching(filter_, sort, cancelled) as (connection, _, keys, matcher):
            tally = GroupTally(by, keys)
            for place in self._left_by(matcher):
                stop_if(cancelled)
                tally.count(connection, place, matcher.passing(place), named=named)
        return tally.result(most)

    def picked(self, filter_: str, formats: frozenset[Format]) -> tuple[Picked, ...]:
        """Return the tokens in some formats that a filter lets through, as SQL, column by column.

        It goes by what is known of keys now. Raises as `page`.
        """
        with self._matching(filter_) as (_, _, keys, matcher):
            return tuple(
                Picked(
                    place.of,
                    select(place.id.label("id"))
                    .select_from(keys.joined(place.source, place.stored))
                    .where(matcher.passing(place), has_format(place.stored, formats)),
                )
                for place in self._left_by(matcher)
            )

    def references(self, filter_: str, *, cancelled: Event | None = None) -> Iterator[list[TokenRef]]:
        """Give, page by page, every token that a filter lets through at this moment, by column and id.

        Raises as `page`.
        """
        with self._matching(filter_, None, cancelled) as (connection, _, keys, matcher):
            for place in self._left_by(matcher):
                tokens = keys.joined(place.source, place.stored)
                statement = select(place.id).select_from(tokens).where(matcher.passing(place))
                statement = statement.order_by(*place.order()).limit(_REFERENCES)
                after: list[Any] = []
                while True:
                    stop_if(cancelled)
                    ids = connection.scalars(statement.where(*after)).all()
                    if ids:
                        yield [place.ref(i) for i in ids]
                    if len(ids) < _REFERENCES:
                        break
                    after = [place.beyond(ids[-1])]

    def rows(self, refs: Iterable[TokenRef]) -> tuple[InventoryRow, ...]:
        """Return those of some rows that are still there, in the order asked, as they are at one moment.

        Raises InvalidReferenceError, DatabaseError.
        """
        wanted = [r for ref in dict.fromkeys(refs) for r in self._catalogue().references(ref)]
        with connected(self._engine, snapshot=True) as connection:
            return self._rows(connection, wanted, self._answers.by_group(connection))

    def row(self, ref: TokenRef) -> InventoryRow:
        refs = self._catalogue().references(ref)
        with connected(self._engine) as connection:
            known = self._answers.by_group(connection)
            rows = self._rows(connection, refs, known)
        if not rows:
            raise RowVanishedError(f"{ref}: {self._catalogue.last().why_nothing(ref)}")
        return rows[0]

    @contextmanager
    def _matching(
        self, filter_: str, sort: SortKey | None = None, cancelled: Event | None = None
    ) -> Iterator[tuple[Connection, dict[bytes, frozenset[Wrapping]], KeyView, Matcher]]:
        """One moment of the database: its groups of wrappings, what is known of keys, and the filter."""
        clauses = parse_filter(filter_, FIELDS)
        # Where the filter may name a key. KMS may be slow: hold no connection meanwhile.
        aliases = self._aliases() if any(term.field == "key" for term in terms_of(clauses)) else {}
        self._catalogue()  # read before, where it isn't known
        # What one page is put together from is all of one moment.
        with connected(self._engine, snapshot=True, cancelled=cancelled) as connection:
            groups = self._answers.by_group(connection)
            keys = self._key_view(connection, clauses, groups, sort)
            yield connection, groups, keys, Matcher(clauses, keys, aliases)

    def _left_by(self, matcher: Matcher, *, decoys: bool = False) -> Iterator[ColumnPlace]:
        return (place for place in self._places(decoys=decoys) if not matcher.excludes(place))

    def _places(self, *, decoys: bool = False) -> _Places:
        """The present token columns, with or without decoys."""
        catalogue = self._catalogue.last()
        known, real, every = self._placed
        if known is not catalogue:
            real = every = places_of(catalogue.tables)
            if catalogue.decoys.rows:
                every = places_of(replace(table, decoys=()) for table in catalogue.tables)
            self._placed = (catalogue, real, every)
        return every if decoys else real

    def _key_view(
        self,
        connection: Connection,
        clauses: Sequence[Clause],
        groups: Mapping[bytes, frozenset[Wrapping]],
        sort: SortKey | None,
    ) -> KeyView:
        """As little of the keys as the query needs."""
        if not (asks_for_keys(clauses) or (sort is not None and needs_keys(sort))):
            return KeyView({}, None)
        relation = self._answers.relation()
        if relation is None:
            return KeyView(groups, None, damaged=False)
        unlike = unlike_their_group(relation, groups)
        named = connection.execute(select(unlike.c.key_arn, unlike.c.key_material_id).distinct()).all()
        told = frozenset((arn, material) for arn, material in named if arn is not None)
        damaged = len(told) < len(named)
        if sort is SortKey.EVIDENCE or asks_for_evidence(clauses):
            return KeyView(groups, relation, told, damaged)
        return KeyView(groups, unlike if named else None, told, damaged)

    def _rows(
        self, connection: Connection, refs: Sequence[TokenRef], known: Mapping[bytes, frozenset[Wrapping]]
    ) -> tuple[InventoryRow, ...]:
        """Some tokens in their order, without those that are gone."""
        read: dict[TokenRef, Any] = {}
        for place in self._places(decoys=True):
            own = [r.identity for r in refs if (r.table, r.column) == (place.table.name, place.column)]
            if own:
                there = [place.stored.is_not(None), place.is_one_of(own)]
                found = connection.execute(select(*place.columns()).where(*there).order_by(*place.order()))
                read |= {place.ref(row.row_id): row for row in found}
        members: dict[TokenRef, list[TokenRef]] = {}
        for ref in read:
            members.setdefault(ref.row, []).append(ref)
        digests = {ref: bytes(row.digest) for ref, row in read.items() if row.digest is not None}
        about = self._answers.about(connection, dict.fromkeys(digests.values()))
        decoys = self._catalogue.last().decoys
        return tuple(
            _row(ref, read[ref], known, about.get(digests[ref]) if ref in digests else None, decoys)
            for wanted in refs
            for ref in ([wanted] if wanted in read else members.get(wanted, ()))
        )


def _row(
    ref: TokenRef,
    row: Any,
    known: Mapping[bytes, frozenset[Wrapping]],
    answer: KnownAttribution | None,
    decoys: Decoys = NO_DECOYS,
) -> InventoryRow:
    """What is shown of a token: KMS's own answer about it, if there is one, else that about its group.

    Of a decoy it is what the list says: KMS is never asked about it.
    """
    evidence = Evidence.UNKNOWN
    wrapping: Wrapping | None = None
    prefix = row.edk_prefix
    decoy = decoys.at(ref)
    if decoy is not None and not any(
        row.digest is not None and token.digest == bytes(row.digest) for token in decoy.tokens
    ):
        decoy = None
    if decoy is not None:
        evidence, wrapping = Evidence.INFERRED, (decoy.key_arn, None)
    elif answer is not None:
        if answer.wrapping:
            evidence, wrapping = Evidence.VERIFIED, answer.wrapping
    elif prefix is not None and (group := known.get(bytes(prefix))):
        if len(group) > 1:
            evidence = Evidence.CONFLICT
        else:
            evidence, wrapping = Evidence.INFERRED, next(iter(group))
    stored: dict[str, Any] = json.loads(row.shown)
    shown: list[Any] = [(name, str(text)) for name, text in stored.items() if text is not None]
    return InventoryRow(
        ref=ref,
        provider=row.provider,
        organisation=row.org or NO_TEXT,
        format=Format(row.format),
        plaintext_provider=row.leaked,
        characters=row.characters,
        key_arn=wrapping[0] if wrapping else None,
        key_material_id=wrapping[1] if wrapping else None,
        evidence=evidence,
        created_at=row.created_at,
        shown=tuple(shown),
        tripwire=decoy.tripwire if decoy else None,
    )


def _sort(query: Query) -> SortKey:
    try:
        return SortKey(query.sort or SortKey.STATE)
    except ValueError as error:
        raise unknown_sort(query.sort, SortKey) from error


def _position(cursor: Cursor, places: Sequence[ColumnPlace]) -> Position:
    kept, name, row_id, _ = cursor.values
    number = next((p.number for p in places if p.name == name), None)
    if number is None:
        raise InvalidReferenceError(f"{name} can't be read any more.", remedy="List the tokens again.")
    return Position(number, kept, kept, row_id)  # type: ignore[arg-type]
