"""JSON Schemas of models, from the types of their fields."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import fields
from datetime import date, datetime
from enum import Enum
from typing import Any, Union, get_args, get_origin, get_type_hints

from crypto_core.text.json_records import json_members

_TYPES = {bool: "boolean", int: "integer", float: "number"}


def properties_of(model: Any) -> dict[str, dict[str, Any]]:
    """Return the schema of each key that a field of the model holds; `doc` in its metadata describes it."""
    hints = get_type_hints(model)
    docs = {field.name: field.metadata.get("doc") for field in fields(model)}
    return {
        member.key: schema_of(hints[member.attribute])
        | ({"description": doc} if (doc := docs[member.attribute]) else {})
        for member in json_members(model)
        if member.attribute in docs
    }


def schema_of(kind: Any) -> dict[str, Any]:
    """Return the schema of a field's type."""
    origin, options = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        (some,) = (option for option in options if option is not type(None))
        schema = schema_of(some)
        return (
            schema | {"type": [schema["type"], "null"]}
            if "type" in schema
            else {"anyOf": [schema, {"type": "null"}]}
        )
    if origin in (tuple, list, frozenset):
        return {"type": "array", "items": schema_of(options[0])}
    if origin in (dict, Mapping):
        return {"type": "object", "additionalProperties": schema_of(options[1])}
    if not isinstance(kind, type):
        return {"type": "string"}
    if issubclass(kind, Enum):
        return {"enum": [one.value for one in kind]}
    if issubclass(kind, date):
        return {"type": "string", "format": "date-time" if issubclass(kind, datetime) else "date"}
    return {"type": _TYPES.get(kind, "string")}
