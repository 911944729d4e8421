"""Finds a token in the whole value that is stored, so that it is replaced and every other byte stays.

It reads a value as `token_source` does in SQL.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

_DECODER = json.JSONDecoder()
_SPACES = " \t\n\r"


@dataclass(frozen=True, slots=True)
class FoundMember:
    """A token's `value` as it is counted and opened, and its place in the whole value."""

    value: str
    begins: int
    ends: int
    is_json: bool = True

    def replaced(self, document: str, value: str) -> str:
        """Return the whole value with this token in its place."""
        written = json.dumps(value) if self.is_json else value
        return document[: self.begins] + written + document[self.ends :]


def text_of_bytes(content: bytes) -> str:
    """In hex where PostgreSQL has no such text."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        text = "\x00"
    return f"\\x{content.hex()}" if "\x00" in text else text


def find_string(text: str) -> FoundMember:
    """Return the string that a JSON value is; of other JSON its text."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    readable = isinstance(value, str) and not any(c == "\x00" or "\ud800" <= c <= "\udfff" for c in value)
    return FoundMember(value if readable else text, 0, len(text))


def find_member(document: str, name: str) -> FoundMember | None:
    """Return a member by its name, None where there is none, or two.

    A document that is no JSON object is its own only member, without a name.
    """
    try:
        found = [member for key, member in _members(document) if key == name]
    except (ValueError, RecursionError):
        return None if name else FoundMember(document, 0, len(document), is_json=False)
    return found[0] if len(found) == 1 else None


def _members(document: str) -> Iterator[tuple[str, FoundMember]]:
    """The members of a JSON object (RFC 8259, section 4). Raises ValueError for anything else."""
    at = _expect(document, 0, "{")
    if document[at : at + 1] == "}":
        at = _expect(document, at, "}")
    else:
        mark = ","
        while mark == ",":
            if document[at : at + 1] != '"':
                raise ValueError(f"no name at {at}")
            name, at = _DECODER.raw_decode(document, at)
            begins = _expect(document, _behind_spaces(document, at), ":")
            value, ends = _DECODER.raw_decode(document, begins)
            if isinstance(value, str | dict | list):
                shown = value if isinstance(value, str) else document[begins:ends]
                yield name, FoundMember(shown, begins, ends)
            at = _behind_spaces(document, ends)
            mark = document[at : at + 1]
            at = _expect(document, at, "," if mark == "," else "}")
    if at != len(document):
        raise ValueError("something follows the object")


def _expect(document: str, at: int, mark: str) -> int:
    """Return where the next part begins behind a mark and spaces. Raises ValueError for another mark."""
    at = _behind_spaces(document, at)
    if document[at : at + 1] != mark:
        raise ValueError(f"no {mark} at {at}")
    return _behind_spaces(document, at + 1)


def _behind_spaces(document: str, at: int) -> int:
    while document[at : at + 1] and document[at] in _SPACES:
        at += 1
    return at
