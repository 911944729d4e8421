"""The fields that a filter may name."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class ValueKind(Enum):
    """What a field's values are."""

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
    """A property: the name alone is the condition."""
    KEYED = "keyed"
    """Texts by a key, which is written behind a dot: `param.grantee:…`."""


@dataclass(frozen=True, slots=True)
class Field:
    """A field that can be asked for. `values` are the only ones it takes, where there are only some."""

    name: str
    kind: ValueKind = ValueKind.TEXT
    values: tuple[str, ...] = ()
    of: str = ""
    """The field that `since` and `until` are about."""

    @property
    def shown(self) -> str:
        """How lists of fields name it."""
        return f"{self.name}.NAME" if self.kind is ValueKind.KEYED else self.name
