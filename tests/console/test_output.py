"""--output: the same rows in every form, and the forms that make sense of what a command prints."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import click
import pytest
import yaml

from console.__main__ import keydeck as command
from console.printed.forms import Form
from console.printed.lists import Printout, print_listing
from console.sandbox.world import World
from tests.conftest import Ran
from tests.console.command_types import Keydeck

EVIL = "=1+1;[/red]\x1b[31m\u202eno: yes"
RECORDS: list[dict[str, Any]] = [
    {"name": EVIL, "tokens": 3, "ratio": 0.5, "keys": ["a", "on"], "at": None},
    {"name": "no", "tokens": 12_000, "ratio": 1.0, "keys": [], "at": "2026-11-29T12:00:00+00:00"},
]


def listed(form: Form, capsys: pytest.CaptureFixture[str], rows: list[dict[str, Any]]) -> str:
    listing = Printout(
        name="things",
        rows=rows,
        record=lambda row: row,
        headers=("name", "tokens"),
        cells=lambda row: (row["name"], row["tokens"]),
        rest=lambda: {"more": False},
    )
    print_listing(listing, form)
    return capsys.readouterr().out


@pytest.mark.parametrize("rows", [RECORDS, []])
def test_every_form_says_the_same_and_nothing_acts_on_a_terminal(
    rows: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    printed = {form: listed(form, capsys, rows) for form in Form}
    document = {"things": rows, "more": False}
    assert json.loads(printed[Form.JSON]) == document
    assert yaml.safe_load(printed[Form.YAML]) == document
    assert [json.loads(line) for line in printed[Form.JSONL].splitlines()] == rows
    read = list(csv.DictReader(io.StringIO(printed[Form.CSV])))
    assert [row["tokens"] for row in read] == [str(row["tokens"]) for row in rows]
    if rows:
        assert read[0]["name"] == "'=1+1;[/red][31mno: yes"
        assert json.loads(read[0]["keys"]) == ["a", "on"]
    assert len(printed[Form.TABLE].splitlines()) == 1 + len(rows)
    for form, text in printed.items():
        assert not {"\x1b", "\u202e"} & set(text), form


def every_command(group: click.Group, ctx: click.Context) -> list[tuple[str, click.Command]]:
    """All commands below a group, by the words that call them."""
    found: list[tuple[str, click.Command]] = []
    for name in group.list_commands(ctx):
        one = group.get_command(ctx, name)
        assert one is not None
        found.append((name, one))
        if isinstance(one, click.Group):
            found += [(f"{name} {below}", its) for below, its in every_command(one, click.Context(one))]
    return found


def test_what_prints_json_has_output_and_both_choose_the_same() -> None:
    ctx = click.Context(command)
    lists = []
    for name, one in every_command(command, ctx):
        options = {flag for param in one.params for flag in param.opts}
        if "--json" in options and name != "demo":
            assert "--output" in options, name
        if "--csv" in options:
            lists.append(name)
    assert {"connections", "events list", "jobs list", "keys list", "findings", "journal list"} <= set(lists)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("connections", "--output", "jsno"), "Did you mean json?"),
        (("inspect", "gh_connection.access_token:gh-1", "--output", "csv"), "prints one document, not rows"),
        (("events", "watch", "--key", "alias/k", "--output", "yaml"), "uses as they come"),
        (("connections", "--output", "yaml", "--json"), "Choose --yaml or --json"),
        (("settings", "--csv", "--output", "json"), "Choose --csv or --json"),
    ],
)
def test_a_form_that_makes_no_sense_is_refused_by_name(
    keydeck: Keydeck, arguments: tuple[str, ...], says: str
) -> None:
    ran = keydeck(*arguments)
    assert (ran.exit_code, ran.stdout) == (2, "")
    assert says in ran.stderr


def test_documents_are_yaml_too(keydeck: Keydeck) -> None:
    status: Ran = keydeck("status", "--output", "yaml")
    assert yaml.safe_load(status.stdout)["tokens"] == keydeck("status", "--json").json["tokens"]
    rows = yaml.safe_load(keydeck("connections", "--limit", "2", "--output", "yaml").stdout)
    assert rows == keydeck("connections", "--limit", "2", "--output", "json").json


def test_csv_has_the_same_headings_with_and_without_rows(keydeck: Keydeck) -> None:
    some, none = (
        keydeck("connections", "--filter", expression, "--csv").stdout.splitlines()
        for expression in ("provider:slack", "org:no-such-organisation")
    )
    assert len(none) == 1
    assert some[0] == none[0]
    assert some[0].startswith("reference,provider,")


def test_verified_tokens_are_rows_and_their_sum_is_no_row(keydeck: Keydeck, world: World) -> None:
    refs = [str(ref) for ref in world.sealed_under(world.current_key)[:2]]
    ran = keydeck("verify", *refs, "--output", "csv")
    assert [row["reference"] for row in csv.DictReader(io.StringIO(ran.stdout))] == refs
    assert (ran.exit_code, ran.stderr.splitlines()[-1]) == (0, "2 of 2 tokens opened")
    assert keydeck("verify", *refs).stdout.splitlines()[-1] == "2 of 2 tokens opened"
