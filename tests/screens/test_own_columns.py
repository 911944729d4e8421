"""Columns of the team's own: a field of the row, or what stands deeper in it, as text and nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from console.settings import load
from crypto_core.values.clean_text import clean
from crypto_core.values.errors import SettingsError
from screens.own_column import OwnColumn
from tests.console.application.test_keymap import DATABASE, settings_file
from tests.screens.deck import LARGE, deck
from tests.screens.hostile import assert_harmless
from tests.screens.samples import HOSTILE, hostile_rows
from tests.screens.stage import Stage

__all__ = ["settings_file"]


def column(*path: str) -> OwnColumn:
    return OwnColumn(clean("own-team"), clean("team"), ("connections",), path)


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        (("key",), "arn"),
        (("shown", "email"), "a@b"),
        (("shown", "meta", "team"), "core"),
        (("shown", "meta", "tags", "1"), "two"),
        (("shown", "meta", "tags"), '["one", "two"]'),
        (("shown", "meta", "deep", "x"), "null"),
        (("shown", "meta", "tags", "7"), "-"),
        (("shown", "meta", "tags", "x"), "-"),
        (("shown", "meta", "nobody"), "-"),
        (("nobody", "at", "all"), "-"),
        (("nothing",), "-"),
        (("shown", "cut", "team"), "?"),
        (("shown", "deep", "team"), "?"),
        (("number", "team"), "-"),
        (("number",), "388"),
    ],
)
def test_a_path_leads_into_mappings_lists_and_json(path: tuple[str, ...], shown: str) -> None:
    row: dict[str, Any] = {
        "key": "arn",
        "number": 388,
        "nothing": None,
        "shown": {
            "email": "a@b",
            "meta": '{"team": "core", "tags": ["one", "two"], "deep": {"x": "null"}}',
            "cut": '{"team": "co…',
            "deep": "[" * 200_000,
        },
    }
    assert column(*path).text(row) == shown


async def test_a_column_is_on_its_list_alone_and_what_it_shows_does_nothing() -> None:
    stage = Stage(rows=hostile_rows(), own_columns=(column("organisation"), column("shown", "x", "y")))
    stage.rows[0] = replace(stage.rows[0], shown=(("x", '{"y": "[/red]\\u001b[2J"}'),))
    async with deck(stage, start="connections", size=LARGE) as d:
        await d.command("columns")
        await d.press("escape")
        assert "team" in d.text()
        for _ in HOSTILE:
            assert_harmless(d, LARGE)
            await d.press("down")
        await d.press("3")
        assert "team" not in d.text()


def test_columns_come_from_the_settings_file(settings_file: Path) -> None:
    lines = ["[[columns]]", 'name = "team"', 'on = ["connections"]', 'path = "shown.meta.team"']
    settings_file.write_text("\n".join([DATABASE, *lines]))
    (one,) = load().settings.columns
    assert ("columns", "team on connections", str(settings_file)) in load().shown()
    assert one.column() == replace(column("shown", "meta", "team"), heading=clean("team"))
    settings_file.write_text("\n".join([DATABASE, *lines, *lines]))
    with pytest.raises(SettingsError, match="two on connections are named team"):
        load()
    for wrong in ('path = ""', 'path = "a..b"', "path = []", 'on = ["nowhere"]'):
        settings_file.write_text(
            "\n".join([DATABASE, *(line for line in lines if line[:2] != wrong[:2]), wrong])
        )
        with pytest.raises(SettingsError, match="columns"):
            load()
