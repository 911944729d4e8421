"""Values that look like others of their kind: the same letters and dashes, other digits."""

from __future__ import annotations

import re
import string
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from random import SystemRandom
from uuid import UUID, uuid4

_random = SystemRandom()
_RUNS = re.compile(r"[A-Za-z0-9]+|[^A-Za-z0-9]+")
_NUMBERED = re.compile(r"(\D*)(\d+)")
_HEX = re.compile(r"[0-9a-f]{8,}|[0-9A-F]{8,}")
RANDOM_LOOK = 8
"""Characters from which letters mixed with digits are taken for random ones."""


def varied(value: str) -> str:
    """Return a value of the same look. It is the same value where nothing in it looks as if it varied."""
    try:
        UUID(value)
    except ValueError:
        return "".join(map(_varied_run, _RUNS.findall(value)))
    made = str(uuid4())
    return made if "-" in value else made.replace("-", "")


def _varied_run(run: str) -> str:
    mixed = len(run) >= RANDOM_LOOK and any(c.isdigit() for c in run) and any(c.isalpha() for c in run)
    hexadecimal = mixed and _HEX.fullmatch(run) is not None
    return "".join(_varied_character(c, i, letters=mixed, hexadecimal=hexadecimal) for i, c in enumerate(run))


def _varied_character(c: str, place: int, *, letters: bool, hexadecimal: bool) -> str:
    if c in string.digits:
        return (
            c
            if c == "0" and place == 0
            else _random.choice(string.digits[1:] if not place else string.digits)
        )
    if not letters or c not in string.ascii_letters:
        return c
    alphabet = string.ascii_lowercase if c.islower() else string.ascii_uppercase
    return _random.choice(alphabet[:6] if hexadecimal else alphabet)


def numbered(ids: Iterable[str]) -> str | None:
    """Return what all ids begin with that are a text and a number, such as gh-; None for others."""
    prefixes = set()
    for one in ids:
        found = _NUMBERED.fullmatch(one)
        if found is None or (found[2] != "0" and found[2].startswith("0")):
            return None
        prefixes.add(found[1])
    return prefixes.pop() if len(prefixes) == 1 else None


def number_of(id_: str) -> int:
    """The number that such an id ends in; 0 for none."""
    found = _NUMBERED.fullmatch(id_)
    return int(found[2]) if found else 0


def nearest(ids: Sequence[str], to: str) -> int:
    """Which of some ids is nearest by number to another, at or below it where there is one."""
    wanted = number_of(to)
    below = [i for i, one in enumerate(ids) if number_of(one) <= wanted]
    among = below or range(len(ids))
    return min(among, key=lambda i: abs(number_of(ids[i]) - wanted))


def time_of(value: str) -> datetime | None:
    """Return a moment of a text as PostgreSQL writes it, in UTC where it names no zone; None for others."""
    try:
        read = datetime.fromisoformat(value)
    except ValueError:
        return None
    return read if read.tzinfo is not None else read.replace(tzinfo=UTC)


def moved(value: str, by: timedelta) -> str:
    """Return a time as text, moved; what is no such text stays. Parts of a second are drawn anew."""
    read = time_of(value)
    if read is None:
        return value
    if read.microsecond:
        read = read.replace(microsecond=_random.randrange(1, 1_000_000))
    try:
        after = read + by
    except OverflowError:
        return value
    if len(value) <= len("2000-01-01"):
        return after.date().isoformat()
    return after.isoformat(sep=" ", timespec="microseconds" if read.microsecond else "seconds")
