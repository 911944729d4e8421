"""What a filter's terms mean in SQL. `filters.passes` lets the same rows through in memory.

What is the same for a whole column (its table, its provider) is decided here, so that the columns that a
filter leaves out are never read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, and_, cast, false, func, literal, not_, or_, true
from sqlalchemy import Text as SqlText
from sqlalchemy.sql.elements import False_, True_

from crypto_core.database.tokens.attribution_cache import Wrapping
from crypto_core.database.tokens.inventory_expressions import ColumnPlace, has_format, leaked_by
from crypto_core.database.tokens.key_expressions import KeyView
from crypto_core.envelope import ENVELOPE_FORMATS, PROVIDER_PREFIXES, Format
from crypto_core.findings.finding import FORMAT_SEVERITY
from crypto_core.lists.coverage import Evidence
from crypto_core.lists.filter_language import Alternative, Clause, Either, Term, simplified, terms_of
from crypto_core.lists.regular_expression import Pattern

_SPELLINGS = 1024
"""Spellings of an id in upper and lower case that are looked up; of longer ones every row is compared."""
_LARGEST = 2**63

_PLAIN = ("text", "varchar")

_ABOUT_KEYS = ("key", "material", "evidence")


def asks_for_keys(clauses: Iterable[Clause]) -> bool:
    return any(t.field in _ABOUT_KEYS for t in terms_of(clauses))


def asks_for_evidence(clauses: Iterable[Clause]) -> bool:
    return any(t.field == "evidence" for t in terms_of(clauses))


class Matcher:
    """The conditions that the clauses of one filter set. Nothing of the operator's text becomes SQL."""

    def __init__(
        self, clauses: Iterable[Clause], keys: KeyView, aliases: Mapping[str, Sequence[str]]
    ) -> None:
        self._clauses = simplified(clauses)
        self._keys = keys
        self._aliases = aliases
        self.formats = frozenset(f for f in Format if all(_lets_through(one, f) for one in self._clauses))
        """The formats that the filter leaves, as far as its terms name them."""

    def passing(self, place: ColumnPlace) -> ColumnElement[bool]:
        """For a token of the column; SQL's FALSE where none can pass."""
        return and_(place.stored.is_not(None), *(self._clause(one, place) for one in self._clauses))

    def parted(self, places: Sequence[ColumnPlace]) -> tuple[ColumnElement[bool], list[ColumnElement[bool]]]:
        """The condition for a row of a table, and further ones for the token of each of these columns.

        What the filter says of the row itself is asked once, not for each of its tokens.
        """
        by_term = [[self._clause(one, place) for place in places] for one in self._clauses]
        of_row = [conditions[0] for conditions in by_term if _are_same(conditions)]
        own = [conditions for conditions in by_term if not _are_same(conditions)]
        there = or_(*(place.stored.is_not(None) for place in places))
        further = [
            and_(place.stored.is_not(None), *(conditions[n] for conditions in own))
            for n, place in enumerate(places)
        ]
        return and_(there, *of_row), further

    def excludes(self, place: ColumnPlace) -> bool:
        return any(isinstance(self._clause(one, place), False_) for one in self._clauses)

    def names_rows(self, place: ColumnPlace) -> bool:
        """Whether the filter names single rows, so that the primary key finds them."""
        return any(
            isinstance(one, Term)
            and not one.negated
            and one.field in ("id", "reference")
            and all(
                a.is_text and len(a.parts) == 1 and _is_indexed(one.field, a, place) for a in one.alternatives
            )
            for one in self._clauses
        )

    def _clause(self, one: Clause, place: ColumnPlace) -> ColumnElement[bool]:
        if isinstance(one, Term):
            return self._term(one, place)
        found = _any(_all(self._clause(inner, place) for inner in branch) for branch in one.branches)
        return _not(found) if one.negated else found

    def _term(self, term: Term, place: ColumnPlace) -> ColumnElement[bool]:
        found = _any(self._alternative(term.field, a, place) for a in term.alternatives)
        return _not(found) if term.negated else found

    def _alternative(self, field: str | None, value: Alternative, place: ColumnPlace) -> ColumnElement[bool]:
        if field is None:
            return self._anywhere(value, place)
        constant = {"table": place.table.name, "column": place.column, "provider": place.table.provider}
        if field in constant:
            return _told(value.matches(constant[field]))
        if value.is_range:
            return _within(place.created if field == "created" else place.characters, value)
        if field in ("id", "reference"):
            return _identified(field, value, place)
        if field == "org":
            return _is_text(place.organisation, value)
        if field == "leaked":
            providers = [p for p in PROVIDER_PREFIXES if value.matches(p)]
            plaintext = has_format(place.stored, [Format.PLAINTEXT])
            return and_(plaintext, _any(leaked_by(place.stored, p) for p in providers))
        if field in _ABOUT_KEYS:
            return self._about_keys(field, value, place)
        return has_format(place.stored, (f for f in Format if value.matches(_called(field, f))))

    def _anywhere(self, value: Alternative, place: ColumnPlace) -> ColumnElement[bool]:
        if value.matches(place.table.provider, anywhere=True):
            return true()
        if value.pattern is not None:
            texts = (place.reference, *place.texts(()))
            return or_(*(_has_pattern(text, value.pattern) for text in texts))
        if value.matches(f"{place.name}:", anywhere=True):
            return true()
        # What is neither in the column's name nor reaches over its colon is in the id.
        inside = len(value.parts) == 1 and ":" not in value.text
        reference = place.id_text if inside else place.reference
        return or_(*(_has_text(text, value) for text in (reference, *place.texts(value.parts))))

    def _about_keys(self, field: str, value: Alternative, place: ColumnPlace) -> ColumnElement[bool]:
        if field == "evidence":
            wanted = [e for e in Evidence if value.matches(e.value)]
            return _any(self._keys.has_evidence(place.stored, e) for e in wanted)
        if field == "key" and value.text == "unknown":
            told = self._keys.is_under(place.stored, self._keys.wrappings)
            return and_(has_format(place.stored, ENVELOPE_FORMATS), not_(func.coalesce(told, False)))
        names = self._names if field == "key" else _material
        found = [w for w in self._keys.wrappings if any(value.matches(name) for name in names(w))]
        return self._keys.is_under(place.stored, found)

    def _names(self, wrapping: Wrapping) -> Iterable[str]:
        arn, _ = wrapping
        return (arn, re.sub("^.*[:/]", "", arn), *self._aliases.get(arn, ()))


def _called(field: str, format_: Format) -> str:
    return format_.value if field == "format" else FORMAT_SEVERITY[format_].value


def _lets_through(one: Clause, format_: Format) -> bool:
    if isinstance(one, Either):
        # What a negated one leaves out is not known of a whole format: its terms may be about more.
        return one.negated or any(all(_lets_through(i, format_) for i in branch) for branch in one.branches)
    return _lets_term_through(one, format_)


def _lets_term_through(term: Term, format_: Format) -> bool:
    if term.field in ("key", "material") and not term.negated:
        return format_.protected
    if term.field == "leaked" and not term.negated:
        return format_ is Format.PLAINTEXT
    if term.field not in ("format", "severity"):
        return True
    return term.negated is not any(a.matches(_called(term.field, format_)) for a in term.alternatives)


def _material(wrapping: Wrapping) -> Iterable[str]:
    return (wrapping[1],) if wrapping[1] else ()


def _are_same(conditions: Sequence[ColumnElement[bool]]) -> bool:
    return all(conditions[0].compare(other) for other in conditions[1:])


def _any(conditions: Iterable[ColumnElement[bool]]) -> ColumnElement[bool]:
    """SQL's TRUE or FALSE itself where that is known without a row."""
    open_ = []
    for condition in conditions:
        if isinstance(condition, True_):
            return condition
        if not isinstance(condition, False_):
            open_.append(condition)
    return or_(*open_) if open_ else false()


def _all(conditions: Iterable[ColumnElement[bool]]) -> ColumnElement[bool]:
    open_ = []
    for condition in conditions:
        if isinstance(condition, False_):
            return condition
        if not isinstance(condition, True_):
            open_.append(condition)
    return and_(*open_) if open_ else true()


def _not(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    """What isn't known, such as a date that isn't there, is not so."""
    return not_(condition if isinstance(condition, True_ | False_) else func.coalesce(condition, False))


def _told(answer: bool) -> ColumnElement[bool]:
    return true() if answer else false()


def _within(column: Any, value: Alternative) -> ColumnElement[bool]:
    bounds = []
    if value.at_least is not None:
        bounds.append(column >= value.at_least if value.include_least else column > value.at_least)
    if value.at_most is not None:
        bounds.append(column <= value.at_most if value.include_most else column < value.at_most)
    return and_(*bounds)


def _is_text(column: Any, value: Alternative) -> ColumnElement[bool]:
    if value.pattern is not None:
        return _has_pattern(column, value.pattern)
    parts = value.parts
    if len(parts) == 1:
        same: ColumnElement[bool] = _lower(column) == func.lower(literal(parts[0], SqlText))
        return same
    return _like(column, "%".join(map(_escaped, parts)))


def _has_text(column: Any, value: Alternative) -> ColumnElement[bool]:
    return _like(column, "%" + "%".join(map(_escaped, value.parts)) + "%")


def _like(column: Any, pattern: str) -> ColumnElement[bool]:
    found: ColumnElement[bool] = _lower(column).like(func.lower(literal(pattern, SqlText)))
    return found


def _has_pattern(column: Any, pattern: Pattern) -> ColumnElement[bool]:
    found: ColumnElement[bool] = _lower(column).op("~", is_comparison=True)(
        literal(pattern.translated, SqlText)
    )
    return found


def _lower(column: Any) -> Any:
    """By the database's rules, whatever the column's own."""
    return func.lower(column.collate("default"))


def _escaped(text: str) -> str:
    return re.sub(r"([\\%_])", r"\\\1", text)


def _identified(field: str, value: Alternative, place: ColumnPlace) -> ColumnElement[bool]:
    if not value.is_text or len(value.parts) != 1:
        return _is_text(place.id_text if field == "id" else place.reference, value)
    row_id = _row_id(field, value, place)
    return false() if row_id is None else _is_id(row_id, place)


def _row_id(field: str, value: Alternative, place: ColumnPlace) -> str | None:
    """None for another column's row."""
    if field == "id":
        return value.text
    begins = f"{place.name}:"
    named = Alternative(value.text[: len(begins)], literal=True)
    return value.text[len(begins) :] if named.text and named.matches(begins) else None


def _is_indexed(field: str, value: Alternative, place: ColumnPlace) -> bool:
    row_id = _row_id(field, value, place)
    if row_id is None or place.has_members:
        return True
    return all(
        place.table.kind_of(name) != "text" or (_spellings(part) and place.table.type_of(name) in _PLAIN)
        for name, part in _parts(row_id, place)
    )


def _is_id(text: str, place: ColumnPlace) -> ColumnElement[bool]:
    if place.has_members:
        # By the row alone all of its members.
        row_id = place.ref(text).row_id
        rows = _is_row(row_id, place)
        return and_(rows, _is_text(place.id_text, Alternative(text, literal=True))) if "#" in text else rows
    return _is_row(text, place)


def _is_row(text: str, place: ColumnPlace) -> ColumnElement[bool]:
    parts = _parts(text, place)
    return and_(*(_is_part(name, part, place) for name, part in parts)) if parts else false()


def _parts(row_id: str, place: ColumnPlace) -> list[tuple[str, str]]:
    """The id's columns with their values; none for what can't be an id of the table."""
    try:
        return list(zip(place.table.id_columns, place.table.id_parts(row_id), strict=True))
    except ValueError:
        return []


def _is_part(name: str, text: str, place: ColumnPlace) -> ColumnElement[bool]:
    kind, column = place.table.kind_of(name), place.source.c[name]
    if kind == "integer":
        plain = re.fullmatch(r"0|-?[1-9][0-9]{0,18}", text)
        return column == int(text) if plain and abs(int(text)) < _LARGEST else false()
    if kind == "uuid":
        return column == text if _is_uuid(text) else false()
    spellings = _spellings(text) if place.table.type_of(name) in _PLAIN else []
    if spellings:
        found: ColumnElement[bool] = column.in_(spellings)
        return found
    return _is_text(cast(column, SqlText), Alternative(text, literal=True))


def _is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text.lower()
    except ValueError:
        return False


def _spellings(text: str) -> list[str]:
    """A text in upper and lower case, letter by letter; none if they are too many."""
    if not text.isascii() or 2 ** sum(c.isalpha() for c in text) > _SPELLINGS:
        return []
    return ["".join(letters) for letters in product(*({c.lower(), c.upper()} for c in text))]
