r"""Regular expressions of filters: a dialect that RE2 and PostgreSQL read alike, matched in linear time.

Known are characters, `.`, `[a-z]` and `[^…]`, `\d \w \s` with their opposites (ASCII), `( )`, `|`, `^`, `$`,
`* + ?`, and `{2,5}` behind a character or class. Whatever needs to go back in the text, such as `\1` or
`(?=…)`, is refused. Case doesn't count: texts and expressions are compared in lower case.

RE2, "Syntax" and "Why RE2?"; PostgreSQL documentation, "POSIX Regular Expressions".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

LONGEST = 300
MOST_REPEATED = 200
_DEEPEST = 20
_LETTERS, _DIGITS, _SPACES = "abcdefghijklmnopqrstuvwxyz", "0123456789", " \t\n\v\f\r"
_CLASSES = {"d": _DIGITS, "w": _DIGITS + _LETTERS + "_", "s": _SPACES}
_REPEAT = re.compile(r"\{(\d{1,3})(?:(,)(\d{1,3})?)?\}")
_SPECIAL = frozenset(r"\.[](){}|*+?^$-&~#")


def lower(text: str) -> str:
    """The text in lower case, character by character, as PostgreSQL's lower() in C.UTF-8 has it."""
    if text.isascii():
        return text.lower()
    return "".join(small if len(small := c.lower()) == 1 else c for c in text)


class PatternError(ValueError):
    """A regular expression that is not of the dialect; `at` is the offending character, counted from 0."""

    def __init__(self, message: str, at: int) -> None:
        super().__init__(message)
        self.at = at


@dataclass(frozen=True, slots=True)
class Pattern:
    """A regular expression as it was written, and as RE2 and PostgreSQL take it, for texts in lower case."""

    written: str
    translated: str = field(compare=False)

    def is_in(self, text: str) -> bool:
        """True if it matches a part of the text. Takes time by the text's length, whatever it is."""
        if not text.isascii():
            text = text.encode("utf-8", "replace").decode()  # a lone surrogate is no character
        return _compiled(self.translated).search(lower(text)) is not None


def pattern(written: str) -> Pattern:
    """Return the pattern of what stands between two slashes. Raises PatternError."""
    if not written:
        raise PatternError("A regular expression is missing between the slashes.", 0)
    if len(written) > LONGEST:
        raise PatternError(f"A regular expression has at most {LONGEST} characters.", LONGEST)
    found = Pattern(written, "".join(_Translation(written).parts()))
    _compiled(found.translated)
    return found


@lru_cache(maxsize=256)
def _compiled(translated: str) -> Any:
    import re2

    options = re2.Options()
    options.dot_nl = True
    options.never_capture = True
    options.log_errors = False
    try:
        return re2.compile(translated, options)
    except re2.error as error:
        raise PatternError("This regular expression is too large.", 0) from error


class _Translation:
    """One pass over an expression, which yields its parts as both engines take them."""

    def __init__(self, written: str) -> None:
        self._text = written
        self._at = 0
        self._open: list[int] = []
        self._repeated = 0

    def parts(self) -> Iterator[str]:
        repeatable = ""  # what a sign of repetition may follow: "one" character, or a "group"
        while self._at < len(self._text):
            start, sign = self._at, self._text[self._at]
            if sign in "*+?{":
                yield self._repetition(repeatable, start)
                repeatable = ""
                continue
            self._at += 1
            if sign == "(":
                yield self._group(start)
                repeatable = ""
            elif sign == ")":
                if not self._open:
                    raise PatternError("This parenthesis closes none.", start)
                self._open.pop()
                yield ")"
                repeatable = "group"
            elif sign in "|^$":
                yield sign
                repeatable = ""
            else:
                yield self._one(sign, start)
                repeatable = "one"
        if self._open:
            raise PatternError("This parenthesis is not closed.", self._open[-1])

    def _group(self, start: int) -> str:
        if self._text.startswith("?", self._at):
            raise PatternError("(?…) is not known here: only groups, in ( ).", start)
        if len(self._open) == _DEEPEST:
            raise PatternError(f"More than {_DEEPEST} groups stand within each other.", start)
        self._open.append(start)
        return "(?:"

    def _repetition(self, repeatable: str, start: int) -> str:
        sign = self._text[start]
        if not repeatable:
            raise PatternError(f"Nothing that {sign} could repeat stands before it.", start)
        if sign != "{":
            self._at += 1
            return sign
        found = _REPEAT.match(self._text, start)
        if found is None:
            raise PatternError(r"A { that is meant as such is written \{.", start)
        if repeatable == "group":
            raise PatternError("{…} may follow a character or a class, not a group.", start)
        least, most = int(found[1]), int(found[3] or found[1])
        self._repeated += max(most, 1)
        if most < least or self._repeated > MOST_REPEATED:
            raise PatternError(
                f"{{…}} repeats from less to more often, at most {MOST_REPEATED} times.", start
            )
        self._at = found.end()
        return found[0]

    def _one(self, sign: str, start: int) -> str:
        if sign == ".":
            return "."
        if sign == "[":
            return self._class(start)
        if sign in "]}":
            raise PatternError(rf"A {sign} that is meant as such is written \{sign}.", start)
        if sign != "\\":
            return _written(lower(sign))
        known, opposite = self._escaped(start)
        return _bracketed(known, opposite=opposite) if len(known) > 1 else _written(known)

    def _escaped(self, start: int) -> tuple[str, bool]:
        """The characters that the sign behind a backslash stands for, and whether the others are meant."""
        sign = self._text[self._at : self._at + 1]
        self._at += 1
        if sign.lower() in _CLASSES and sign:
            return _CLASSES[sign.lower()], sign.isupper()
        if not sign or sign.isalnum():
            raise PatternError(f"\\{sign} is not known here: only \\d, \\w, \\s and escaped signs.", start)
        return sign, False

    def _class(self, start: int) -> str:
        opposite = self._text.startswith("^", self._at)
        self._at += opposite
        characters: dict[str, None] = {}
        while True:
            sign = self._text[self._at : self._at + 1]
            if not sign:
                raise PatternError("This [ is not closed.", start)
            if sign == "]":
                break
            characters |= dict.fromkeys(self._members(sign))
        self._at += 1
        if not characters:
            raise PatternError("Nothing stands between [ and ].", start)
        return _bracketed("".join(characters), opposite=opposite)

    def _members(self, sign: str) -> str:
        start = self._at
        self._at += 1
        if sign == "[":
            raise PatternError(r"Within [ ], a [ is written \[.", start)
        if sign == "\\":
            sign, opposite = self._escaped(start)
            if opposite:
                raise PatternError("Within [ ], only \\d, \\w and \\s are known.", start)
            if len(sign) > 1:
                return sign
        ahead = self._text[self._at : self._at + 2]
        if not ahead.startswith("-") or ahead in ("-", "-]"):
            return lower(sign)
        last = ahead[1]
        self._at += 2
        if not (sign.isascii() and last.isascii() and sign.isalnum() and last.isalnum() and sign <= last):
            raise PatternError("A range such as a-z goes from one letter or digit to a later one.", start)
        return "".join(lower(chr(code)) for code in range(ord(sign), ord(last) + 1))


def _written(character: str) -> str:
    return f"\\{character}" if character in _SPECIAL else character


def _bracketed(characters: str, *, opposite: bool) -> str:
    """A class that names each of its characters: in what order they stand is no locale's affair."""
    return f"[{'^' if opposite else ''}{''.join(map(_written, dict.fromkeys(characters)))}]"
