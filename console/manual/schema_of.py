"""JSON Schemas (draft 2020-12) of models with a JSON document: from their declarations and annotations."""

from __future__ import annotations

import types
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import fields
from datetime import date, datetime
from enum import Enum
from functools import reduce
from operator import or_
from typing import Any, Literal, NewType, Union, get_args, get_origin, get_type_hints

from crypto_core.values.json_records import JsonRecord, json_members

Schema = dict[str, Any]

_SIMPLE: dict[Any, Schema] = {
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer", "minimum": 0},
    float: {"type": "number", "minimum": 0},
    bytes: {"type": "string"},
    datetime: {"type": "string", "format": "date-time"},
    date: {"type": "string", "format": "date"},
    type(None): {"type": "null"},
}
"""No number of a document is below 0."""


def schema_of(model: type[JsonRecord]) -> Schema:
    """Return the schema of a model's documents. Raises TypeError for a key whose type isn't declared."""
    properties: dict[str, Schema] = {}
    optional: set[str] = set()
    sentences = {field.name: field.metadata.get("doc") for field in fields(_dataclass(model))}
    for member in json_members(_dataclass(model)):
        kind = member.kind if member.kind is not None else _kind(model, member.attribute)
        if kind is None:
            raise TypeError(f"{model.__name__}.json_shape declares no type for {member.key}.")
        if member.optional:
            optional.add(member.key)
            kind, _ = _without_none(kind)
        schema = _nullable(_schema(kind)) if member.nullable else _schema(kind)
        if not member.key:
            properties |= schema["properties"]
            optional |= schema["properties"].keys() - set(schema["required"])
            continue
        if sentence := sentences.get(member.attribute):
            schema = schema | {"description": sentence}
        properties[member.key] = schema
    return _object(properties, optional)


def _dataclass(model: Any) -> Any:
    return model


def _object(properties: dict[str, Schema], optional: AbstractSet[str] = frozenset()) -> Schema:
    required = [key for key in properties if key not in optional]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _kind(model: Any, path: str) -> Any:
    """Return the type of an attribute, or of one of its own; None for one that isn't declared."""
    first, _, further = path.partition(".")
    own = getattr(model, first, None)
    hints = get_type_hints(own.fget if isinstance(own, property) else model)
    kind = hints.get("return" if isinstance(own, property) else first)
    if not further or kind is None:
        return kind
    inner, optional = _without_none(kind)
    found = _kind(inner, further)
    return found | None if optional and found is not None else found


def _without_none(kind: Any) -> tuple[Any, bool]:
    kinds = [one for one in get_args(kind) if one is not type(None)]
    if get_origin(kind) not in (Union, types.UnionType) or len(kinds) == len(get_args(kind)):
        return kind, False
    return reduce(or_, kinds), True


def _schema(kind: Any) -> Schema:
    inner, optional = _without_none(kind)
    if optional:
        return _nullable(_schema(inner))
    origin, args = get_origin(kind), get_args(kind)
    if isinstance(kind, NewType):
        return _schema(kind.__supertype__)
    if kind is Any:
        return {}
    if kind in _SIMPLE:
        return dict(_SIMPLE[kind])
    if origin is Literal:
        return {"const": args[0]} if len(args) == 1 else {"enum": list(args)}
    if origin in (Union, types.UnionType):
        return {"type": [_schema(one)["type"] for one in args]}
    if origin in (tuple, list, frozenset, set) or (origin and issubclass(origin, AbstractSet)):
        return {"type": "array", "items": _schema(args[0])}
    if origin is dict and issubclass(args[0], Enum):
        return _object({one.value: _schema(args[1]) for one in args[0]})
    if origin and issubclass(origin, Mapping):
        values = _schema(args[1])
        return {"type": "object", "additionalProperties": values} if values else {"type": "object"}
    if issubclass(kind, Enum):
        return {"enum": [one.value for one in kind]}
    if issubclass(kind, JsonRecord):
        return schema_of(kind)
    if hasattr(kind, "as_json"):
        raise TypeError(f"{kind.__name__} has a document of its own making: declare its type with made().")
    return {"type": "string"}


def _nullable(schema: Schema) -> Schema:
    if "enum" in schema:
        return schema | {"enum": [*schema["enum"], None]}
    if "type" not in schema:
        return schema
    known = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    return schema | {"type": [*(one for one in known if one != "null"), "null"]}
