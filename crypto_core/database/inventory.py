"""Which tokens, in what state? Keyset pages from SQL; no token value is ever selected."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    and_,
    func,
    literal,
    not_,
    or_,
    select,
    tuple_,
    union_all,
)

from crypto_core.coverage import Evidence
from crypto_core.database.answers import AnswerBook, Wrapping
from crypto_core.database.catalogue import LiveCatalogue
from crypto_core.database.engine import connected
from crypto_core.database.expressions import (
    digest_of,
    id_in,
    id_text,
    table_of,
)
from crypto_core.database.filters import Term, parse_filter
from crypto_core.database.inventory_expressions import FIELDS, SORTS, columns, matches, with_keys
from crypto_core.envelope import Format
from crypto_core.errors import RowVanishedError
from crypto_core.foreign import clean
from crypto_core.references import TokenRef
from crypto_core.severity import FORMAT_SEVERITY, Severity


class SortKey(StrEnum):
    """What the inventory can be sorted by. Ties are broken by reference, so equal rows never jump."""

    STATE = "state"
    REFERENCE = "reference"
    ORGANISATION = "org"
    PROVIDER = "provider"
    FORMAT = "format"
    KEY = "key"
    CREATED = "created"


@dataclass(frozen=True, slots=True)
class InventoryQuery:
    """A filter expression (see database/filters.py) and an order. State ascending means worst first."""

    filter: str = ""
    sort: SortKey = SortKey.STATE
    descending: bool = False


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a page ended; opaque to callers."""

    values: tuple[str | int | float, ...]


@dataclass(frozen=True, slots=True)
class InventoryRow:
    """One token without its value. Text from the database is cleaned already.

    `plaintext_provider` is whose plaintext it is (github, slack, atlassian), told by its prefix.
    `characters` is the stored value's length. `key_arn` and `key_material_id` come from attribution.
    `shown` are (column, text) pairs that help to recognise the row.
    """

    ref: TokenRef
    provider: str
    organisation: str
    format: Format
    plaintext_provider: str | None
    characters: int
    key_arn: str | None
    key_material_id: str | None
    evidence: Evidence
    created_at: datetime | None
    shown: tuple[tuple[str, str], ...]

    @property
    def severity(self) -> Severity:
        """What the way the token is stored means by itself."""
        return FORMAT_SEVERITY[self.format]

    def as_json(self) -> dict[str, Any]:
        """One entry of what `keydeck connections --json` prints."""
        return {
            "reference": str(self.ref),
            "provider": self.provider,
            "organisation": self.organisation,
            "format": self.format.value,
            "severity": self.severity.value,
            "plaintext_provider": self.plaintext_provider,
            "characters": self.characters,
            "key_arn": self.key_arn,
            "key_material_id": self.key_material_id,
            "evidence": self.evidence.value,
            "created_at": self.created_at.isoformat() if self.created_at else None,
            "shown": dict(self.shown),
        }


@dataclass(frozen=True, slots=True)
class InventoryPage:
    """Some rows in order. `next` continues after the last one; None means that there is nothing more."""

    rows: tuple[InventoryRow, ...]
    next: Cursor | None


class Inventory:
    """The inventory of one database. Every method may block on SQL: call it from a worker."""

    def __init__(
        self,
        engine: Engine,
        catalogue: LiveCatalogue,
        answers: AnswerBook,
        *,
        aliases: Callable[[], Mapping[str, Sequence[str]]] = dict,
    ) -> None:
        """`aliases` gives the aliases of key ARNs as far as they are known; it must not block."""
        self._engine = engine
        self._catalogue = catalogue
        self._answers = answers
        self._aliases = aliases

    def page(self, query: InventoryQuery, after: Cursor | None = None, *, limit: int = 200) -> InventoryPage:
        """Return up to `limit` rows. Raises InvalidFilterError with the position, DatabaseError."""
        terms = parse_filter(query.filter, FIELDS)
        with connected(self._engine) as connection:
            known = self._answers.by_group(connection)
            base = self._base(known, keys=query.sort is SortKey.KEY or _names(terms, "key", "material"))
            if base is None:
                return InventoryPage((), None)
            sort = SORTS[query.sort.value](base.c)
            tie = (base.c.column_order, base.c.id_order)
            conditions: list[Any] = [*self._conditions(terms, base.c)]
            if after is not None:
                first, *rest = after.values
                beyond = sort < first if query.descending else sort > first
                conditions.append(
                    or_(beyond, and_(sort == first, tuple_(*tie) > tuple_(*map(literal, rest))))
                )
            # Only where each row stands: what is shown of it is read for this page's rows alone.
            statement = (
                select(base.c.table, base.c.column, base.c.row_id, *tie, sort.label("sort"))
                .where(*conditions)
                .order_by(sort.desc() if query.descending else sort, *tie)
                .limit(limit + 1)
            )
            found = connection.execute(statement).all()
            refs = [TokenRef(row.table, row.column, row.row_id) for row in found[:limit]]
            rows = self._rows(connection, refs, known)
        last = found[limit - 1] if len(found) > limit else None
        cursor = Cursor((last.sort, last.column_order, last.id_order)) if last is not None else None
        return InventoryPage(rows, cursor)

    def count(self, query: InventoryQuery) -> int:
        """Return how many rows the filter lets through. Raises InvalidFilterError, DatabaseError."""
        terms = parse_filter(query.filter, FIELDS)
        with connected(self._engine) as connection:
            known = self._answers.by_group(connection)
            base = self._base(known, keys=_names(terms, "key", "material"))
            if base is None:
                return 0
            statement = select(func.count()).select_from(base).where(*self._conditions(terms, base.c))
            return int(connection.scalar(statement) or 0)

    def row(self, ref: TokenRef) -> InventoryRow:
        """Return one row as it is now. Raises InvalidReferenceError, RowVanishedError, DatabaseError."""
        self._catalogue().references(ref)
        with connected(self._engine) as connection:
            known = self._answers.by_group(connection)
            rows = self._rows(connection, [ref], known)
        if not rows:
            raise RowVanishedError(f"{ref}: there is no such row, or it holds no token.")
        return rows[0]

    def _base(
        self,
        known: Mapping[bytes, frozenset[Wrapping]],
        *,
        keys: bool = False,
        only: Sequence[TokenRef] | None = None,
    ) -> Any:
        """All tokens, or `only` some, as one relation without their values."""
        relation = self._answers.relation() if keys else None
        parts = []
        order = -1
        for table in self._catalogue().tables:
            for column in table.token_columns:
                order += 1
                ids = [r.row_id for r in only or () if (r.table, r.column) == (table.name, column)]
                if only is not None and not ids:
                    continue
                source = table_of(table)
                conditions: list[Any] = [source.c[column].is_not(None)]
                if only is not None:
                    conditions.append(id_in(table, source, ids))
                part = select(*columns(table, column, source, order)).where(*conditions)
                if keys:
                    part = with_keys(part, source.c[column], source, relation, known)
                parts.append(part)
        if not parts:
            return None
        return union_all(*parts).subquery("tokens") if len(parts) > 1 else parts[0].subquery("tokens")

    def _conditions(self, terms: Sequence[Term], c: Any) -> list[ColumnElement[bool]]:
        aliases = self._aliases() if _names(terms, "key") else {}
        conditions: list[ColumnElement[bool]] = []
        for term in terms:
            found: ColumnElement[bool] = or_(*(matches(term.field, a, c, aliases) for a in term.alternatives))
            found = func.coalesce(found, False)
            conditions += [not_(found) if term.negated else found]
        return conditions

    def _rows(
        self, connection: Connection, refs: Sequence[TokenRef], known: Mapping[bytes, frozenset[Wrapping]]
    ) -> tuple[InventoryRow, ...]:
        """What is shown of some tokens, in their order; those that are no longer there are left out."""
        base = self._base(known, only=refs)
        if base is None:
            return ()
        columns_shown = [column for column in base.c if column.name != "shown_texts"]
        read = {
            TokenRef(row.table, row.column, row.row_id): row
            for row in connection.execute(select(*columns_shown))
        }
        found = {ref: read[ref] for ref in refs if ref in read}
        answers = self._answers_about(connection, list(found.values()))
        rows = []
        for ref, row in found.items():
            evidence, wrapping = Evidence.UNKNOWN, None
            group = (
                known.get(bytes(row.edk_prefix), frozenset()) if row.edk_prefix is not None else frozenset()
            )
            if ref in answers:
                wrapping = answers[ref]
                evidence = Evidence.VERIFIED if wrapping else Evidence.UNKNOWN
            elif len(group) > 1:
                evidence = Evidence.CONFLICT
            elif group:
                evidence, wrapping = Evidence.INFERRED, next(iter(group))
            shown = {
                name: clean(text, 200) for name, text in json.loads(row.shown).items() if text is not None
            }
            rows.append(
                InventoryRow(
                    ref=ref,
                    provider=row.provider,
                    organisation=clean(row.org, 100),
                    format=Format(row.format),
                    plaintext_provider=row.leaked,
                    characters=row.characters,
                    key_arn=wrapping[0] if wrapping else None,
                    key_material_id=wrapping[1] if wrapping else None,
                    evidence=evidence,
                    created_at=row.created_at,
                    shown=tuple(shown.items()),
                )
            )
        return tuple(rows)

    def _answers_about(self, connection: Connection, found: Sequence[Any]) -> dict[TokenRef, Wrapping | None]:
        """What KMS has said about these very tokens, asked by digest of the page's envelopes."""
        digests: dict[bytes, list[TokenRef]] = {}
        by_column: dict[tuple[str, str], list[str]] = {}
        for row in found:
            if Format(row.format).protected:
                by_column.setdefault((row.table, row.column), []).append(row.row_id)
        for (name, column), ids in by_column.items():
            table = self._catalogue().table(name)
            source = table_of(table)
            statement = select(id_text(table, source), digest_of(source.c[column])).where(
                id_in(table, source, ids), source.c[column].is_not(None)
            )
            for row_id, digest in connection.execute(statement):
                digests.setdefault(bytes(digest), []).append(TokenRef(name, column, row_id))
        about = self._answers.about(connection, digests)
        return {
            ref: (answer.key_arn, answer.key_material_id) if answer.key_arn else None
            for digest, answer in about.items()
            for ref in digests[digest]
        }


def _names(terms: Iterable[Term], *fields: str) -> bool:
    return any(t.field in fields for t in terms)
