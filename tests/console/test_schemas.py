"""What the schemas promise of status, keys and tokens is so. Others: the tests of their commands."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest

from console.manual.schema_of import schema_of
from console.manual.schemas import SCHEMAS, schema_text
from console.sandbox.world import World
from crypto_core.values.json_records import JsonRecord, made, shape
from tests.console.command_types import Keydeck
from tests.console.shapes import assert_shape, validator
from tests.left_out import GONE


@dataclass(frozen=True)
class Inner(JsonRecord):
    kind: str
    values: int
    distinct: int


class Color(StrEnum):
    RED = "red"
    BLUE = "blue"


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_is_valid_says_what_it_is_about_and_refuses_anything_else(
    keydeck: Keydeck, name: str
) -> None:
    printed = keydeck("help", "schema", name)
    assert json.loads(printed.stdout) == json.loads(schema_text(name))
    assert validator(name).schema["description"].replace("`", "") in " ".join(
        keydeck("help", "schema").stdout.split()
    )
    with pytest.raises(AssertionError):
        assert_shape(name, {})
    with pytest.raises(AssertionError):
        assert_shape(name, {"colour": "red"})


def test_a_schema_that_is_none_is_refused(keydeck: Keydeck) -> None:
    ran = keydeck("help", "schema", "tokn")
    assert (ran.exit_code, ran.stdout) == (2, "")
    assert "Did you mean token?" in ran.stderr
    assert keydeck("help", "filters", "token").exit_code == 2


def test_status_keys_and_tokens_have_their_shapes(keydeck: Keydeck, world: World) -> None:
    status = keydeck("status", "--json").json
    assert_shape("status", status)
    assert status["protected"]["count"] < status["tokens"] == len(world.tokens)
    assert status["protected"]["share"] == pytest.approx(
        status["protected"]["count"] / status["tokens"], abs=1e-6
    )
    assert any(p["tokens"] == len(world.plaintext_refs) for p in status["problems"])
    keys = keydeck("keys", "list", "--json").json["keys"]
    for key in (*keys, keydeck("keys", "show", world.current_key.arn, "--json").json):
        assert_shape("key", key)
    rows = [json.loads(row) for row in keydeck("connections", "--output", "jsonl").stdout.splitlines()]
    assert len(rows) == len(world.tokens)
    for row in rows:
        assert_shape("token", row)


def _shapes(path: str, schema: dict[str, Any], *, optional: bool = False) -> Iterator[str]:
    """Yield each member of a schema as a line: its path, its type, and whether it may be absent."""
    kind = schema.get("enum") or schema.get("type", schema.get("const", "any"))
    words = "|".join(map(str, kind)) if isinstance(kind, list) else kind
    narrower = [str(schema[rule]) for rule in ("format", "pattern", "minimum", "maximum") if rule in schema]
    yield " ".join([path, words, *narrower, *(["optional"] if optional else [])])
    if "items" in schema:
        yield from _shapes(f"{path}[]", schema["items"])
    if isinstance(values := schema.get("additionalProperties"), dict):
        yield from _shapes(f"{path}{{}}", values)
    for name, member in schema.get("properties", {}).items():
        assert schema["additionalProperties"] is False, path
        yield from _shapes(f"{path}.{name}", member, optional=name not in schema["required"])


def test_what_is_published_is_what_was_published() -> None:
    # A member that is renamed, left out or of another type breaks programs; a new one is added to the file.
    shapes = (line for name in SCHEMAS for line in _shapes(name, json.loads(schema_text(name))))
    published = Path(__file__).with_name("published_shapes.txt").read_text(encoding="utf-8")
    here = [line for line in published.splitlines() if not GONE or line.split()[0].split(".")[0] in SCHEMAS]
    assert list(shapes) == here


def test_a_key_whose_type_is_not_declared_has_no_schema() -> None:
    @dataclass(frozen=True)
    class Untyped(JsonRecord):
        name: str

        json_shape = shape("name length", length=lambda one: len(one.name))

    with pytest.raises(TypeError, match=r"Untyped\.json_shape declares no type for length"):
        schema_of(Untyped)


def test_a_member_is_described_by_its_field_and_typed_by_what_makes_it() -> None:
    @dataclass(frozen=True)
    class Typed(JsonRecord):
        at: datetime | None = field(metadata={"doc": "When."})
        by_format: Mapping[str, bool]
        inner: Inner

        json_shape = shape(
            "at? formats *inner [place=inner.kind] by_format", formats=made(dict[Color, int], len)
        )

    count, text = {"type": "integer", "minimum": 0}, {"type": "string"}
    assert schema_of(Typed) == {
        "type": "object",
        "properties": {
            "at": {"type": ["string", "null"], "format": "date-time", "description": "When."},
            "formats": {
                "type": "object",
                "properties": {"red": count, "blue": count},
                "required": ["red", "blue"],
                "additionalProperties": False,
            },
            "kind": text,
            "values": count,
            "distinct": count,
            "place": text,
            "by_format": {"type": "object", "additionalProperties": {"type": "boolean"}},
        },
        "required": ["at", "formats", "kind", "values", "distinct", "by_format"],
        "additionalProperties": False,
    }
