"""How texts are looked for where their number is not known: as SQL's patterns and regular expressions.

The same as `EventField.spellings` and `Alternative.matches` say of one text in memory. What can't be said so
is refused, with the character of the filter.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from crypto_core.errors import InvalidFilterError
from crypto_core.lists.filter_language import Alternative, Term, lower
from crypto_core.lists.filter_terms import Network
from crypto_core.trail.event_fields import EVENT_FIELDS
from crypto_core.trail.event_sql.conditions import BoundValues, any_of
from crypto_core.trail.sources.lake_sql import can_be_literal

_SEVERAL = ("key", "material")
_LONGEST = 400
"""Characters of a value: written as a pattern it may be twice as long, and Athena takes 1,024."""
_ESCAPE = "!"
_CONTROL = re.compile("[\x00-\x1f]")
_OCTET = "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9][0-9]|[0-9])"


class AmongPatterns:
    """An `Among` for Trino."""

    def __call__(
        self,
        column: str,
        term: Term,
        aliases: Mapping[str, Sequence[str]],
        bound: BoundValues,
        *,
        anywhere: bool = False,
    ) -> str:
        found: list[str] = []
        for value in term.alternatives:
            if value.is_anything:
                return f"\"{column}\" <> ''"
            reason = _unsaid(column, value)
            if reason:
                raise InvalidFilterError(
                    f"Filter, character {term.position + 1}: Athena can't be asked for {reason}.",
                    position=term.position,
                    remedy="Fetch the events and ask the store: keydeck events pull --from athena.",
                )
            found += _meant(column, value, aliases, bound, anywhere=anywhere)
        return f"\"{column}\" <> '' AND ({any_of(found)})"


def _unsaid(column: str, value: Alternative) -> str:
    """What Athena can't be asked for, "" where it can."""
    field = EVENT_FIELDS[column]
    if not can_be_literal(value.text) or len(value.text) > _LONGEST:
        return f"a value of more than {_LONGEST} characters, or with control characters"
    if value.network is not None and value.network.version != 4:
        return "a network of IPv6"
    if value.pattern is not None and (
        column in _SEVERAL
        or (field.shortened and "^" in value.pattern.written)
        or (field.ending and "$" in value.pattern.written)
    ):
        return f"this regular expression of {column}"
    return ""


def _meant(
    column: str,
    value: Alternative,
    aliases: Mapping[str, Sequence[str]],
    bound: BoundValues,
    *,
    anywhere: bool,
) -> Iterator[str]:
    small = folded(f'"{column}"')
    if value.pattern is not None:
        # No text of an event has control characters; a class may name some.
        written = _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", value.pattern.translated)
        yield f"regexp_like({small}, {bound.bind(written)})"
    elif value.network is not None:
        yield f'regexp_like("{column}", {bound.bind(_addresses(value.network))})'
    elif column in _SEVERAL:
        patterns = _each_of_several(column, value, anywhere=anywhere)
        yield from (f"regexp_like(' ' || {small} || ' ', {bound.bind(one)})" for one in patterns)
        for arn, names in aliases.items():
            if any(value.matches(name, anywhere=anywhere) for name in names):
                yield f"strpos(' ' || \"{column}\" || ' ', {bound.bind(f' {arn} ')}) > 0"
    else:
        yield from (
            f"{small} LIKE {bound.bind(one)} ESCAPE '{_ESCAPE}'"
            for one in _spelt(column, value, anywhere=anywhere)
        )


def folded(column: str) -> str:
    """Return a column in lower case as `lower` has it: of a letter that becomes two, it is itself."""
    return f"replace(lower(replace({column}, chr(304), chr(57344))), chr(57344), chr(304))"


def _spelt(column: str, value: Alternative, *, anywhere: bool) -> Iterator[str]:
    written = "%".join(re.sub("([!%_])", r"!\1", lower(part)) for part in value.parts)
    if anywhere:
        yield f"%{written}%"
        return
    yield written
    yield from (f"%{sign}{written}" for sign in EVENT_FIELDS[column].shortened)
    if ending := EVENT_FIELDS[column].ending:
        yield f"{written}{ending}"


def _each_of_several(column: str, value: Alternative, *, anywhere: bool) -> Iterator[str]:
    """Regular expressions of one of the values in a column of several; a key may be named by its id alone."""
    written = "[^ ]*".join(re.escape(lower(part)) for part in value.parts)
    if anywhere:
        yield written
        return
    yield f" {written} "
    if column == "key":
        yield f"/{written.replace('[^ ]*', '[^ /]*')} "


def _addresses(network: Network) -> str:
    first, last = (str(end).split(".") for end in (network.network_address, network.broadcast_address))
    parts = [_numbers(int(low), int(high)) for low, high in zip(first, last, strict=True)]
    return rf"\A{'[.]'.join(parts)}\z"


def _numbers(low: int, high: int) -> str:
    return _OCTET if (low, high) == (0, 255) else f"({'|'.join(map(str, range(low, high + 1)))})"
