"""The tokens of one column as SQL: what is shown of them, and what can be asked about them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
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
    not_,
    null,
    or_,
)
from sqlalchemy import Text as SqlText

from crypto_core.coverage import Evidence
from crypto_core.database.expressions import (
    digest_of,
    edk_prefix_of,
    format_of,
    id_text,
    is_envelope,
    plaintext_provider_of,
)
from crypto_core.database.tables import TokenTable
from crypto_core.envelope import PROVIDER_PREFIXES, STORED_PREFIXES, Format
from crypto_core.filters import Field, Kind
from crypto_core.severity import Severity

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
        Field("evidence", values=tuple(e.value for e in Evidence)),
        Field("characters", Kind.NUMBER),
        Field("created", Kind.DATE),
    )
}
FIELDS |= {"ref": FIELDS["reference"], "material_id": FIELDS["material"], "state": FIELDS["severity"]}
"""Fields of the filter language. `leaked` is whose plaintext a value is; `key` also knows aliases."""


@dataclass(frozen=True, slots=True)
class Place:
    """One token column. `number` is its place among all, `source` its table or some rows of that."""

    number: int
    table: TokenTable
    column: str
    source: Any

    @property
    def name(self) -> str:
        """The column as it is written: table.column."""
        return f"{self.table.name}.{self.column}"

    @property
    def id(self) -> Any:
        """The row's id, in its own type and order."""
        return self.source.c[self.table.id_column]

    @property
    def id_text(self) -> Any:
        """The row's id as text."""
        return id_text(self.table, self.source)

    @property
    def stored(self) -> Any:
        """The stored value; NULL is no token."""
        return self.source.c[self.column]

    @property
    def organisation(self) -> Any:
        """Whose the row is; "" where that isn't known."""
        name = self.table.organisation
        if not name:
            return cast(literal(""), SqlText)
        text = cast(self.source.c[name], SqlText)
        return text if name in self.table.required else func.coalesce(text, "")

    @property
    def created(self) -> Any:
        """When the row was made; NULL where that isn't known."""
        name = self.table.created
        known = name is not None and name in self.table.shown
        return cast(self.source.c[name] if known else null(), DateTime(timezone=True))

    @property
    def characters(self) -> Any:
        """The stored value's length. An envelope has as many bytes, and they need not be counted."""
        return case(
            (is_envelope(self.stored), func.octet_length(self.stored)), else_=func.length(self.stored)
        )

    @property
    def reference(self) -> Any:
        """The token's reference as text."""
        return func.concat(f"{self.name}:", self.id_text)

    @property
    def texts(self) -> list[Any]:
        """Where free text is looked for besides the reference, each for itself."""
        shown = [self.source.c[n] for n in self.table.shown if n != self.table.organisation]
        return [self.organisation, *(cast(c, SqlText) for c in shown)]

    def columns(self) -> list[Any]:
        """What is shown of a token, without its value."""
        shown = [n for n in self.table.shown if n != self.table.organisation]
        pairs = (part for name in shown for part in (name, cast(self.source.c[name], SqlText)))
        return [
            cast(literal(self.table.name), String).label("table"),
            cast(literal(self.column), String).label("column"),
            self.id_text.label("row_id"),
            cast(literal(self.table.provider), String).label("provider"),
            self.organisation.label("org"),
            format_of(self.stored).label("format"),
            plaintext_provider_of(self.stored).label("leaked"),
            self.characters.label("characters"),
            edk_prefix_of(self.stored).label("edk_prefix"),
            case((is_envelope(self.stored), digest_of(self.stored))).label("digest"),
            self.created.label("created_at"),
            cast(func.json_build_object(*pairs), SqlText).label("shown"),
        ]


def has_format(stored: Any, formats: Iterable[Format]) -> ColumnElement[bool]:
    """True for values in one of some formats."""
    wanted = frozenset(formats)
    if wanted == frozenset(Format):
        return literal(True)
    return or_(false(), *(_is(stored, f) for f in Format if f in wanted))


def _is(stored: Any, format_: Format) -> ColumnElement[bool]:
    if format_ in STORED_PREFIXES:
        begins: ColumnElement[bool] = func.starts_with(stored, STORED_PREFIXES[format_])
        return begins
    if format_ is Format.EMPTY:
        empty: ColumnElement[bool] = stored == ""
        return empty
    # What is nearly every value goes first: the rest is not looked at then.
    other = [not_(func.starts_with(stored, prefix)) for prefix in STORED_PREFIXES.values()]
    plain = or_(*(leaked_by(stored, provider) for provider in PROVIDER_PREFIXES))
    return and_(*other, plain if format_ is Format.PLAINTEXT else and_(stored != "", not_(plain)))


def leaked_by(stored: Any, provider: str) -> ColumnElement[bool]:
    """True for plaintext of a provider, told by its prefix."""
    return or_(*(func.starts_with(stored, prefix) for prefix in PROVIDER_PREFIXES[provider]))
