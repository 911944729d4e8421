"""How texts are looked for where their number is not known: as SQL's patterns and regular expressions.

The same as `EventField.spellings` and `Alternative.matches` say of one text in memory. What can't be said so
is refused, with the character of the filter.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from sqlalchemy import ColumnElement, String, and_, false, func, literal_column, or_

from crypto_core.errors import InvalidFilterError
from crypto_core.lists.filter_language import Alternative, Term, lower
from crypto_core.lists.filter_terms import Network
from crypto_core.trail.event_fields import EventField
from crypto_core.trail.event_sql.dialect import can_be_literal
from crypto_core.trail.term_sql import spelt

_SPACE = literal_column("' '", String)
_SEVERAL = ("key", "material")
_LONGEST = 400
"""Characters of a value: written as a pattern it may be twice as long, and Athena takes 1,024."""
_CONTROL = re.compile("[\x00-\x1f]")
_OCTET = "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9][0-9]|[0-9])"


def among_patterns(
    column: ColumnElement[str],
    field: EventField,
    term: Term,
    aliases: Mapping[str, Sequence[str]],
    *,
    anywhere: bool = False,
) -> ColumnElement[bool]:
    """An `Among` for Trino."""
    found: list[ColumnElement[bool]] = []
    for value in term.alternatives:
        if value.is_anything:
            return column != ""
        reason = _unsaid(field, value)
        if reason:
            raise InvalidFilterError(
                f"Filter, character {term.position + 1}: Athena can't be asked for {reason}.",
                position=term.position,
                remedy="Fetch the events and ask the store: keydeck events pull --from athena.",
            )
        found += _meant(column, field, value, aliases, anywhere=anywhere)
    return and_(column != "", or_(false(), *found))


def _unsaid(field: EventField, value: Alternative) -> str:
    """What Athena can't be asked for, "" where it can."""
    if not can_be_literal(value.text) or len(value.text) > _LONGEST:
        return f"a value of more than {_LONGEST} characters, or with control characters"
    if value.network is not None and value.network.version != 4:
        return "a network of IPv6"
    if value.pattern is not None and (
        field.name in _SEVERAL
        or (field.shortened and "^" in value.pattern.written)
        or (field.ending and "$" in value.pattern.written)
    ):
        return f"this regular expression of {field.name}"
    return ""


def _meant(
    column: ColumnElement[str],
    field: EventField,
    value: Alternative,
    aliases: Mapping[str, Sequence[str]],
    *,
    anywhere: bool,
) -> Iterator[ColumnElement[bool]]:
    small = _folded(column)
    if value.pattern is not None:
        # No text of an event has control characters; a class may name some.
        written = _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", value.pattern.translated)
        yield func.regexp_like(small, written)
    elif value.network is not None:
        yield func.regexp_like(column, _addresses(value.network))
    elif field.name in _SEVERAL:
        for one in _each_of_several(field, value, anywhere=anywhere):
            yield func.regexp_like(_SPACE.concat(small).concat(_SPACE), one)
        for arn, names in aliases.items():
            if any(value.matches(name, anywhere=anywhere) for name in names):
                yield func.strpos(_SPACE.concat(column).concat(_SPACE), f" {arn} ") > 0
    else:
        yield from spelt(small, value, field, anywhere=anywhere)


def _folded(column: ColumnElement[str]) -> ColumnElement[str]:
    """Return a column in lower case as `lower` has it: of a letter that becomes two, it is itself."""
    dotted, unused = func.chr(304), func.chr(57344)
    return func.replace(func.lower(func.replace(column, dotted, unused)), unused, dotted)


def _each_of_several(field: EventField, value: Alternative, *, anywhere: bool) -> Iterator[str]:
    """Regular expressions of one of the values in a column of several; a key may be named by its id alone."""
    written = "[^ ]*".join(re.escape(lower(part)) for part in value.parts)
    if anywhere:
        yield written
        return
    yield f" {written} "
    if field.name == "key":
        yield f"/{written.replace('[^ ]*', '[^ /]*')} "


def _addresses(network: Network) -> str:
    first, last = (str(end).split(".") for end in (network.network_address, network.broadcast_address))
    parts = [_numbers(int(low), int(high)) for low, high in zip(first, last, strict=True)]
    return rf"\A{'[.]'.join(parts)}\z"


def _numbers(low: int, high: int) -> str:
    return _OCTET if (low, high) == (0, 255) else f"({'|'.join(map(str, range(low, high + 1)))})"
