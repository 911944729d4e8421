"""The filter language of lists: `provider:slack format:plaintext,dev -org:acme created:2026-01-01.. "exact"`.

Terms stand next to each other and must all hold. `-` in front negates a term. `field:value` compares one
field, `*` stands for any characters, commas separate alternatives, quotes keep spaces, commas and stars.
`field:>5`, `>=`, `<`, `<=` and `from..to` are ranges. A date without a time is the whole day, in UTC. A term
without a field is looked for everywhere; some lists know words that stand for a property, such as `service`.
`since:` and `until:` take a date or how long ago: `90s`, `30m`, `2h`, `7d`, `2w`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import Enum

from crypto_core.errors import InvalidFilterError


class ValueKind(Enum):
    """What a field's values are."""

    TEXT = "text"
    NUMBER = "number"
    DATE = "date"
    SINCE = "since"
    """A moment, or how long ago, from which on the field `of` must be."""
    UNTIL = "until"
    """A moment, or how long ago, up to which the field `of` must be."""
    FLAG = "flag"
    """A property: the name alone is the condition."""


@dataclass(frozen=True, slots=True)
class Field:
    """A field that can be asked for. `values` are the only ones it takes, where there are only some."""

    name: str
    kind: ValueKind = ValueKind.TEXT
    values: tuple[str, ...] = ()
    of: str = ""
    """The field that `since` and `until` are about."""


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

    @property
    def parts(self) -> tuple[str, ...]:
        """The text cut at its wildcards: one part where it has none. Stars next to each other are one."""
        return (self.text,) if self.literal else tuple(re.split(r"\*+", self.text))

    def matches(self, value: str, *, anywhere: bool = False) -> bool:
        """True if a text is what this stands for, or, `anywhere`, has it in itself. Case doesn't count.

        Takes time by the lengths of both, however many stars there are.
        """
        text = lower(value)
        first, *middle = [lower(part) for part in self.parts]
        if not anywhere and not text.startswith(first):
            return False
        if not middle:
            return first in text if anywhere else text == first
        # The first place that fits leaves most for the rest, so that no other needs to be tried.
        place = text.find(first) if anywhere else 0
        end = len(text) if anywhere else len(text) - len(last := middle.pop())
        for part in [first, *middle]:
            place = text.find(part, place, end) if place >= 0 else -1
            if place < 0:
                return False
            place += len(part)
        return anywhere or (place <= end and text.endswith(last))

    def holds(self, value: float | datetime) -> bool:
        """True if a number or moment is in this range."""
        above = self.at_least is None or (
            value >= self.at_least if self.include_least else value > self.at_least  # type: ignore[operator]
        )
        below = self.at_most is None or (
            value <= self.at_most if self.include_most else value < self.at_most  # type: ignore[operator]
        )
        return above and below


@dataclass(frozen=True, slots=True)
class Term:
    """One condition. `field` is None for free text. `position` is where it begins, counted from 0."""

    field: str | None
    alternatives: tuple[Alternative, ...]
    negated: bool
    position: int


@dataclass(frozen=True, slots=True)
class _Span:
    """What a written value covers: a number or moment itself, or a day up to the next one's beginning."""

    first: float | datetime
    last: float | datetime
    whole: bool = True
    """True if `last` belongs to it."""


SET = (Alternative(text="yes", literal=True),)
"""The alternatives of a term that asks for a flag: a row that has the property holds "yes" there."""

MOST_CHARACTERS = 65_536
"""Characters of an expression."""

_AGO = re.compile(r"(\d{1,6})([smhdw])", re.IGNORECASE)
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}


def parse_filter(
    expression: str, fields: Mapping[str, Field], *, now: datetime | None = None
) -> tuple[Term, ...]:
    """Return the terms of an expression. Raises InvalidFilterError pointing at the character.

    `fields` are those that may be named, by name; several names may mean one field. `now` is what is counted
    back from; by default the time it is.
    """
    if len(expression) > MOST_CHARACTERS:
        raise InvalidFilterError(
            f"The filter has more than {MOST_CHARACTERS:,} characters.", position=MOST_CHARACTERS
        )
    return _Parser(expression, fields, now or datetime.now(UTC)).terms()


def how_long(text: str) -> timedelta | None:
    """Return a length of time such as 90s, 30m, 2h, 7d or 2w; None if it is none."""
    found = _AGO.fullmatch(text)
    return timedelta(seconds=int(found[1]) * _SECONDS[found[2].lower()]) if found else None


Value = str | float | datetime | Iterable[str] | None
"""What a field of a row holds; of several texts any counts, None is nothing that could be found."""


def passes(terms: Iterable[Term], read: Callable[[str], Value], *, free: Iterable[str] = ()) -> bool:
    """True if every term lets a row through whose fields `read` gives, by name.

    Free text is looked for in the fields `free`. SQL lets the same rows through: see database/conditions.py.
    """
    everywhere = tuple(free)

    def found(term: Term, alternative: Alternative) -> bool:
        if term.field is None:
            return any(alternative.matches(t, anywhere=True) for f in everywhere for t in _texts(read(f)))
        value = read(term.field)
        if alternative.is_range:
            return isinstance(value, int | float | datetime) and alternative.holds(value)
        return any(alternative.matches(text) for text in _texts(value))

    return all(term.negated is not any(found(term, a) for a in term.alternatives) for term in terms)


def lower(text: str) -> str:
    """The text in lower case, character by character, as PostgreSQL's lower() in C.UTF-8 has it."""
    if text.isascii():
        return text.lower()
    return "".join(small if len(small := c.lower()) == 1 else c for c in text)


def _texts(value: Value) -> Iterable[str]:
    if value is None:
        return ()
    if isinstance(value, str):
        return (value,)
    if isinstance(value, int | float | datetime):
        return (str(value),)
    return value


class _Parser:
    def __init__(self, expression: str, fields: Mapping[str, Field], now: datetime) -> None:
        self._text = expression
        self._fields = fields
        self._now = now
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
            if field.kind is ValueKind.FLAG:
                raise self._error(
                    f"{field.name} takes no value.", name.end(), f"Write {field.name} or -{field.name}."
                )
            self._at = name.end() + 1
        elif flag := self._flag():
            return Term(flag.name, SET, negated, start)
        alternatives = [self._alternative(field)]
        while self._take(","):
            alternatives.append(self._alternative(field))
        return Term((field.of or field.name) if field else None, tuple(alternatives), negated, start)

    def _flag(self) -> Field | None:
        """The property that the next word stands for, if it does."""
        word = re.compile(r"[A-Za-z]+(?![^\s])").match(self._text, self._at)
        field = self._fields.get(word[0].lower()) if word else None
        if word is None or field is None or field.kind is not ValueKind.FLAG:
            return None
        self._at = word.end()
        return field

    def _alternative(self, field: Field | None) -> Alternative:
        start = self._at
        if self._take('"'):
            return self._quoted(field, start)
        word = re.compile(r'[^\s,"]*').match(self._text, self._at)
        value = word[0] if word else ""
        self._at += len(value)
        if not value:
            raise self._error("A value is missing here.", start)
        if field is not None and field.kind is not ValueKind.TEXT:
            return self._range(field, value, start)
        return self._known(field, Alternative(text=value), start)

    def _quoted(self, field: Field | None, start: int) -> Alternative:
        end = self._text.find('"', self._at)
        if end < 0:
            raise self._error("This quote is not closed.", start)
        value = self._text[self._at : end]
        self._at = end + 1
        if not value:
            raise self._error("A value is missing here.", start)
        if field is not None and field.kind is not ValueKind.TEXT:
            return self._range(field, value, start + 1)
        return self._known(field, Alternative(text=value, literal=True), start)

    def _known(self, field: Field | None, value: Alternative, start: int) -> Alternative:
        """The alternative, if the field can ever have such a value."""
        if field is None or not field.values:
            return value
        if not any(map(value.matches, field.values)):
            raise self._error(
                f"{field.name} is never {value.text!r}.", start, f"Values: {', '.join(field.values)}."
            )
        return value

    def _range(self, field: Field, value: str, start: int) -> Alternative:
        if field.kind in (ValueKind.SINCE, ValueKind.UNTIL):
            moment = self._moment(value, start)
            if field.kind is ValueKind.SINCE:
                return Alternative(at_least=moment.first)
            return Alternative(at_most=moment.last, include_most=moment.whole)
        if ".." in value:
            first, _, last = value.partition("..")
            if not first and not last:
                raise self._error("A range needs a beginning or an end.", start)
            least = self._span(field, first, start) if first else None
            most = self._span(field, last, start + len(first) + 2) if last else None
            return Alternative(
                at_least=least.first if least else None,
                at_most=most.last if most else None,
                include_most=most.whole if most else True,
            )
        comparison = re.compile(r"(>=|<=|>|<)(.+)", re.DOTALL).fullmatch(value)
        if not comparison:
            exact = self._span(field, value, start)
            return Alternative(at_least=exact.first, at_most=exact.last, include_most=exact.whole)
        bound = self._span(field, comparison[2], start + len(comparison[1]))
        match comparison[1]:
            case ">":
                return Alternative(at_least=bound.last, include_least=not bound.whole)
            case ">=":
                return Alternative(at_least=bound.first)
            case "<":
                return Alternative(at_most=bound.first, include_most=False)
            case _:
                return Alternative(at_most=bound.last, include_most=bound.whole)

    def _span(self, field: Field, value: str, start: int) -> _Span:
        if field.kind is ValueKind.DATE:
            return self._date(value, start)
        number = self._number(value, start)
        return _Span(number, number)

    def _moment(self, value: str, start: int) -> _Span:
        ago = how_long(value)
        if ago is None:
            return self._date(value, start, "Or how long ago: 90s, 30m, 2h, 7d, 2w.")
        try:
            moment = self._now - ago
        except OverflowError as error:
            raise self._error(f"{value!r} is too long ago.", start) from error
        return _Span(moment, moment)

    def _number(self, value: str, start: int) -> float:
        if not re.fullmatch(r"\d{1,15}(\.\d{1,6})?", value):
            raise self._error(f"{value!r} is not a number.", start)
        return float(value)

    def _date(self, value: str, start: int, other: str = "") -> _Span:
        try:
            moment = datetime.fromisoformat(value)
        except ValueError as error:
            remedy = f"Write dates as 2026-11-24 or 2026-11-24T12:00. {other}".rstrip()
            raise self._error(f"{value!r} is not a date.", start, remedy) from error
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        if not _is_day(value):
            return _Span(moment, moment)
        if moment.date() == date.max:
            return _Span(moment, datetime.max.replace(tzinfo=UTC))
        return _Span(moment, moment + timedelta(days=1), whole=False)

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


def _is_day(value: str) -> bool:
    """True for a date without a time."""
    try:
        date.fromisoformat(value)
    except ValueError:
        return False
    return True
