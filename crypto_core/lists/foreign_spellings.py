"""Spellings of other query languages, which would be read here as text that is found nowhere.

They are refused with the spelling that is meant. In quotes every text is taken as it is.
"""

from __future__ import annotations

import re
from collections.abc import Container
from dataclasses import dataclass

from crypto_core.text.cleaning import clean

_QUOTED = 'As a text to search for, put it in quotes: "{text}".'
_SHOWN = 40
"""Characters of what was written in an error."""


@dataclass(frozen=True, slots=True)
class Foreign:
    """Why something is not taken, and what is meant by it here. `at` is where in the word it stands."""

    message: str
    remedy: str
    at: int = 0


@dataclass(frozen=True, slots=True)
class _Spelling:
    """One spelling: what it looks like, what to say of it; {text} is the word, {rest} what is left of it."""

    looks: re.Pattern[str]
    message: str
    remedy: str

    def found(self, word: str, name: str = "FIELD") -> Foreign | None:
        match = self.looks.search(word)
        if match is None:
            return None
        groups = {key: clean(value or "VALUE", _SHOWN) for key, value in match.groupdict().items()}
        known = {"text": clean(word, _SHOWN), "name": name, "rest": "", **groups}
        at = match.start("sign") if "sign" in groups else 0
        return Foreign(self.message.format_map(known), self.remedy.format_map(known), at)


def _spelling(looks: str, message: str, remedy: str) -> _Spelling:
    return _Spelling(re.compile(looks, re.DOTALL), message, remedy)


_EITHER = "For one of several write OR between terms, or values with commas: name:a,b."
_WORDS = (
    _spelling(r"^(?i:or)$", "{text!r} is not the word OR.", f"Write OR in capital letters. {_QUOTED}"),
    _spelling(
        r"^(?i:and)$",
        "{text!r} is not the word AND.",
        f"Leave it out, or write AND in capital letters. {_QUOTED}",
    ),
    _spelling(
        r"^(?i:not)$", "{text!r} is not the word NOT.", f"Write NOT in capital letters, or -TERM. {_QUOTED}"
    ),
    _spelling(r"^\|{1,2}$", "{text!r} is not known here.", _EITHER),
    _spelling(
        r"^&{1,2}$",
        "{text!r} is not known here.",
        "Leave it out: terms next to each other must all hold. Or write AND.",
    ),
    _spelling(
        r"^(?i:like|ilike|rlike|regexp|where|select)$",
        "{text!r} is SQL, not a word of this language.",
        f"Write FIELD:*PART* for a part of a text, FIELD:/…/ for a regular expression. {_QUOTED}",
    ),
    _spelling(
        r"^(?P<field>[A-Za-z_][\w.]*)(?P<sign>!=|<>|!~)(?P<rest>.*)$",
        "A value is excluded in another way.",
        "Write -{field}:{rest}.",
    ),
    _spelling(
        r"^(?P<field>[A-Za-z_][\w.]*)(?P<sign>=~|~=|~)(?P<rest>.*)$",
        "A regular expression is written in another way.",
        "Write {field}:/{rest}/.",
    ),
    _spelling(
        r"^(?P<field>[A-Za-z_][\w.]*)(?P<sign>>=|<=|>|<)(?P<rest>.*)$",
        "A field and its value have a colon between them.",
        "Write {field}:{sign}{rest}.",
    ),
    _spelling(
        r"^(?P<field>[A-Za-z_][\w.]*)(?P<sign>={1,3})(?P<rest>.*)$",
        "A field and its value have a colon between them.",
        f"Write {{field}}:{{rest}}. {_QUOTED}",
    ),
    _spelling(
        r"^[=!<>~]+$", "{text!r} is not known here.", "Write FIELD:VALUE, -FIELD:VALUE to exclude, FIELD:>5."
    ),
    _spelling(r"^!(?P<rest>.*)$", "! excludes nothing here.", "Write -{rest} or NOT {rest}."),
    _spelling(
        r"^\+(?P<rest>.+)$", "+ is not known here.", f"Write {{rest}}: every term must hold. {_QUOTED}"
    ),
    _spelling(
        r"^:", "No field stands before this colon.", f"Write FIELD:VALUE without spaces between. {_QUOTED}"
    ),
)
"""Of words without a field."""

_WITH_A_FIELD = {
    "ip": _spelling(
        r"^(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9A-Fa-f:]*::?[0-9A-Fa-f:]*)/\d{1,3}$",
        "A network is looked for in no text.",
        f"Write ip:{{text}}. {_QUOTED}",
    ),
    "since": _spelling(
        r"^\d{1,6}[smhdwSMHDW]$", "How long ago is a field's value.", f"Write since:{{text}}. {_QUOTED}"
    ),
    "time": _spelling(
        r"^\d{4}-\d\d-\d\d(?:T[\d:.Z+-]*)?(?:\.\.\S*)?$",
        "A time is looked for in no text.",
        f"Write time:{{text}}, or since: and until:. {_QUOTED}",
    ),
}
"""Of words that are values of a field, where there is such a field."""

_PARTS = (
    _spelling(r"^['`‘’“”](?P<rest>[^'`‘’“”]*)", "Quotes are double here.", 'Write "{rest}".'),
    _spelling(r"(?P<sign>\|)", "{sign!r} is not known here.", f"{_EITHER} {_QUOTED}"),
    _spelling(
        r"(?P<sign>&&)", "{sign!r} is not known here.", f"Terms next to each other must all hold. {_QUOTED}"
    ),
    _spelling(
        r"^(?=[^*]+$)(?:%.|.+%$)",
        "% stands for nothing but itself.",
        f"* stands for any characters. {_QUOTED}",
    ),
    _spelling(r"^.+(?P<sign>;)$", "; ends nothing here.", f"Leave it out. {_QUOTED}"),
    _spelling(r"(?P<sign>\?)", "? stands for nothing but itself.", f"* stands for any characters. {_QUOTED}"),
)
"""Of words and of values."""

_EQUALS = _spelling(r"(?P<sign>=)", "{sign!r} is not known here.", f"Write FIELD:VALUE. {_QUOTED}")
"""Of words: a value may well have it in it."""

_VALUES = (
    _spelling(r"^={1,3}(?P<rest>.*)$", "A value stands right behind the colon.", "Write {name}:{rest}."),
    _spelling(r"^(?:!=?|<>)(?P<rest>.*)$", "A value is excluded in another way.", "Write -{name}:{rest}."),
    _spelling(
        r"^=?~(?P<rest>.*)$", "A regular expression is written in another way.", "Write {name}:/{rest}/."
    ),
    _spelling(r"^:+(?P<rest>.*)$", "One colon is enough.", f"Write {{name}}:{{rest}}. {_QUOTED}"),
    _spelling(
        r"^(?:\^|\.\*).*$|^.*\$$",
        "A regular expression stands between slashes.",
        f"Write {{name}}:/{{text}}/. {_QUOTED}",
    ),
    _spelling(
        r"^\[[^\]]*$|^[^\[]*\]$",
        "Several values have commas between them, and no brackets.",
        f"Write {{name}}:a,b. {_QUOTED}",
    ),
    _spelling(r"^[<>]", "{name} is a text: it is not greater or less.", f"Write {{name}}:*. {_QUOTED}"),
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
