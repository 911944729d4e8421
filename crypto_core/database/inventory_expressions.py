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
    select,
)
from sqlalchemy import Text as SqlText

from crypto_core.database.answers import Wrapping
from crypto_core.database.expressions import (
    digest_of,
    edk_prefix_of,
    edk_prefix_of_head,
    format_of,
    head_of,
    id_order,
    id_text,
    is_envelope,
    plaintext_provider_of,
)
from crypto_core.database.filters import Alternative, Field, Kind
from crypto_core.database.tables import TokenTable
from crypto_core.envelope import ENVELOPE_FORMATS, PROVIDER_PREFIXES, Format
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
        texts = (c.reference, c.org, c.provider, c.shown_texts)
        return or_(*(t.regexp_match(pattern, flags="i") for t in texts))
    if field == "severity":
        named = re.compile(value.regex(), re.IGNORECASE)
        wanted = [f.value for f, s in FORMAT_SEVERITY.items() if named.fullmatch(s.value)]
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
        return and_(c.format.in_([f.value for f in ENVELOPE_FORMATS]), c.key_arn.is_(None))
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
    shown = {n: cast(source.c[n], SqlText) for n in table.shown if n != table.organisation}
    pairs = (part for pair in shown.items() for part in pair)
    organisation = cast(source.c[table.organisation], SqlText) if table.organisation else literal("")
    created = source.c[table.created] if table.created in table.shown else null()
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
        cast(func.json_build_object(*pairs), SqlText).label("shown"),
        func.concat_ws("\x1f", "", *shown.values()).label("shown_texts"),
    ]


def with_keys(
    part: Any, stored: Any, source: Any, relation: Any, known: Mapping[bytes, frozenset[Wrapping]]
) -> Any:
    """Add key_arn and key_material_id: the token's own answer, else its group's."""
    heads = _keys_by_head(stored, source, known)
    joined = source.outerjoin(heads, heads.c.head == head_of(stored))
    if relation is None:
        return part.select_from(joined).add_columns(heads.c.key_arn, heads.c.key_material_id)
    joined = joined.outerjoin(relation, relation.c.digest == digest_of(stored))
    asked = relation.c.digest.is_not(None)
    return part.select_from(joined).add_columns(
        case((asked, relation.c.key_arn), else_=heads.c.key_arn).label("key_arn"),
        case((asked, relation.c.key_material_id), else_=heads.c.key_material_id).label("key_material_id"),
    )


def _keys_by_head(stored: Any, source: Any, known: Mapping[bytes, frozenset[Wrapping]]) -> Any:
    """The key and material of each head that occurs, where its group has one answer."""
    single = {prefix: next(iter(ws)) for prefix, ws in known.items() if len(ws) == 1}
    materials = {p: literal(w[1], String) for p, w in single.items() if w[1]}
    unknown = cast(null(), String)
    heads = select(head_of(stored).label("head")).select_from(source).where(is_envelope(stored))
    occurring = heads.distinct().subquery()
    prefix = edk_prefix_of_head(occurring.c.head)
    arn: Any = unknown
    if single:
        arn = case({p: literal(w[0], String) for p, w in single.items()}, value=prefix, else_=unknown)
    material = case(materials, value=prefix, else_=unknown) if materials else unknown
    return (
        select(occurring.c.head, arn.label("key_arn"), material.label("key_material_id"))
        .offset(0)  # computed once a head, before it is joined
        .subquery()
    )
