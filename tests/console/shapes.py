"""Holds what commands print to the schemas that they publish."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker

from console.manual.schemas import schema_text


@cache
def validator(name: str) -> Draft202012Validator:
    schema = json.loads(schema_text(name))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema, format_checker=FormatChecker())


def assert_shape(name: str, document: Any) -> None:
    """Fail with the first thing in which a document isn't as its schema says: nothing more may be in it."""
    for error in validator(name).iter_errors(document):
        raise AssertionError(f"{name}: {error.json_path}: {error.message}")
