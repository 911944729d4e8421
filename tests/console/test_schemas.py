"""What the schemas promise of status, keys and tokens is so. Others: the tests of their commands."""

from __future__ import annotations

import json

import pytest

from console.manual.schemas import SCHEMAS, schema_text
from console.sandbox.world import World
from tests.console.command_types import Keydeck
from tests.console.shapes import assert_shape, validator


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
