"""Reads the values of a filter: dates, how long ago, numbers, networks, hours and weekdays."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import Enum

from crypto_core.lists.filter_terms import Alternative
from crypto_core.lists.regular_expression import lower
from crypto_core.values.clean_text import clean
from crypto_core.values.errors import InvalidFilterError

_AGO = re.compile(r"(\d{1,6})([smhdw])", re.IGNORECASE)
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_DAYS = {
    day[:3]: day for day in ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
}
WEEKDAYS = tuple(_DAYS)
HOURS = tuple(f"{hour:02}" for hour in range(24))


class ValueKind(Enum):
    TEXT = "text"
    ADDRESS = "address"
    """A text, or a network such as 10.20.0.0/16 that an address is in."""
    NUMBER = "number"
    DATE = "date"
    CYCLE = "cycle"
    """One of `values`, or a range of them, which may begin again behind the last: `22..06`."""
    SINCE = "since"
    """A moment, or how long ago, from which on the field `of` must be."""
    UNTIL = "until"
    """A moment, or how long ago, up to which the field `of` must be."""
    FLAG = "flag"
    KEYED = "keyed"
    """Texts by a key, which is written behind a dot: `param.grantee:…`."""


@dataclass(frozen=True, slots=True)
class Field:
    """`values` are the only ones it takes, if any; `of` is the field that since and until are about."""

    name: str
    kind: ValueKind = ValueKind.TEXT
    values: tuple[str, ...] = ()
    of: str = ""

    @property
    def shown(self) -> str:
        return f"{self.name}.NAME" if self.kind is ValueKind.KEYED else self.name


@dataclass(frozen=True, slots=True)
class _Span:
    """What a written value covers: a number or moment itself, or a day up to the next one's beginning."""

    first: float | datetime
    last: float | datetime
    whole: bool = True


def how_long(text: str) -> timedelta | None:
    """Return a length of time such as 90s, 30m, 2h, 7d or 2w; None if it is none."""
    found = _AGO.fullmatch(text)
    return timedelta(seconds=int(found[1]) * _SECONDS[found[2].lower()]) if found else None


def known(field: Field | None, value: Alternative, start: int) -> Alternative:
    """Return the alternative, if the field can ever have such a value. Raises InvalidFilterError."""
    if field is None or not field.values:
        return value
    if not any(map(value.matches, field.values)):
        raise error(
            f"{field.name} is never {clean(value.text, 60)!r}.", start, f"Values: {', '.join(field.values)}."
        )
    return value


def network(value: str, start: int, *, exact: bool) -> Alternative:
    """Return the network that is meant; `exact` it may be a text, too. Raises InvalidFilterError."""
    try:
        return Alternative(text=value, network=ipaddress.ip_network(value, strict=False))
    except ValueError as cause:
        if exact:
            return Alternative(text=value, literal=True)
        raise error(
            f"{clean(value, 60)!r} is not a network.",
            start,
            "Write networks as 10.20.0.0/16 or 2001:db8::/32.",
        ) from cause


def cycle(field: Field, value: str, start: int) -> Sequence[Alternative]:
    """Return each of the values from one to another. Raises InvalidFilterError."""
    first, range_, last = value.partition("..")
    begin = _place(field, first, start)
    end = _place(field, last, start + len(first) + 2) if range_ else begin
    many = (end - begin) % len(field.values) + 1
    return [
        Alternative(text=field.values[(begin + n) % len(field.values)], literal=True) for n in range(many)
    ]


def _place(field: Field, value: str, start: int) -> int:
    written = value.zfill(2) if value.isdecimal() else lower(value)
    for place, name in enumerate(field.values):
        if written in (name, _DAYS.get(name)):
            return place
    first, *_, last = field.values
    raise error(
        f"{field.name} is never {clean(value, 60)!r}.",
        start,
        f"Write {field.name}:{first}, {field.name}:{first},{last} or {field.name}:{first}..{last}, which may "
        "run past the last one. All is UTC.",
    )


class ValueReader:
    COMPARED = (ValueKind.NUMBER, ValueKind.DATE, ValueKind.SINCE, ValueKind.UNTIL)

    def __init__(self, now: datetime) -> None:
        self._now = now

    def compared(self, field: Field, value: str, start: int) -> Alternative:
        """Return a value as a range; a single one as that from itself to itself."""
        if field.kind in (ValueKind.SINCE, ValueKind.UNTIL):
            moment = self._moment(value, start)
            if field.kind is ValueKind.SINCE:
                return Alternative(at_least=moment.first)
            return Alternative(at_most=moment.last, include_most=moment.whole)
        if ".." in value:
            first, _, last = value.partition("..")
            if not first and not last:
                raise error("A range needs a beginning or an end.", start)
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
            return _date(value, start)
        number = _number(value, start)
        return _Span(number, number)

    def _moment(self, value: str, start: int) -> _Span:
        ago = how_long(value)
        if ago is None:
            return _date(value, start, "Or how long ago: 90s, 30m, 2h, 7d, 2w.")
        try:
            moment = self._now - ago
        except OverflowError as cause:
            raise error(f"{value!r} is too long ago.", start) from cause
        return _Span(moment, moment)


def _number(value: str, start: int) -> float:
    if not re.fullmatch(r"\d{1,15}(\.\d{1,6})?", value):
        raise error(f"{clean(value, 60)!r} is not a number.", start, "Write 5, >5, <=5 or 5..10.")
    return float(value)


def _date(value: str, start: int, other: str = "") -> _Span:
    try:
        moment = datetime.fromisoformat(value)
    except ValueError as cause:
        remedy = f"Write dates as 2026-11-24 or 2026-11-24T12:00. {other}".rstrip()
        raise error(f"{clean(value, 60)!r} is not a date.", start, remedy) from cause
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    if not _is_day(value):
        return _Span(moment, moment)
    if moment.date() == date.max:
        return _Span(moment, datetime.max.replace(tzinfo=UTC))
    return _Span(moment, moment + timedelta(days=1), whole=False)


def _is_day(value: str) -> bool:
    try:
        date.fromisoformat(value)
    except ValueError:
        return False
    return True


def error(message: str, position: int, remedy: str = "") -> InvalidFilterError:
    """Points at a character, counted from 0."""
    return InvalidFilterError(
        f"Filter, character {position + 1}: {message}", position=position, remedy=remedy
    )
