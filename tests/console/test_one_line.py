"""A field of a token's row is one line of its model: every surface has it from there."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

AFTER = "    tripwire: int | None = None\n"
LINE = '    labels: tuple[str, ...] = ("kept", "old")\n'
PROGRAM = f"""
import asyncio, importlib.util, json, sys
name = "crypto_core.database.tokens.inventory_row"
spec = importlib.util.find_spec(name)
with open(spec.origin) as file:
    before, found, behind = file.read().partition({AFTER!r})
assert found
module = sys.modules[name] = importlib.util.module_from_spec(spec)
exec(compile(before + found + {LINE!r} + behind, spec.origin, "exec"), module.__dict__)

from console.manual.schemas import schema_text
from tests.conftest import run_here
from tests.crypto_core.incidents.report.making import service_of
from tests.crypto_core.incidents.sample import sample
from tests.screens.deck import deck

ONE = "gh_connection.access_token:gh-1"


async def screen():
    async with deck(start="connections", size=(260, 50)) as d:
        return d.text()


row = run_here("inspect", ONE, "--json").json
told = {{form: run_here("connections", "--output", form).stdout for form in ("table", "csv", "json")}}
told["inspect"] = run_here("inspect", ONE).stdout
told["schema"] = schema_text("token")
told["list"] = asyncio.run(screen())
incident = sample().with_evidence("tokens", {{"rows": [row]}})
told["report"] = service_of(incident).report(incident.view)
print(json.dumps(told))
"""


@pytest.fixture
def surfaces(environment: dict[str, str]) -> dict[str, str]:
    """What the surfaces are with that line in the model."""
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=os.environ | environment | {"PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    told: dict[str, str] = json.loads(ran.stdout)
    return told


@pytest.mark.deep
def test_a_new_field_of_a_tokens_row_stands_on_every_surface_from_one_line(surfaces: dict[str, str]) -> None:
    heading, first, *_ = surfaces["table"].splitlines()
    assert heading.endswith("labels")
    assert first.endswith("kept, old")
    names, cells, *_ = csv.reader(surfaces["csv"].splitlines())
    assert dict(zip(names, cells, strict=True))["labels"] == '["kept", "old"]'
    assert json.loads(surfaces["json"])["connections"][0]["labels"] == ["kept", "old"]
    assert ["labels", "kept, old"] in [line.split(maxsplit=1) for line in surfaces["inspect"].splitlines()]
    schema = json.loads(surfaces["schema"])
    assert schema["properties"]["labels"] == {"type": "array", "items": {"type": "string"}}
    assert "labels" in schema["required"]
    assert " labels " in surfaces["list"]
    assert "labels kept, old" in surfaces["list"]
    (row,) = (line for line in surfaces["report"].splitlines() if "evidence | labels" in line)
    assert row.startswith("| token reference | org |")
    assert "| verified | kept, old |" in surfaces["report"]
