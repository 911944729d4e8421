"""What to write into the settings file for a table that was found, and what can't be described there."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from crypto_core.database.tokens.sweep.results import FoundColumn, FoundTable, Sweep
from crypto_core.database.tokens.tables import CONVERTED, TokenTable
from crypto_core.envelope import PROVIDER_PREFIXES
from crypto_core.envelope.issuers import TABLE_WORDS

_NAME = re.compile(r"[A-Za-z_]\w*")
_TEXT = ("text", "character")


@dataclass(frozen=True, slots=True)
class TableProposal:
    """An entry of the setting `tables`, None where there can be none, and why columns are not in it.

    What the entry holds is as the database has it, to be written and not to be shown.
    """

    table: FoundTable
    entry: dict[str, Any] | None
    left_out: tuple[str, ...] = ()


def propose(sweep: Sweep, declared: Iterable[TokenTable]) -> tuple[TableProposal, ...]:
    """Return what to write for each table that was found; once for a table that many schemas have alike.

    An entry takes the place of the built-in table of its name, so it has that one's token columns too.
    """
    known = {table.name: table for table in declared if table.schema is None}
    alike: dict[Any, list[FoundTable]] = {}
    for table in sweep.found:
        columns = tuple((c.name, _is_plain(c), _is_documents(c)) for c in table.columns)
        same = (table.name, table.kind, table.id_column, table.id_kind, columns)
        alike.setdefault(table.schema if table.visible else same, []).append(table)
    return tuple(
        _proposal(table, known.get(table.name), schema)
        for group in alike.values()
        for table, schema in _places(group)
    )


def _places(alike: Sequence[FoundTable]) -> Iterable[tuple[FoundTable, str | None]]:
    schemas = [table.schema for table in alike]
    pattern = _pattern(schemas)
    if not alike[0].visible and len(alike) > 1 and pattern:
        return [(alike[0], pattern)]
    return [(table, None if table.visible else table.schema) for table in alike]


def _pattern(schemas: Sequence[str]) -> str:
    """The pattern that matches all of some schemas, "" where they have no word in common, first or last."""
    before = re.match(r".*[\W_]|[^\W\d_]{3,}|", os.path.commonprefix(schemas))  # noqa: RUF071  # of text
    after = re.match(r".*[\W_]|", os.path.commonprefix([name[::-1] for name in schemas]))  # noqa: RUF071
    words = (before[0] if before else "", after[0][::-1] if after else "")
    return "*".join(words) if any(words) else ""


def _proposal(table: FoundTable, known: TokenTable | None, schema: str | None) -> TableProposal:
    hindrance = _hindrance(table)
    if hindrance:
        return TableProposal(table, None, (hindrance,))
    plain = {column.name for column in table.columns if _is_plain(column)}
    documents = {column.name for column in table.columns if _is_documents(column)} - plain
    left_out = tuple(
        f"{table.place_of(column)} ({column.type}): the settings have no words for such tokens."
        for column in table.columns
        if column.name not in plain | documents
    )
    found = [column.name for column in table.columns if column.name in plain | documents]
    if not found:
        return TableProposal(table, None, left_out)
    if schema is not None and known and _is_like(table, found, documents, known):
        return TableProposal(table, {"name": table.name, "schema": schema}, left_out)
    # Elsewhere a table of that name may have other columns.
    known = known if schema is None else None
    tokens = tuple(dict.fromkeys((*(known.token_columns if known else ()), *found)))
    documents |= known.documents if known else frozenset()
    entry: dict[str, Any] = {
        "name": table.name,
        **({} if schema is None else {"schema": schema}),
        "id": _toml(known.id_column if known else table.id_column),
        "id_kind": known.id_kind if known else table.id_kind,
        "token_columns": list(tokens),
        "shown": [c for c in (known.shown if known else table.beside) if c not in tokens],
        "provider": known.provider if known else _provider(table),
    }
    organisation = known.organisation if known else next((c for c in table.beside if c == "org_id"), None)
    if organisation is not None:
        entry["organisation"] = organisation
    if documents:
        entry["documents"] = [column for column in tokens if column in documents]
    return TableProposal(table, entry, left_out)


def _hindrance(table: FoundTable) -> str:
    if table.kind not in ("table", "partitioned table"):
        return f"{table.place} is a {table.kind}: what is written belongs where its rows come from."
    if not _NAME.fullmatch(table.name):
        return f"{table.place}: a table in the settings has a name of letters, digits and underscores."
    if table.id_column is None:
        return f"{table.place} has no column that names one row: it needs a primary key."
    return ""


def _is_like(table: FoundTable, found: Sequence[str], documents: set[str], known: TokenTable) -> bool:
    alike = {c for c in found if (c in documents) is (c in known.documents)}
    return table.id_column == known.id_column and set(found) == alike <= set(known.token_columns)


def _toml(id_column: str | tuple[str, ...] | None) -> str | list[str] | None:
    return list(id_column) if isinstance(id_column, tuple) else id_column


def _is_plain(column: FoundColumn) -> bool:
    """True for a column whose values are tokens, rather than documents with some in them.

    Of a binary one with both, all are found as documents.
    """
    most = 0 if column.type == "bytea" else column.begins
    return _is_read(column) and column.begins > 0 and column.documents <= most


def _is_documents(column: FoundColumn) -> bool:
    return _is_read(column) and column.documents > 0


def _is_read(column: FoundColumn) -> bool:
    """A type with tokens that the settings have words for, and a name without a dot."""
    return (_is_text(column) or column.type in CONVERTED) and "." not in column.name


def _is_text(column: FoundColumn) -> bool:
    return column.type.startswith(_TEXT) and not column.type.endswith("[]")


def _provider(table: FoundTable) -> str:
    """By the plaintext tokens or the table's name, else "other"."""
    told = {kind for column in table.columns for kind in column.kinds if kind in PROVIDER_PREFIXES}
    if len(told) == 1:
        return told.pop()
    words = re.split(r"[\W_]+", table.name.lower())
    return next((TABLE_WORDS[word] for word in words if word in TABLE_WORDS), "other")
