"""Rows in memory: counted, listed and looked into."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from threading import Event
from typing import TYPE_CHECKING, cast

from crypto_core.database.column_guards.model import ColumnGuard, GuardState
from crypto_core.database.tokens.attribution import KeyCount
from crypto_core.database.tokens.catalogue import Catalogue
from crypto_core.database.tokens.census import Census, CensusProgress, GroupCount
from crypto_core.database.tokens.inspection import Inspection
from crypto_core.database.tokens.inventory import InventoryRow, SortKey
from crypto_core.database.tokens.inventory_expressions import FIELDS
from crypto_core.database.tokens.tables import TokenColumn, TokenTable
from crypto_core.database.tokens.token_groups import (
    KEY_NOT_KNOWN,
    MOST_GROUPS,
    GroupBy,
    TokenGroup,
    TokenGroups,
)
from crypto_core.envelope import Format
from crypto_core.keyring.data_keys import KeyAnswer
from crypto_core.keyring.kms_keyring import KmsKeyring
from crypto_core.keys.service import status_of
from crypto_core.keys.status import Status
from crypto_core.lists.coverage import Evidence
from crypto_core.lists.filter_language import Value
from crypto_core.lists.paging import Cursor, Page, Query
from crypto_core.lists.sheet import MemorySource
from crypto_core.reencryption.plan import Selection
from crypto_core.values.references import TokenRef
from tests.screens.samples import CURRENT, NOW

if TYPE_CHECKING:
    from crypto_core.aws.kms import KmsApi
    from tests.screens.stage import Stage


FREE = ("reference", "org", "provider")


def _guard(column: str) -> ColumnGuard:
    table, _, name = column.partition(".")
    state = GuardState.VALIDATED if name == "refresh_token" else GuardState.MISSING
    return ColumnGuard(TokenColumn(table, name), f"public.{table}", name, "text", "platform", False, state)


def _read(row: InventoryRow, field: str) -> Value:
    match field:
        case "reference":
            return str(row.ref)
        case "table":
            return row.ref.table
        case "column":
            return row.ref.column
        case "id":
            return row.ref.row_id
        case "org":
            return row.organisation
        case "format":
            return row.format.value
        case "severity":
            return row.severity.value
        case "leaked":
            return row.plaintext_provider
        case "key":
            if row.format.protected and row.key_arn is None:
                return "unknown"
            return ((row.key_arn or "").rsplit("/", 1)[-1], row.key_arn or "")
        case "material":
            return row.key_material_id
        case "created":
            return row.created_at
    value: str = getattr(row, field)
    return value


_ORDER: dict[str, Callable[[InventoryRow], str | int | None]] = {
    SortKey.STATE: lambda r: r.severity.rank,
    SortKey.REFERENCE: lambda r: str(r.ref),
    SortKey.ORGANISATION: lambda r: r.organisation,
    SortKey.PROVIDER: lambda r: r.provider,
    SortKey.FORMAT: lambda r: r.format.value,
    SortKey.KEY: lambda r: r.key_arn or "",
    SortKey.EVIDENCE: lambda r: r.evidence.value,
    SortKey.CHARACTERS: lambda r: r.characters,
    SortKey.CREATED: lambda r: int(r.created_at.timestamp()) if r.created_at else 0,
}


@dataclass
class StageStatus:
    stage: Stage

    def take_census(
        self,
        *,
        cancelled: Event | None = None,
        progress: Callable[[CensusProgress], None] | None = None,
    ) -> Status:
        """Count the rows, with the progress that the stage is set to tell."""
        if progress is not None and self.stage.counting is not None:
            progress(self.stage.counting)
        self.stage.enter("status")
        counted = status_of(
            self._census(),
            tuple(self._key_counts()),
            {key.key_arn: key for key in self.stage.keys},
            KmsKeyring(cast("KmsApi", None), write_key=CURRENT),
            trusted=None,
            guards=tuple(_guard(str(column)) for column in self._columns()),
        )
        problems = counted.problems if self.stage.problems is None else self.stage.problems
        more = {"coverage": self.stage.coverage, "accepted": self.stage.accepted}
        return replace(counted, problems=problems, **more)  # type: ignore[arg-type]

    def _columns(self) -> tuple[TokenColumn, ...]:
        return tuple(dict.fromkeys(TokenColumn(row.ref.table, row.ref.column) for row in self.stage.rows))

    def _census(self) -> Census:
        samples: dict[tuple[str, Format], TokenRef] = {}
        tokens: Counter[tuple[str, Format]] = Counter()
        for row in self.stage.rows:
            group = f"{row.ref.table}.{row.ref.column}", row.format
            samples.setdefault(group, row.ref)
            tokens[group] += 1
        groups = tuple(GroupCount(*of, None, False, None, "", n, samples[of]) for of, n in tokens.items())
        tables: dict[str, list[str]] = {}
        for column in self._columns():
            tables.setdefault(column.table, []).append(column.column)
        described = (TokenTable(table, "id", "text", tuple(names), (), "") for table, names in tables.items())
        return Census(NOW, Catalogue(tuple(described), (), {}), groups, {})

    def _key_counts(self) -> Iterator[KeyCount]:
        under = Counter(
            (row.key_arn, row.key_material_id, row.evidence)
            for row in self.stage.rows
            if row.format.protected
        )
        for (arn, material, evidence), count in under.items():
            yield KeyCount(
                wrapping=(arn, material) if arn and material else None,
                tokens=count,
                asked={Evidence.VERIFIED: count, Evidence.UNKNOWN: 0}.get(evidence, 1),
                evidence=evidence,
                note={
                    Evidence.CONFLICT: "2 groups disagree",
                    Evidence.UNKNOWN: "KMS denies kms:Decrypt",
                }.get(evidence, ""),
            )


class StageInventory:
    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self._source = MemorySource(
            lambda: stage.rows,
            fields=FIELDS,
            read=_read,
            identity=lambda row: str(row.ref),
            sorts=_ORDER,
            free=FREE,
        )

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
        self.stage.enter("page", cancelled)
        return self._source.page(
            query, start, backwards=backwards, inclusive=inclusive, limit=limit, cancelled=cancelled
        )

    def count(self, query: Query, *, cancelled: Event | None = None) -> int:
        self.stage.enter("count", cancelled)
        return self._source.count(query)

    def tokens(self, filter_: str, *, cancelled: Event | None = None) -> int:
        return self.count(Query(filter_), cancelled=cancelled)

    def row(self, ref: TokenRef) -> InventoryRow:
        self.stage.enter("row")
        return self.stage.rows[self.stage.index(ref)]

    def rows(self, refs: Sequence[TokenRef]) -> tuple[InventoryRow, ...]:
        self.stage.enter("rows")
        there = {row.ref: row for row in self.stage.rows}
        return tuple(there[ref] for ref in refs if ref in there)

    def groups(
        self,
        by: GroupBy,
        filter_: str = "",
        *,
        most: int = MOST_GROUPS,
        named: bool = False,
        cancelled: Event | None = None,
    ) -> TokenGroups:
        self.stage.enter("groups", cancelled)
        counts: dict[str, Counter[Format]] = {}
        for row in self._source.page(Query(filter_, "reference"), limit=100_000).rows:
            value = {
                GroupBy.ORGANISATION: row.organisation,
                GroupBy.PROVIDER: row.provider,
                GroupBy.FORMAT: row.format.value,
                GroupBy.KEY: (row.key_arn or KEY_NOT_KNOWN) if row.format.protected else "",
            }[by]
            counts.setdefault(value, Counter())[row.format] += 1
        groups = [TokenGroup(value, by_format) for value, by_format in counts.items()]
        return TokenGroups(by, tuple(sorted(groups, key=lambda group: -group.tokens))[:most])

    def references(self, filter_: str, *, cancelled: Event | None = None) -> Iterator[list[TokenRef]]:
        yield [row.ref for row in self._source.page(Query(filter_, "reference"), limit=100_000).rows]

    def selected(self, selection: Selection) -> list[InventoryRow]:
        if selection.filter is not None:
            page = self._source.page(Query(selection.filter, "reference"), limit=100_000)
            return [row for row in page.rows if row.ref not in selection.except_for]
        return [self.row(ref) for ref in selection.references if isinstance(ref, TokenRef)]


@dataclass
class StageInspector:
    stage: Stage

    def inspect_token(self, ref: TokenRef, *, ask_kms: bool = True) -> Inspection:
        self.stage.enter("inspect_kms" if ask_kms else "inspect")
        at = self.stage.index(ref)
        row = self.stage.rows[at]
        if not row.format.protected:
            return Inspection(row, (), None, row.evidence)
        fields = (
            ("encrypted data key", "184 bytes, KMS header 01 02 03 00 78"),
            ("nonce", "12 bytes"),
            ("ciphertext", "56 bytes"),
        )
        if ask_kms:
            row = replace(row, evidence=Evidence.VERIFIED, key_arn=row.key_arn or CURRENT)
            self.stage.rows[at] = row
        answer = KeyAnswer(row.key_arn, row.key_material_id) if row.key_arn else None
        return Inspection(row, fields, answer, row.evidence)
