"""The filter language of lists: `provider:slack format:plaintext,dev -org:acme created:2026-01-01.. "exact"`.

Terms stand next to each other and must all hold. `-` in front negates a term. `field:value` compares one
field, `*` stands for any characters, commas separate alternatives, quotes keep spaces, commas and stars.
`field:>5`, `>=`, `<`, `<=` and `from..to` are ranges. A term without a field is looked for everywhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum

from crypto_core.errors import InvalidFilterError


class Kind(Enum):
    """What a field's values are."""

    TEXT = "text"
    NUMBER = "number"
    DATE = "date"


@dataclass(frozen=True, slots=True)
class Field:
    """A field that can be asked for. `values` are the only ones it takes, where there are only some."""

    name: str
    kind: Kind = Kind.TEXT
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Alternative:
    """One value of a term: a text with `*` as wildcard (unless `literal`), or a range with open ends."""

    text: str = ""
    literal: bool = False
    at_least: float | datetime | None = None
    at_most: float | datetime | None = None
    include_least: bool = True
    include_most: bool = True

    @property
    def is_range(self) -> bool:
        """True if this compares by size rather than by text."""
        return self.at_least is not None or self.at_most is not None

    def regex(self) -> str:
        """The text as a regular expression for the whole value, `*` standing for anything."""
        if self.literal:
            return re.escape(self.text)
        return ".*".join(re.escape(part) for part in self.text.split("*"))


@dataclass(frozen=True, slots=True)
class Term:
    """One condition. `field` is None for free text. `position` is where it begins, counted from 0."""

    field: str | None
    alternatives: tuple[Alternative, ...]
    negated: bool
    position: int


def parse_filter(expression: str, fields: Mapping[str, Field]) -> tuple[Term, ...]:
    """Return the terms of an expression. Raises InvalidFilterError pointing at the character.

    `fields` are those that may be named, by name; several names may mean one field.
    """
    return _Parser(expression, fields).terms()


class _Parser:
    def __init__(self, expression: str, fields: Mapping[str, Field]) -> None:
        self._text = expression
        self._fields = fields
        self._at = 0

    def terms(self) -> tuple[Term, ...]:
        unstorable = re.search("[\x00\ud800-\udfff]", self._text)
        if unstorable:
            raise self._error("No text holds this character.", unstorable.start())
        terms: list[Term] = []
        while True:
            self._skip_space()
            if self._at >= len(self._text):
                return tuple(terms)
            terms.append(self._term())

    def _term(self) -> Term:
        start = self._at
        negated = self._take("-")
        field = None
        name = re.compile(r"[A-Za-z_][A-Za-z_-]*(?=:)").match(self._text, self._at)
        if name:
            field = self._fields.get(name[0].lower())
            if field is None:
                known = ", ".join(dict.fromkeys(f.name for f in self._fields.values()))
                raise self._error(f"There is no field {name[0]!r}.", self._at, f"Fields: {known}.")
            self._at = name.end() + 1
        alternatives = [self._alternative(field)]
        while self._take(","):
            alternatives.append(self._alternative(field))
        return Term(field.name if field else None, tuple(alternatives), negated, start)

    def _alternative(self, field: Field | None) -> Alternative:
        start = self._at
        if self._take('"'):
            return self._quoted(field, start)
        word = re.compile(r'[^\s,"]*').match(self._text, self._at)
        value = word[0] if word else ""
        self._at += len(value)
        if not value:
            raise self._error("A value is missing here.", start)
        if field is not None and field.kind is not Kind.TEXT:
            return self._range(field, value, start)
        self._check_known(field, value, start)
        return Alternative(text=value)

    def _quoted(self, field: Field | None, start: int) -> Alternative:
        end = self._text.find('"', self._at)
        if end < 0:
            raise self._error("This quote is not closed.", start)
        value = self._text[self._at : end]
        self._at = end + 1
        if not value:
            raise self._error("A value is missing here.", start)
        if field is not None and field.kind is not Kind.TEXT:
            return self._range(field, value, start)
        self._check_known(field, value, start)
        return Alternative(text=value, literal=True)

    def _check_known(self, field: Field | None, value: str, start: int) -> None:
        if field is None or not field.values:
            return
        pattern = re.compile(Alternative(text=value).regex(), re.IGNORECASE)
        if not any(pattern.fullmatch(v) for v in field.values):
            raise self._error(
                f"{field.name} is never {value!r}.", start, f"Values: {', '.join(field.values)}."
            )

    def _range(self, field: Field, value: str, start: int) -> Alternative:
        read: Callable[[str, int], float | datetime] = self._date if field.kind is Kind.DATE else self._number
        if ".." in value:
            first, _, last = value.partition("..")
            if not first and not last:
                raise self._error("A range needs a beginning or an end.", start)
            return Alternative(
                at_least=read(first, start) if first else None,
                at_most=read(last, start + len(first) + 2) if last else None,
            )
        comparison = re.compile(r"(>=|<=|>|<)(.+)").fullmatch(value)
        if comparison:
            bound = read(comparison[2], start + len(comparison[1]))
            if comparison[1].startswith(">"):
                return Alternative(at_least=bound, include_least="=" in comparison[1])
            return Alternative(at_most=bound, include_most="=" in comparison[1])
        exact = read(value, start)
        return Alternative(at_least=exact, at_most=exact)

    def _number(self, value: str, start: int) -> float:
        if not re.fullmatch(r"\d{1,15}(\.\d{1,6})?", value):
            raise self._error(f"{value!r} is not a number.", start)
        return float(value)

    def _date(self, value: str, start: int) -> datetime:
        try:
            moment = datetime.fromisoformat(value)
        except ValueError as error:
            raise self._error(
                f"{value!r} is not a date.", start, "Write dates as 2026-11-24 or 2026-11-24T12:00."
            ) from error
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)

    def _skip_space(self) -> None:
        while self._at < len(self._text) and self._text[self._at].isspace():
            self._at += 1

    def _take(self, character: str) -> bool:
        if self._text.startswith(character, self._at):
            self._at += 1
            return True
        return False

    def _error(self, message: str, position: int, remedy: str = "") -> InvalidFilterError:
        return InvalidFilterError(
            f"Filter, character {position + 1}: {message}", position=position, remedy=remedy
        )
