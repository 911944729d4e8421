"""TOML (toml.io, version 1.0.0) that somebody else may have written: bounded in size and time.

Each field of a table is taken once, is of one type and no longer than it may be. What is wrong ends in the
error of whose file it is, which names the place and the field. Files of Keydeck's own and of a team are
read whole.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, Self, TypeVar

from crypto_core.values.clean_text import NO_TEXT, CleanText, clean
from crypto_core.values.errors import KeydeckError

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

SIZE_LIMIT = 256 * 1024
"""Bytes of a TOML text."""
_MOST_DOTS = 200
"""Dots in one line: a key of many parts takes time by their number's square."""


def read_toml(content: bytes) -> dict[str, Any]:
    """Return the document that a text is. Raises ValueError, whose text says what is wrong, of "it"."""
    if len(content) > SIZE_LIMIT:
        raise ValueError(f"longer than {SIZE_LIMIT // 1024} KiB")
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise ValueError("not text in UTF-8") from None
    for number, line in enumerate(text.split("\n"), start=1):
        if line.count(".") > _MOST_DOTS:
            raise ValueError(f"not TOML that can be read: line {number:,} has more than {_MOST_DOTS} dots")
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ValueError("not TOML that can be read: nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"not TOML: {error}") from error


BUILT_IN = "builtin"


def shipped_files(package: str) -> list[Traversable]:
    """Return the TOML files that a package brings in its folder BUILT_IN, by name."""
    from importlib import resources  # settings are read by this module, too, at every start

    folder = resources.files(package).joinpath(BUILT_IN)
    files = [file for file in folder.iterdir() if file.name.endswith(".toml")] if folder.is_dir() else []
    return sorted(files, key=lambda file: file.name)


def text_of(file: Traversable | Path, named: str, error: type[KeydeckError], remedy: str = "") -> str:
    """Return the text of a file. Raises `error`; `remedy` is for what is no file."""
    try:
        if not file.is_file():
            raise error(f"{named} is not a file.", remedy=remedy)
        with file.open("rb") as opened:
            content = opened.read(SIZE_LIMIT + 1)
    except OSError as failure:
        raise error(f"{named} can't be read: {failure.strerror}.") from failure
    if len(content) > SIZE_LIMIT:
        raise error(f"{named} is longer than {SIZE_LIMIT // 1024} KiB.")
    try:
        return content.decode()
    except UnicodeDecodeError as failure:
        raise error(f"{named} is not text in UTF-8.") from failure


Word = TypeVar("Word", bound=StrEnum)


class Fields:
    """A table's fields. `where` says which table, such as a file and a step."""

    error: ClassVar[type[KeydeckError]] = KeydeckError
    """What is raised; a subclass names its own."""

    def __init__(self, table: object, where: str) -> None:
        self.where = where
        if not isinstance(table, Mapping):
            raise self.error(f"{where} is not a table.")
        self._left: dict[str, Any] = {str(name): value for name, value in table.items()}

    @classmethod
    def of_text(cls, text: str, where: str) -> Self:
        try:
            return cls(read_toml(text.encode("utf-8", "surrogatepass")), where)
        except ValueError as error:
            raise cls.error(f"{where} is {clean(error, 200)}.") from error

    def refuse(self, name: str, why: str) -> NoReturn:
        raise self.error(f"{self.where}: {clean(name, 60)} {why}.")

    def take(self, name: str) -> Any:
        """Return a field's value, None where it isn't given."""
        return self._left.pop(name, None)

    def text(self, name: str, limit: int, *, required: bool = False) -> CleanText:
        """Return a text on one line, without control characters, "" where it isn't given."""
        value = self.take(name)
        if value is None:
            if required:
                self.refuse(name, "is missing")
            return NO_TEXT
        return self._cleaned(name, value, limit, required=required)

    def texts(self, name: str, limit: int, most: int) -> tuple[CleanText, ...]:
        return tuple(self.cleaned(name, value, limit) for value in self.values(name, most))

    def cleaned(self, name: str, value: object, limit: int) -> CleanText:
        return self._cleaned(name, value, limit, required=True)

    def tables(self, name: str, most: int) -> Sequence[object]:
        """Return a list of tables, of which there must be one."""
        found = self.values(name, most)
        if not found:
            self.refuse(name, "is missing")
        return found

    def number(self, name: str, least: int, most: int) -> int | None:
        value = self.take(name)
        if value is not None and (type(value) is not int or not least <= value <= most):
            self.refuse(name, f"is not a whole number from {least:,} to {most:,}")
        return value

    def version(self) -> int:
        version = self.number("version", 1, 1_000_000)
        if version is None:
            self.refuse("version", "is missing")
        return version

    def matched(self, name: str, pattern: re.Pattern[str], words: str) -> CleanText:
        value = self.take(name)
        if not isinstance(value, str) or pattern.fullmatch(value) is None:
            self.refuse(name, f"must be {words}")
        return clean(value)

    def flag(self, name: str) -> bool:
        """Return true or false, which is what it is where it isn't given."""
        value = self.take(name)
        if value is not None and not isinstance(value, bool):
            self.refuse(name, "is neither true nor false")
        return value is True

    def word(self, name: str, words: type[Word]) -> Word:
        """Return one of the catalogue's words, which must be given."""
        value = self.take(name)
        if value is None:
            self.refuse(name, "is missing")
        return self.known(name, value, words)

    def words(self, name: str, words: type[Word]) -> tuple[Word, ...]:
        found = tuple(self.known(name, value, words) for value in self.values(name, len(words)))
        if len(set(found)) < len(found):
            self.refuse(name, "names something twice")
        return found

    def known(self, name: str, value: object, words: type[Word]) -> Word:
        if not isinstance(value, str) or value not in {word.value for word in words}:
            shown = f" {clean(value, 60)!r}" if isinstance(value, str) else ""
            self.refuse(name, f"{shown.lstrip()} is none of {', '.join(words)}".lstrip())
        return words(value)

    def none_left(self) -> None:
        if self._left:
            self.refuse(repr(clean(next(iter(self._left)), 60)), "is not known here")

    def values(self, name: str, most: int) -> list[object]:
        """Return a list of whatever it holds, empty where it isn't given."""
        value = self.take(name)
        if value is None:
            return []
        if not isinstance(value, list):
            self.refuse(name, "is not a list")
        if len(value) > most:
            self.refuse(name, f"has more than {most} entries")
        return value

    def _cleaned(self, name: str, value: object, limit: int, *, required: bool) -> CleanText:
        if not isinstance(value, str):
            self.refuse(name, "is not text")
        text = CleanText(" ".join(clean(value.strip(), limit + 1).split()))
        if len(value) > limit * 16 or len(text) > limit:
            self.refuse(name, f"is longer than {limit:,} characters")
        if required and not text:
            self.refuse(name, "is empty")
        return text
