"""JSON documents of models, and models of JSON documents, by one declaration.

A dataclass that is a `JsonRecord` has `as_json`: its fields in order, under their names. Where a document has
other keys, `json_shape` declares them, as `namedtuple` does, in one text:

    key             the attribute of this name: a field or a property
    key=attribute   another attribute; `key=a.b` is null where `a` is None
    key?            null where the attribute is empty or the moment of an event without a time (year 1);
                    `key=attribute?` likewise
    [key]           left out where the attribute is None; `[key=attribute]` likewise
    *attribute      the keys of that attribute's own document, in this place; none where it is None
    ...             every field that the declaration doesn't name
    -field          not in the document, though `...` stands for every field

Values become JSON by their types: enums by their value, moments and days in ISO 8601, bytes in hexadecimal,
tuples as lists, sets sorted, records by their own documents, and anything else with a text of its own, such
as a token reference, by that text.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from datetime import UTC, date, datetime
from enum import Enum
from functools import cache
from operator import attrgetter
from typing import Any, ClassVar, Literal, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

from crypto_core.text.cleaning import CleanText, clean

Model = TypeVar("Model")

_PLAIN = frozenset({str, int, float, bool, type(None)})
_REST = "..."
_NO_TIME = datetime(1, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class JsonShape:
    """The declared keys of a document, and how those are made that no attribute holds."""

    keys: tuple[str, ...]
    computed: Mapping[str, Any]


def shape(keys: str, **computed: Any) -> JsonShape:
    """Return a declaration, see this module. `computed` are functions of the model, or constants, by key."""
    return JsonShape(tuple(keys.split()), computed)


EVERY_FIELD = shape(_REST)


class made(NamedTuple):  # noqa: N801 - it reads as a function in a declaration
    """How a key is computed, after its type, which a schema states. A `dict` of an enum has all its keys."""

    kind: Any
    how: Callable[[Any], Any]


class JsonRecord:
    """A dataclass with a JSON document."""

    __slots__ = ()
    json_shape: ClassVar[JsonShape] = EVERY_FIELD

    def as_json(self) -> dict[str, Any]:
        """Return the model as a JSON document or a part of one. Raises TypeError for a value without JSON."""
        document: dict[str, Any] = {}
        model: Any = type(self)
        for member in json_members(model):
            value = member.read(self)
            if member.optional and value is None:
                continue
            if member.nullable and (not value or value == _NO_TIME):
                value = None
            if type(value) not in _PLAIN:
                value = json_value(value)
            if member.key:
                document[member.key] = value
            else:
                document.update(value or {})
        return document


@dataclass(frozen=True, slots=True)
class JsonMember:
    """One key of a document. Its `key` is "" where a nested document's keys stand in its place."""

    key: str
    attribute: str
    """The field or property, with a dot for a nested one; "" where the value is computed."""
    read: Callable[[Any], Any]
    nullable: bool = False
    """Whether an empty value is null."""
    kind: Any = None
    """The type of a computed value; None where it isn't declared."""
    optional: bool = False
    """Whether it is left out where it is None."""


@cache
def json_members(model: Any) -> tuple[JsonMember, ...]:
    """Return what a model's documents have, in order. Raises TypeError for a declaration that is wrong."""
    declared = model.json_shape
    names = tuple(field.name for field in fields(model))
    named = {_attribute(key) for key in declared.keys}
    members: list[JsonMember] = []
    for key in declared.keys:
        if key == _REST:
            members += (_member(model, name, declared.computed) for name in names if name not in named)
        elif not key.startswith("-"):
            members.append(_member(model, key, declared.computed))
    keys = [member.key for member in members if member.key]
    if len(set(keys)) < len(keys) or not set(declared.computed) <= set(keys):
        raise TypeError(f"{model.__name__}.json_shape declares a key twice, or computes one that it lacks.")
    return tuple(members)


def _attribute(declared: str) -> str:
    return declared.strip("[]").rpartition("=")[2].strip("-*?").partition(".")[0]


def _member(model: Any, declared: str, computed: Mapping[str, Any]) -> JsonMember:
    name, _, attribute = declared.strip("[]?").rpartition("=")
    key, nullable, optional = name or attribute, declared.endswith("?"), declared.startswith("[")
    if key in computed:
        how = computed[key]
        if isinstance(how, made):
            return JsonMember(key, "", how.how, nullable, how.kind, optional)
        if callable(how):
            return JsonMember(key, "", how, nullable)
        return JsonMember(key, "", lambda _: how, nullable, Literal[how])
    if key.startswith("*"):
        key, attribute = "", attribute.removeprefix("*")
    first, _, further = attribute.partition(".")
    if first not in {field.name for field in fields(model)} and not hasattr(model, first):
        raise TypeError(f"{model.__name__}.json_shape names {first}, which {model.__name__} doesn't have.")
    read = _nested(first, further) if further else attrgetter(first)
    return JsonMember(key, attribute, read, nullable, optional=optional)


def _nested(first: str, further: str) -> Callable[[Any], Any]:
    def read(model: Any) -> Any:
        inner = getattr(model, first)
        return None if inner is None else attrgetter(further)(inner)

    return read


def json_value(value: Any) -> Any:
    """Return a value as JSON has it. Raises TypeError for one that has no JSON."""
    if type(value) in _PLAIN:
        return value
    if isinstance(value, Enum):
        return value.value
    if callable(own := getattr(value, "as_json", None)):
        return own()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {_text(key): json_value(one) for key, one in value.items()}
    if isinstance(value, tuple | list):
        return [json_value(one) for one in value]
    if isinstance(value, AbstractSet):
        return sorted(json_value(one) for one in value)
    if isinstance(value, bytes):
        return value.hex()
    kind: Any = type(value)
    if kind.__str__ is object.__str__:
        raise TypeError(f"{kind.__name__} has no JSON")
    return str(value)


def _text(key: Any) -> str:
    return key if isinstance(key, str) and not isinstance(key, Enum) else str(json_value(key))


class JsonRecordError(ValueError):
    """A document isn't one that a model's `as_json` makes: the message names the key, never its value."""


def record_of(model: type[Model], document: Any, **given: Any) -> Model:
    """Return the model of a document that its `as_json` made; fields without a key are `given`, or default.

    Keys that the model doesn't have are passed over. Raises JsonRecordError for a key that is missing or has
    a value of another kind, such as a moment without its offset.
    """
    return _record(model, document, "", given)


def _record(model: type[Model], document: Any, path: str, given: Mapping[str, Any]) -> Model:
    if not isinstance(document, Mapping):
        raise JsonRecordError(f"{path or model.__name__} is no object")
    values = dict(given)
    known: Any = model
    for field, key, kind in _read_fields(known):
        if field.name in given or not field.init:
            continue
        if key in document:
            values[field.name] = _read(kind, document[key], f"{path}.{key}" if path else key)
        elif field.default is MISSING and field.default_factory is MISSING:
            raise JsonRecordError(f"{path}.{key} is missing" if path else f"{key} is missing")
    return model(**values)


@cache
def _read_fields(model: Any) -> tuple[tuple[Field[Any], str, Any], ...]:
    hints = get_type_hints(model)
    members = json_members(model) if issubclass(model, JsonRecord) else ()
    keys = {member.attribute: member.key for member in members if member.attribute and member.key}
    return tuple((field, keys.get(field.name, field.name), hints[field.name]) for field in fields(model))


def _read(kind: Any, value: Any, path: str) -> Any:
    try:
        return _READERS.get(get_origin(kind) or kind, _of_kind)(kind, value, path)
    except JsonRecordError:
        raise
    except (TypeError, ValueError, AttributeError) as error:
        raise JsonRecordError(f"{path} has a value of another kind") from error


def _any_of(kind: Any, value: Any, path: str) -> Any:
    kinds = get_args(kind)
    if value is None and type(None) in kinds:
        return None
    *others, last = (one for one in kinds if one is not type(None))
    for one in others:
        with suppress(JsonRecordError):
            return _read(one, value, path)
    return _read(last, value, path)


def _literal(kind: Any, value: Any, _: str) -> Any:
    if value not in get_args(kind):
        raise ValueError
    return value


def _tuple(kind: Any, value: Any, path: str) -> tuple[Any, ...]:
    return _each(get_args(kind), value, path)


def _set(kind: Any, value: Any, path: str) -> frozenset[Any]:
    return frozenset(_each((*get_args(kind), ...), value, path))


def _each(kinds: tuple[Any, ...], value: Any, path: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise TypeError
    every = kinds[:1] * len(value) if kinds[-1] is Ellipsis else kinds
    return tuple(
        _read(one, part, f"{path}[{n}]") for n, (one, part) in enumerate(zip(every, value, strict=True))
    )


def _mapping(kind: Any, value: Any, path: str) -> dict[Any, Any]:
    of_key, of_value = get_args(kind)
    return {_read(of_key, key, path): _read(of_value, one, f"{path}.{key}") for key, one in value.items()}


def _moment(_: Any, value: Any, __: str) -> datetime:
    at = datetime.fromisoformat(value)
    if at.tzinfo is None:
        raise ValueError
    return at


def _exactly(kind: Any, value: Any, _: str) -> Any:
    # A null text is an empty one (`key?`); true is no number; a whole number is one with decimals too.
    if kind is str and value is None:
        return ""
    if type(value) is not kind and not (kind is float and type(value) is int):
        raise TypeError
    return value


def _of_kind(kind: Any, value: Any, path: str) -> Any:
    if kind is Any:
        return value
    if is_dataclass(kind) and isinstance(kind, type):
        return _record(kind, value, path, {})
    return kind(value)


_READERS: dict[Any, Callable[[Any, Any, str], Any]] = {
    **dict.fromkeys((str, int, float, bool), _exactly),
    CleanText: lambda _, value, path: clean(_exactly(str, value, path)),
    bytes: lambda _, value, __: bytes.fromhex(value),
    datetime: _moment,
    date: lambda _, value, __: date.fromisoformat(value),
    tuple: _tuple,
    frozenset: _set,
    Literal: _literal,
    **dict.fromkeys((dict, Mapping), _mapping),
    **dict.fromkeys((Union, types.UnionType), _any_of),
}
