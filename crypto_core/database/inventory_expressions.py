"""SQL behind the inventory: its columns, orders, and what a filter's terms mean."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    DateTime,
    String,
    and_,
    case,
    cast,
    false,
    func,
    literal,
    null,
    or_,
)
from sqlalchemy import Text as SqlText

from crypto_core.database.answers import Wrapping
from crypto_core.database.expressions import (
    digest_of,
    edk_prefix_of,
    format_of,
    id_order,
    id_text,
    plaintext_provider_of,
)
from crypto_core.database.filters import Alternative, Field, Kind
from crypto_core.database.tables import TokenTable
from crypto_core.envelope import PROVIDER_PREFIXES, Format
from crypto_core.severity import FORMAT_SEVERITY, Severity

FIELDS: dict[str, Field] = {
    field.name: field
    for field in (
        Field("reference"),
        Field("table"),
        Field("column"),
        Field("id"),
        Field("org"),
        Field("provider"),
        Field("format", values=tuple(f.value for f in Format)),
        Field("severity", values=tuple(s.value for s in Severity)),
        Field("leaked", values=tuple(PROVIDER_PREFIXES)),
        Field("key"),
        Field("material"),
        Field("characters", Kind.NUMBER),
        Field("created", Kind.DATE),
    )
}
FIELDS |= {"ref": FIELDS["reference"], "material_id": FIELDS["material"], "state": FIELDS["severity"]}
"""Fields of the filter language. `leaked` is whose plaintext a value is; `key` also knows aliases."""


def matches(
    field: str | None, value: Alternative, c: Any, aliases: Mapping[str, Sequence[str]]
) -> ColumnElement[bool]:
    """The condition that one alternative of a term sets; `aliases` are those of key ARNs."""
    if field is None:
        pattern = value.regex()
        texts = (c.reference, c.org, c.provider, c.shown)
        return or_(*(t.regexp_match(pattern, flags="i") for t in texts))
    if field == "severity":
        wanted = [f.value for f, s in FORMAT_SEVERITY.items() if re.fullmatch(value.regex(), s.value)]
        matches: ColumnElement[bool] = c.format.in_(wanted) if wanted else false()
        return matches
    if value.is_range:
        column = c[_COLUMN_OF_FIELD.get(field, field)]
        bounds = []
        if value.at_least is not None:
            bounds.append(column >= value.at_least if value.include_least else column > value.at_least)
        if value.at_most is not None:
            bounds.append(column <= value.at_most if value.include_most else column < value.at_most)
        return and_(*bounds)
    pattern = f"^({value.regex()})$"
    if field == "key" and value.text == "unknown":
        return and_(c.format.in_([Format.V1.value, Format.V2.value]), c.key_arn.is_(None))
    if field == "key":
        arns = [
            arn
            for arn, names in aliases.items()
            if any(re.fullmatch(value.regex(), name, re.IGNORECASE) for name in names)
        ]
        by_id = func.regexp_replace(c.key_arn, "^.*[:/]", "").regexp_match(pattern, flags="i")
        return or_(c.key_arn.regexp_match(pattern, flags="i"), by_id, c.key_arn.in_(arns))
    result: ColumnElement[bool] = c[_COLUMN_OF_FIELD.get(field, field)].regexp_match(pattern, flags="i")
    return result


_COLUMN_OF_FIELD = {
    "id": "row_id",
    "material": "key_material_id",
    "created": "created_at",
}

_RANKS = {f.value: s.rank for f, s in FORMAT_SEVERITY.items()}

SORTS: dict[str, Callable[[Any], Any]] = {
    "state": lambda c: case(_RANKS, value=c.format, else_=0),
    "reference": lambda c: c.column_order,
    "org": lambda c: func.coalesce(c.org, "").collate("C"),
    "provider": lambda c: c.provider.collate("C"),
    "format": lambda c: c.format.collate("C"),
    "key": lambda c: func.concat(
        func.coalesce(c.key_arn, ""), " ", func.coalesce(c.key_material_id, "")
    ).collate("C"),
    "created": lambda c: func.coalesce(func.extract("epoch", c.created_at), 0),
}


def columns(table: TokenTable, column: str, source: Any, order: int) -> list[Any]:
    stored = source.c[column]
    shown: list[Any] = []
    for name in table.shown:
        if name != table.organisation:
            shown += [literal(name), cast(source.c[name], SqlText)]
    organisation = cast(source.c[table.organisation], SqlText) if table.organisation else literal("")
    created = source.c["created_at"] if "created_at" in table.shown else cast(null(), DateTime(timezone=True))
    return [
        cast(literal(table.name), String).label("table"),
        cast(literal(column), String).label("column"),
        literal(order).label("column_order"),
        id_text(table, source).label("row_id"),
        id_order(table, source).label("id_order"),
        func.concat(f"{table.name}.{column}:", id_text(table, source)).label("reference"),
        cast(literal(table.provider), String).label("provider"),
        organisation.label("org"),
        format_of(stored).label("format"),
        plaintext_provider_of(stored).label("leaked"),
        func.length(stored).label("characters"),
        edk_prefix_of(stored).label("edk_prefix"),
        cast(created, DateTime(timezone=True)).label("created_at"),
        cast(func.jsonb_build_object(*shown), SqlText).label("shown"),
    ]


def with_keys(
    part: Any, stored: Any, source: Any, relation: Any, known: Mapping[bytes, frozenset[Wrapping]]
) -> Any:
    """Add key_arn and key_material_id: the token's own answer, else its group's."""
    single = {prefix: next(iter(ws)) for prefix, ws in known.items() if len(ws) == 1}
    prefix = edk_prefix_of(stored)
    unknown = cast(null(), String)
    arn: Any = case({p: literal(w[0], String) for p, w in single.items()}, value=prefix, else_=unknown)
    materials = {p: literal(w[1], String) for p, w in single.items() if w[1]}
    material: Any = case(materials, value=prefix, else_=unknown) if materials else unknown
    if not single:
        arn = unknown
    if relation is None:
        return part.add_columns(arn.label("key_arn"), material.label("key_material_id"))
    joined = source.outerjoin(relation, relation.c.digest == digest_of(stored))
    asked = relation.c.digest.is_not(None)
    return part.select_from(joined).add_columns(
        case((asked, relation.c.key_arn), else_=arn).label("key_arn"),
        case((asked, relation.c.key_material_id), else_=material).label("key_material_id"),
    )
