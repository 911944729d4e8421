"""A snapshot as JSON and back, so that one of another day is judged in the same way.

What comes back may have been written by an older Keydeck, or changed by somebody else: a part that does not
fit is missing, and whatever is text is cleaned as a fact is made.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from enum import StrEnum
from functools import cache
from types import UnionType
from typing import Any, NewType, TypeVar, Union, get_args, get_origin, get_type_hints

from crypto_core.compliance.facts import PartFacts
from crypto_core.compliance.snapshot import Lack, MissingPart, Snapshot, SnapshotPart
from crypto_core.text.cleaning import clean

Fact = TypeVar("Fact")

_MISSING = "missing"


def snapshot_json(snapshot: Snapshot) -> dict[str, Any]:
    """Return a snapshot as a JSON document."""
    return {
        "taken_at": snapshot.taken_at.isoformat(),
        "parts": {part.value: written(found) for part, found in snapshot.parts.items()},
    }


def read_snapshot(document: Mapping[str, Any]) -> Snapshot:
    """Return the snapshot that `snapshot_json` wrote. Raises ValueError without its moment."""
    stored = document.get("parts")
    parts = stored if isinstance(stored, Mapping) else {}
    return Snapshot(
        _moment(document.get("taken_at")),
        {part: _part(part, parts[part.value]) for part in SnapshotPart if part.value in parts},
    )


def read_fact(kind: type[Fact], stored: object) -> Fact:
    """Return the fact of a kind that `written` wrote. Raises ValueError for what is none."""
    try:
        fact: Fact = _read(kind, stored)
        return fact
    except (TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(f"it is no {kind.__name__}") from error


def written(value: Any) -> Any:
    """Return a fact, or what one holds, as a JSON document's part."""
    if isinstance(value, MissingPart):
        return {_MISSING: value.lack.value, "reason": value.reason}
    if is_dataclass(value):
        return {field.name: written(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(name): written(one) for name, one in value.items()}
    if isinstance(value, tuple):
        return [written(one) for one in value]
    return str(value) if isinstance(value, str) else value


def _part(part: SnapshotPart, stored: Any) -> PartFacts | MissingPart:
    try:
        if _MISSING in stored:
            return MissingPart(Lack(stored[_MISSING]), clean(stored.get("reason"), 600))
        facts: PartFacts = _read(part.facts, stored)
        return facts
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return MissingPart(Lack.FAILED, clean(f"what was kept of {part} can't be read"))


@cache
def _types(model: type[Any]) -> dict[str, Any]:
    return get_type_hints(model)


def _read(type_: Any, value: Any) -> Any:
    """A value of a type. Raises ValueError, TypeError, KeyError for one that is not of it."""
    if isinstance(type_, NewType):
        type_ = type_.__supertype__
    if is_dataclass(type_):
        types = _types(type_)  # type: ignore[arg-type]
        if set(value) - set(types):
            raise ValueError("it has fields that are not known")
        return type_(**{name: _read(types[name], one) for name, one in value.items()})  # type: ignore[operator]
    if get_origin(type_) in (UnionType, Union):
        (inner,) = (one for one in get_args(type_) if one is not type(None))
        return None if value is None else _read(inner, value)
    if get_origin(type_) is tuple:
        return tuple(_read(get_args(type_)[0], one) for one in _of(list, value))
    if get_origin(type_) is Mapping:
        return {clean(name, 300): _read(get_args(type_)[1], one) for name, one in _of(dict, value).items()}
    if isinstance(type_, type) and issubclass(type_, StrEnum):
        return type_(_of(str, value))
    if type_ is datetime:
        return _moment(value)
    return float(_of(int | float, value)) if type_ is float else _of(type_, value)


def _of(type_: Any, value: Any) -> Any:
    if not isinstance(value, type_) or (isinstance(value, bool) and type_ is not bool):
        raise TypeError("it is of another type")
    return value


def _moment(value: Any) -> datetime:
    moment = datetime.fromisoformat(_of(str, value))
    if moment.tzinfo is None:
        raise ValueError("a time has no zone")
    return moment
