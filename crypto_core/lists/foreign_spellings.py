"""Spellings of other query languages, which would be read here as text that is found nowhere.

They are refused with the spelling that is meant. In quotes every text is taken as it is.
"""

from __future__ import annotations

import re
from collections.abc import Container
from dataclasses import dataclass

from crypto_core.values.clean_text import clean

_QUOTED = 'As a text to search for, put it in quotes: "{text}".'
_SHOWN = 40
"""Characters of what was written in an error."""


@dataclass(frozen=True, slots=True)
class Foreign:
    """A word or value that is not taken, and what is meant by it here. `at` is where in it that stands."""

    message: str
    remedy: str
    at: int = 0


@dataclass(frozen=True, slots=True)
class _Spelling:
    """One spelling and its remedy; {text} is the word, {rest} what is left of it."""

    looks: re.Pattern[str]
    remedy: str

    def found(self, word: str, name: str = "FIELD") -> Foreign | None:
        match = self.looks.search(word)
        if match is None:
            return None
        groups = {key: clean(value or "VALUE", _SHOWN) for key, value in match.groupdict().items()}
        known = {"text": clean(word, _SHOWN), "name": name, "rest": "", **groups}
        at = match.start("sign") if "sign" in groups else 0
        return Foreign(f"{known['text']!r} is not known here.", self.remedy.format_map(known), at)


def _spelling(looks: str, remedy: str) -> _Spelling:
    return _Spelling(re.compile(looks, re.DOTALL), remedy)


_FIELD = r"^(?P<field>[A-Za-z_][\w.]*)"
_EITHER = "For one of several write OR between terms, or values with commas: name:a,b."
_ALL = "Leave it out, as terms next to each other must all hold, or write AND in capital letters."
_ANY_CHARACTERS = f"* stands for any characters, no other sign does. {_QUOTED}"
_WORDS = (
    _spelling(r"^(?i:or)$", f"Write OR in capital letters. {_QUOTED}"),
    _spelling(r"^(?i:and)$", f"{_ALL} {_QUOTED}"),
    _spelling(r"^(?i:not)$", f"Write NOT in capital letters, or -TERM. {_QUOTED}"),
    _spelling(r"^\|{1,2}$", _EITHER),
    _spelling(r"^&{1,2}$", _ALL),
    _spelling(
        r"^(?i:like|ilike|rlike|regexp|where|select)$",
        f"Write FIELD:*PART* for a part of a text, FIELD:/…/ for a regular expression. {_QUOTED}",
    ),
    _spelling(rf"{_FIELD}(?P<sign>!=|<>|!~)(?P<rest>.*)$", "Write -{field}:{rest}."),
    _spelling(rf"{_FIELD}(?P<sign>=~|~=|~)(?P<rest>.*)$", "Write {field}:/{rest}/."),
    _spelling(rf"{_FIELD}(?P<sign>>=|<=|>|<)(?P<rest>.*)$", "Write {field}:{sign}{rest}."),
    _spelling(rf"{_FIELD}(?P<sign>={{1,3}})(?P<rest>.*)$", f"Write {{field}}:{{rest}}. {_QUOTED}"),
    _spelling(r"^[=!<>~]+$", "Write FIELD:VALUE, -FIELD:VALUE to exclude, FIELD:>5."),
    _spelling(r"^!(?P<rest>.*)$", "Write -{rest} or NOT {rest}."),
    _spelling(r"^\+(?P<rest>.+)$", f"Write {{rest}}: every term must hold. {_QUOTED}"),
    _spelling(r"^:", f"Write FIELD:VALUE without spaces between. {_QUOTED}"),
)
"""Of words without a field."""

_WITH_A_FIELD = {
    "ip": _spelling(
        r"^(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9A-Fa-f:]*::?[0-9A-Fa-f:]*)/\d{1,3}$",
        f"Write ip:{{text}}. {_QUOTED}",
    ),
    "since": _spelling(r"^\d{1,6}[smhdwSMHDW]$", f"Write since:{{text}}. {_QUOTED}"),
    "time": _spelling(
        r"^\d{4}-\d\d-\d\d(?:T[\d:.Z+-]*)?(?:\.\.\S*)?$",
        f"Write time:{{text}}, or since: and until:. {_QUOTED}",
    ),
}
"""Of words that are values of a field, where there is such a field."""

_PARTS = (
    _spelling(r"^['`‘’“”](?P<rest>[^'`‘’“”]*)", 'Quotes are double. Write "{rest}".'),
    _spelling(r"(?P<sign>\|)", f"{_EITHER} {_QUOTED}"),
    _spelling(r"(?P<sign>&&)", f"{_ALL} {_QUOTED}"),
    _spelling(r"^(?=[^*]+$)(?:%.|.+%$)", _ANY_CHARACTERS),
    _spelling(r"^.+(?P<sign>;)$", f"Leave out the ; at its end. {_QUOTED}"),
    _spelling(r"(?P<sign>\?)", _ANY_CHARACTERS),
)
"""Of words and of values."""

_EQUALS = _spelling(r"(?P<sign>=)", f"Write FIELD:VALUE. {_QUOTED}")
"""Of words: a value may well have it in it."""

_VALUES = (
    _spelling(r"^={1,3}(?P<rest>.*)$", "Write {name}:{rest}."),
    _spelling(r"^(?:!=?|<>)(?P<rest>.*)$", "Write -{name}:{rest}."),
    _spelling(r"^=?~(?P<rest>.*)$", "Write {name}:/{rest}/."),
    _spelling(r"^:+(?P<rest>.*)$", f"Write {{name}}:{{rest}}. {_QUOTED}"),
    _spelling(r"^(?:\^|\.\*).*$|^.*\$$", f"Write {{name}}:/{{text}}/. {_QUOTED}"),
    _spelling(r"^\[[^\]]*$|^[^\[]*\]$", f"Write {{name}}:a,b, without brackets. {_QUOTED}"),
    _spelling(r"^[<>]", f"{{name}} is a text, which is not greater or less. Write {{name}}:*. {_QUOTED}"),
)
"""Of values of texts."""

_COMPARISONS = frozenset(
    {
        *("in", "is", "has", "eq", "ne", "neq", "gt", "lt", "gte", "lte", "equals", "contains", "includes"),
        *("matches", "between", "startswith", "endswith"),
    }
)

OBJECTS = frozenset(
    {
        *("useridentity", "sessioncontext", "requestparameters", "responseelements", "additionaleventdata"),
        *("serviceeventdetails", "resources", "tlsdetails"),
        *("event", "source", "user", "user_agent", "cloud", "aws"),
        *("actor", "api", "http_request", "src_endpoint"),
    }
)
"""What dotted names of other schemas begin with: such a name is a field, not a text with a colon."""


def foreign_word(word: str, before: str, names: Container[str]) -> Foreign | None:
    """Return why a word without a field is not taken; `before` is the word before it, "" for another term."""
    if word.lower() in _COMPARISONS and before.lower() in names:
        return Foreign(
            f"{word!r} compares nothing here.",
            f"Write {before}:VALUE, {before}:a,b for one of several, {before}:*PART* for a part.",
        )
    own = (one for name, one in _WITH_A_FIELD.items() if name in names)
    return next((found for one in (*own, *_WORDS, _EQUALS, *_PARTS) if (found := one.found(word))), None)


def foreign_value(word: str, name: str) -> Foreign | None:
    """Return why a value of a field of texts is not taken as it is written."""
    return next((found for one in (*_VALUES, *_PARTS) if (found := one.found(word, name))), None)
