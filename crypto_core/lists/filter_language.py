r"""The filter language of lists: `provider:slack format:plaintext,dev -org:acme created:2026-01-01.. "text"`.

Terms stand next to each other and must all hold, with or without AND between them. OR separates what may hold
instead; parentheses group; NOT, or `-` in front, negates. AND, OR and NOT are words only in capital letters.
`field:value` compares one field, `*` stands for any characters, commas separate alternatives, quotes keep
spaces, commas and stars. `field:/…/` is a regular expression, found anywhere in the value unless `^` and `$`
hold it: see regular_expression.py. `field:>5`, `>=`, `<`, `<=` and `from..to` are ranges. A date without a
time is the whole day, in UTC. A term without a field is looked for everywhere; some lists know words that
stand for a property, such as `service`. `since:` and `until:` take a date or how long ago: `90s`, `30m`,
`2h`, `7d`, `2w`. What other languages write is refused with what is meant: see foreign_spellings.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from crypto_core.lists.filter_terms import (
    SET,
    Alternative,
    Clause,
    Either,
    Term,
    Value,
    passes,
    simplified,
    terms_of,
)
from crypto_core.lists.filter_values import (
    HOURS,
    WEEKDAYS,
    Field,
    ValueKind,
    ValueReader,
    cycle,
    error,
    how_long,
    known,
    network,
)
from crypto_core.lists.foreign_spellings import OBJECTS, foreign_value, foreign_word
from crypto_core.lists.regular_expression import PatternError, lower, pattern
from crypto_core.values.clean_text import clean, shortened
from crypto_core.values.errors import InvalidFilterError
from crypto_core.values.typed_names import meant

__all__ = [
    "HOURS",
    "SET",
    "WEEKDAYS",
    "Alternative",
    "Clause",
    "Either",
    "Field",
    "Term",
    "Value",
    "ValueKind",
    "how_long",
    "lower",
    "parse_filter",
    "passes",
    "simplified",
    "terms_of",
    "unquoted",
    "written",
]

MOST_CHARACTERS = 65_536
MOST_TERMS = 300
MOST_VALUES = 2_000
MOST_DEPTH = 30

_OPERATOR = re.compile(r'(AND|OR|NOT)(?=[\s()"]|$)')
_NAME = re.compile(r"[A-Za-z_][A-Za-z_-]*(?:\.[A-Za-z0-9_-]+)*(?=:)")
_WORD = re.compile(r'[^\s,"()]*')
_FLAG = re.compile(r'[A-Za-z]+(?=[\s()"]|$)')
_PATTERN = re.compile(r"/((?:[^/\\]|\\.)*)/", re.DOTALL)
_KEY = re.compile(r'(?:"[^"]+"|[^\s:,"()])+')
_SEGMENTS = {"keydeck": 2, "aws": 3}
"""Colons belong to keys that begin so: `keydeck:id`, `aws:s3:arn`. Others have them in quotes."""


def parse_filter(
    expression: str, fields: Mapping[str, Field], *, now: datetime | None = None
) -> tuple[Clause, ...]:
    """Return the clauses of an expression, all of which must hold. Raises InvalidFilterError.

    `fields` are those that may be named, by name in lower case; several names may mean one field. `now` is
    what is counted back from; by default the time it is.
    """
    if len(expression) > MOST_CHARACTERS:
        raise InvalidFilterError(
            f"The filter has more than {MOST_CHARACTERS:,} characters.", position=MOST_CHARACTERS
        )
    return _Parser(expression, fields, now or datetime.now(UTC)).clauses()


TIMES = "Write it as 2026-11-24, 2026-11-24T12:00 (UTC), or how long ago: 90s, 30m, 2h, 7d, 2w."
_MOMENTS = {"since": Field("since", ValueKind.SINCE), "until": Field("until", ValueKind.UNTIL)}


def read_moment(words: str, now: datetime, *, until: bool = False) -> datetime:
    """Return the moment of a value of since:, or of until:. Raises InvalidFilterError.

    Of a date without a time it is when the day begins, for `until` its last second.
    """
    refused = InvalidFilterError(f"{shortened(words, 40)!r} is not a valid time.", position=0, remedy=TIMES)
    if '"' in words:  # it would end the value
        raise refused
    try:
        (term,) = terms_of(parse_filter(f'{"until" if until else "since"}:"{words}"', _MOMENTS, now=now))
    except InvalidFilterError:
        # Where in a filter it would stand tells nobody anything.
        raise refused from None
    found = term.alternatives[0]
    bound = found.at_most if until else found.at_least
    if not isinstance(bound, datetime):
        raise refused
    # Events have whole seconds: a day ends with the last one before the next day.
    return bound if found.include_most else bound - timedelta(seconds=1)


def written(text: str) -> str:
    """Return a text as a value that means it, in quotes.

    The language has no way to write a quote within quotes: such a text has `*` for what can't be written, and
    lets a little more through than was meant.
    """
    if '"' in text or "\x00" in text or not text.isprintable():
        return unquoted(text) or "*"
    return f'"{text}"'


def are_alternatives(clauses: Sequence[Clause]) -> bool:
    """Return whether a filter is alternatives without parentheses, which a term next to them would join."""
    return len(clauses) == 1 and isinstance(clauses[0], Either) and not clauses[0].enclosed


def unquoted(text: str) -> str:
    """Return a text as a part of a value without quotes; what can't stand there is any character."""
    return re.sub(r"^/|[^\w.:@#/-]", "*", text)


class _Parser:
    def __init__(self, expression: str, fields: Mapping[str, Field], now: datetime) -> None:
        self._text = expression
        self._fields = fields
        self._values = ValueReader(now)
        self._at = 0
        self._terms = 0
        self._given = 0
        self._word = ""
        """The word before, if it was a term by itself."""

    def clauses(self) -> tuple[Clause, ...]:
        unstorable = re.search("[\x00\ud800-\udfff]", self._text)
        if unstorable:
            raise error("No text holds this character.", unstorable.start())
        self._skip_space()
        if self._at >= len(self._text):
            return ()
        branches = self._branches(0)
        if self._at < len(self._text):
            raise error("This parenthesis closes none.", self._at, 'As a text, write it in quotes: ")".')
        if len(branches) == 1:
            return branches[0]
        return (Either(branches, negated=False, position=branches[0][0].position),)

    def _branches(self, depth: int) -> tuple[tuple[Clause, ...], ...]:
        """What OR separates, up to the end or to the parenthesis that closes it."""
        branches: list[tuple[Clause, ...]] = []
        found: list[Clause] = []
        joined = ""
        """The operator that waits for what follows it."""
        while True:
            self._skip_space()
            start = self._at
            operator = _OPERATOR.match(self._text, start)
            ends = start >= len(self._text) or self._text[start] == ")"
            if ends or (operator and operator[1] != "NOT"):
                if not found or joined == "AND":
                    raise self._nothing(operator[1] if operator else "", joined, start)
                if ends:
                    return (*branches, tuple(found))
            if operator and operator[1] != "NOT":
                self._at, self._word, joined = operator.end(), "", operator[1]
                if joined == "OR":
                    branches.append(tuple(found))
                    found = []
                continue
            found.append(self._clause(depth))
            joined = ""

    def _nothing(self, operator: str, before: str, at: int) -> InvalidFilterError:
        quotes = f'For the word itself, write "{operator or before}" in quotes.'
        if operator:
            return error(f"Nothing stands before {operator}.", at, quotes)
        if before:
            return error(f"Nothing stands behind {before}.", at, quotes)
        return error("Nothing stands here.", at, "Write a term between the parentheses.")

    def _clause(self, depth: int) -> Clause:
        start, negated, behind = self._at, False, False
        self._terms += 1
        if self._terms > MOST_TERMS:
            several = "Put values of one field into one term: name:a,b."
            raise error(f"The filter has more than {MOST_TERMS} terms.", start, several)
        while True:
            operator = _OPERATOR.match(self._text, self._at)
            if operator and operator[1] == "NOT":
                self._at, behind = operator.end(), True
                self._skip_space()
            elif self._take("-"):
                behind = False
            else:
                break
            negated = not negated
        if behind and (operator or self._at >= len(self._text) or self._text[self._at] == ")"):
            raise self._nothing("", "NOT", self._at)
        if not self._take("("):
            found = self._term(start, negated=negated)
            if self._text.startswith("(", self._at):
                raise error("A parenthesis stands in the middle of a word.", self._at, _PARENTHESIS)
            return found
        opened = self._at - 1
        if depth == MOST_DEPTH:
            raise error(f"More than {MOST_DEPTH} parentheses stand within each other.", opened)
        self._word = ""
        branches = self._branches(depth + 1)
        if not self._take(")"):
            raise error("This parenthesis is not closed.", opened, 'As a text, write it in quotes: "(".')
        self._word = ""
        return Either(branches, negated, start)

    def _term(self, start: int, *, negated: bool) -> Term:
        before, self._word = self._word, ""
        field = self._keyed() or self._named()
        if field is None and (flag := self._flag()):
            return Term(flag.name, SET, negated, start)
        begin = self._at
        alternatives = [*self._alternatives(field, before)]
        while self._take(","):
            alternatives += self._alternatives(field, "")
        self._given += len(alternatives)
        if self._given > MOST_VALUES:
            raise error(f"The filter has more than {MOST_VALUES:,} values.", start, "Ask in several steps.")
        if field is None:
            self._word = self._text[begin : self._at]
        return Term((field.of or field.name) if field else None, tuple(alternatives), negated, start)

    def _named(self) -> Field | None:
        name = _NAME.match(self._text, self._at)
        if name is None:
            return None
        field = self._fields.get(name[0].lower())
        if field is None and "." in name[0] and not self._is_known_object(name[0]):
            return None  # a token's reference, such as gh_connection.access_token:gh-42
        if field is None or field.kind is ValueKind.KEYED:
            raise self._unknown(name[0])
        if field.kind is ValueKind.FLAG:
            raise error(f"{field.name} takes no value.", name.end(), f"Write {field.name} or -{field.name}.")
        self._at = name.end() + 1
        return field

    def _is_known_object(self, name: str) -> bool:
        first = name.partition(".")[0].lower()
        return first in OBJECTS or any(known.startswith(f"{first}.") for known in self._fields)

    def _unknown(self, name: str) -> InvalidFilterError:
        known = ", ".join(dict.fromkeys(field.shown for field in self._fields.values()))
        quotes = "A text with a colon in it is written in quotes."
        remedy = f"{meant(name, self._fields)}Fields: {known}. {quotes}"
        return error(f"There is no field {clean(name, 60)!r}.", self._at, remedy)

    def _keyed(self) -> Field | None:
        """A field by a key, such as context.keydeck:id: or requestParameters.keyId:."""
        keyed = [name for name, field in self._fields.items() if field.kind is ValueKind.KEYED]
        for name in sorted(keyed, key=len, reverse=True):
            end = self._at + len(name)
            if lower(self._text[self._at : end + 1]) != f"{name}.":
                continue
            key = _KEY.match(self._text, end + 1)
            if key is None:
                raise error(f"The name behind {name}. is missing.", end + 1, f"Write {name}.NAME:VALUE.")
            words, at = key[0].replace('"', ""), key.end()
            for _ in range(_SEGMENTS.get(key[0].lower(), 1) - 1):
                further = _KEY.match(self._text, at + 1)
                if not self._text.startswith(":", at) or further is None:
                    break
                words, at = f"{words}:{further[0]}", further.end()
            if not self._text.startswith(":", at):
                raise error(
                    f"A value for {clean(f'{name}.{words}', 60)} is missing.",
                    at,
                    f"Write {name}.{clean(words, 60)}:VALUE, or * for any value.",
                )
            self._at = at + 1
            return Field(f"{self._fields[name].name}.{lower(words)}")
        return None

    def _flag(self) -> Field | None:
        """The property that the next word stands for, if it does."""
        word = _FLAG.match(self._text, self._at)
        field = self._fields.get(word[0].lower()) if word else None
        if word is None or field is None or field.kind is not ValueKind.FLAG:
            return None
        self._at = word.end()
        return field

    def _alternatives(self, field: Field | None, before: str) -> Iterable[Alternative]:
        start = self._at
        texts = field is None or field.kind in (ValueKind.TEXT, ValueKind.ADDRESS)
        if texts and self._text.startswith("/", start):
            return (known(field, self._pattern(start), start),)
        quoted = self._take('"')
        value = self._quoted(start) if quoted else self._unquoted()
        if not value:
            anything = f"Write it right behind the colon: {field.name}:VALUE, or * for any." if field else ""
            raise error("A value is missing here.", start, anything)
        if texts and not quoted:
            foreign = foreign_value(value, field.name) if field else foreign_word(value, before, self._fields)
            if foreign is not None:
                raise error(foreign.message, start + foreign.at, foreign.remedy)
            if field is None:
                self._refuse_name(value, start)
        begin = start + quoted
        if field is not None and field.kind is ValueKind.CYCLE:
            return cycle(field, value, begin)
        if field is not None and field.kind in ValueReader.COMPARED:
            return (self._values.compared(field, value, begin),)
        if field is not None and field.kind is ValueKind.ADDRESS and "/" in value:
            return (network(value, begin, exact=quoted),)
        return (known(field, Alternative(text=value, literal=quoted), start),)

    def _refuse_name(self, word: str, start: int) -> None:
        """A field with few values, named without one, is no text to look for."""
        meant = self._fields.get(word.lower())
        if meant is not None and meant.values:
            first = meant.values[0]
            raise error(
                f"A value for {meant.name} is missing.",
                start,
                f'Write {meant.name}:{first}. As a text to search for, put it in quotes: "{word}".',
            )

    def _unquoted(self) -> str:
        word = _WORD.match(self._text, self._at)
        value = word[0] if word else ""
        self._at += len(value)
        return value

    def _quoted(self, start: int) -> str:
        end = self._text.find('"', self._at)
        if end < 0:
            raise error("This quote is not closed.", start)
        value = self._text[self._at : end]
        self._at = end + 1
        return value

    def _pattern(self, start: int) -> Alternative:
        quotes = "A text that begins with / is written in quotes."
        found = _PATTERN.match(self._text, start)
        if found is None:
            raise error("This regular expression is not closed.", start, f"End it with /. {quotes}")
        self._at = found.end()
        if not re.compile(r"[\s,)]|$").match(self._text, self._at):
            raise error(
                "Nothing may follow a regular expression.",
                self._at,
                rf"Case doesn't count in any; a / within it is written \/. {quotes}",
            )
        try:
            return Alternative(text=found[0], pattern=pattern(found[1]))
        except PatternError as cause:
            raise error(str(cause), start + 1 + cause.at) from cause

    def _skip_space(self) -> None:
        while self._at < len(self._text) and self._text[self._at].isspace():
            self._at += 1

    def _take(self, character: str) -> bool:
        if self._text.startswith(character, self._at):
            self._at += 1
            return True
        return False


_PARENTHESIS = 'One of several values: name:a,b. A text with parentheses is written in quotes: "a (b)".'
