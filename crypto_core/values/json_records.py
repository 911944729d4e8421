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
from dataclasses import MISSING, dataclass, fields, is_dataclass
from datetime import UTC, date, datetime
from enum import Enum
from functools import cache
from operator import attrgetter, methodcaller
from typing import Any, ClassVar, Literal, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

from crypto_core.values.clean_text import CleanText, clean

Model = TypeVar("Model")
Reader = Callable[[Any], Any]

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
    __slots__ = ()
    json_shape: ClassVar[JsonShape] = EVERY_FIELD

    def as_json(self) -> dict[str, Any]:
        """Return the model as a JSON document or a part of one. Raises TypeError for a value without JSON."""
        document: dict[str, Any] = {}
        model: Any = type(self)
        for key, read, nullable, optional in _plan(model):
            value = read(self)
            if optional and value is None:
                continue
            if nullable and (not value or value == _NO_TIME):
                value = None
            kind: Any = type(value)
            if kind not in _PLAIN:
                value = _converter(kind)(value)
            if key:
                document[key] = value
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
    kind: Any = None
    optional: bool = False


@cache
def _plan(model: Any) -> tuple[tuple[str, Callable[[Any], Any], bool, bool], ...]:
    return tuple((one.key, one.read, one.nullable, one.optional) for one in json_members(model))


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
    kind: Any = type(value)
    return value if kind in _PLAIN else _converter(kind)(value)


@cache
def _converter(kind: Any) -> Callable[[Any], Any]:
    if issubclass(kind, Enum):
        return attrgetter("value")
    if hasattr(kind, "as_json"):
        return methodcaller("as_json")
    if issubclass(kind, date):
        return methodcaller("isoformat")
    if issubclass(kind, bytes):
        return methodcaller("hex")
    if issubclass(kind, Mapping):
        return lambda value: {_text(key): json_value(one) for key, one in value.items()}
    if issubclass(kind, tuple | list):
        return lambda value: [json_value(one) for one in value]
    if issubclass(kind, AbstractSet):
        return lambda value: sorted(json_value(one) for one in value)
    if kind.__str__ is not object.__str__:
        return str
    if not is_dataclass(kind):
        raise TypeError(f"{kind.__name__} has no JSON")
    names = tuple(field.name for field in fields(kind))
    return lambda value: {name: json_value(getattr(value, name)) for name in names}


def _text(key: Any) -> str:
    return key if type(key) is str else str(json_value(key))


class JsonRecordError(ValueError):
    """A document isn't one that a model's `as_json` makes: `path` names the key, and nothing its value."""

    def __init__(self, path: str, trouble: str) -> None:
        self.path, self.trouble = path, trouble
        super().__init__(f"{path} {trouble}")


def record_of(model: type[Model], document: Any, *, exactly: bool = False, **given: Any) -> Model:
    """Return the model of a document that its `as_json` made; fields without a key are `given`, or default.

    Keys that the model doesn't have are passed over, but not with `exactly`. Raises JsonRecordError for a key
    that is missing or has a value of another kind, such as a moment without its offset.
    """
    known: Any = model
    try:
        made: Model = _record(known, document, given, exactly=exactly)
    except JsonRecordError as error:
        raise error if error.path else JsonRecordError(model.__name__, error.trouble) from error
    return made


def _record(model: Any, document: Any, given: Mapping[str, Any], *, exactly: bool) -> Any:
    if not isinstance(document, Mapping):
        raise JsonRecordError("", "is no object")
    keys = _read_fields(model, exactly)
    if exactly and not keys.keys() >= document.keys():
        raise JsonRecordError("", "has keys that are not known")
    values = dict(given)
    for key, (name, needed, read) in keys.items():
        if name in given:
            continue
        if key in document:
            values[name] = _within(key, read, document[key])
        elif needed:
            raise JsonRecordError(key, "is missing")
    return model(**values)


@cache
def _read_fields(model: Any, exactly: bool) -> dict[str, tuple[str, bool, Reader]]:
    hints = get_type_hints(model)
    members = json_members(model) if issubclass(model, JsonRecord) else ()
    keys = {member.attribute: member for member in members if member.attribute and member.key}
    found = {}
    for field in fields(model):
        if field.init:
            member = keys.get(field.name)
            read = _reader(hints[field.name], exactly)
            needed = field.default is MISSING and field.default_factory is MISSING
            nullable = member is not None and member.nullable
            found[member.key if member else field.name] = (
                field.name,
                needed,
                _or_empty(read) if nullable else read,
            )
    return found


def _within(part: str, read: Reader, value: Any) -> Any:
    try:
        return read(value)
    except JsonRecordError as error:
        between = "." if error.path and not error.path.startswith("[") else ""
        raise JsonRecordError(f"{part}{between}{error.path}", error.trouble) from error
    except (TypeError, ValueError, AttributeError) as error:
        raise JsonRecordError(part, "has a value of another kind") from error


def _or_empty(read: Reader) -> Reader:
    """Return what reads null as the empty text that it stands for."""

    def reads(value: Any) -> Any:
        return read("") if value is None and read in (_text_of, _clean_text) else read(value)

    return reads


@cache
def _reader(kind: Any, exactly: bool) -> Reader:
    """Return what reads a value of a kind; for another it raises TypeError, ValueError or AttributeError."""
    origin, args = get_origin(kind), get_args(kind)
    if kind in _SCALARS:
        return _SCALARS[kind]
    if origin in (Union, types.UnionType):
        return _any_of(
            tuple(_reader(one, exactly) for one in args if one is not type(None)), type(None) in args
        )
    if origin is Literal:
        return lambda value: args[args.index(value)]
    if origin is tuple and args[-1] is not Ellipsis:
        readers = tuple(_reader(one, exactly) for one in args)
        return lambda value: tuple(
            _within(f"[{n}]", read, one)
            for n, (read, one) in enumerate(zip(readers, _listed(value), strict=True))
        )
    if origin in (tuple, frozenset):
        each = _reader(args[0], exactly)
        return lambda value: origin(_within(f"[{n}]", each, one) for n, one in enumerate(_listed(value)))
    if origin in (dict, Mapping):
        name, inner = (_reader(one, exactly) for one in args)
        return lambda value: {name(key): _within(str(key), inner, one) for key, one in value.items()}
    if is_dataclass(kind):
        return lambda value: _record(kind, value, {}, exactly=exactly)
    reads: Reader = kind
    return reads


def _any_of(readers: tuple[Reader, ...], none: bool) -> Reader:
    *others, last = readers

    def reads(value: Any) -> Any:
        if none and value is None:
            return None
        for read in others:
            with suppress(TypeError, ValueError, AttributeError):
                return read(value)
        return last(value)

    return reads


def _listed(value: Any) -> list[Any]:
    if not isinstance(value, list | tuple):
        raise TypeError
    return list(value)


def _text_of(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _clean_text(value: Any) -> CleanText:
    return clean(_text_of(value), max(len(value), 1))  # shortened, if at all, as the model is made


def _exactly(kind: type) -> Reader:
    def reads(value: Any) -> Any:
        if type(value) is not kind:
            raise TypeError
        return value

    return reads


def _number(value: Any) -> float:
    if type(value) not in (int, float):
        raise TypeError
    return float(value)


def read_moment(value: Any) -> datetime:
    """Return the moment of a text. Raises TypeError, ValueError for anything else, or one without offset."""
    at = datetime.fromisoformat(value)
    if at.tzinfo is None:
        raise ValueError
    return at


_SCALARS: dict[Any, Reader] = {
    str: _text_of,
    CleanText: _clean_text,
    int: _exactly(int),
    bool: _exactly(bool),
    float: _number,
    bytes: bytes.fromhex,
    datetime: read_moment,
    date: date.fromisoformat,
    Any: lambda value: value,
}
