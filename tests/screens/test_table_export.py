"""What leaves the table: to the clipboard, and to files that nobody else reads and no sheet executes."""

from __future__ import annotations

import csv
import io
import json
import stat
from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual.widgets import Input

from crypto_core.lists.row_files import CsvWriter, JsonLinesWriter, inert
from crypto_core.values.errors import DatabaseUnreachableError, InterruptedRunError
from screens.widgets.clipboard import MOST, rows_as_text
from screens.widgets.table.export_dialog import ExportDialog, ExportError, export
from tests.screens.deck import LARGE, SMALL, Deck, deck
from tests.screens.hostile import assert_harmless
from tests.screens.samples import hostile_rows
from tests.screens.stage import Stage
from tests.screens.test_table_paging import long_stage

FIRST = "confluence_connection.access_token:10"


@pytest.mark.deep
async def test_each_copy_sends_exactly_what_it_says() -> None:
    async with deck(start="connections", size=LARGE) as d:
        row = f"{FIRST}\tacme\tconfluence\tplaintext\t-\t-\t13 d"
        for key, sent, said in (("y", FIRST, FIRST), ("Y", row, "1 token")):
            await d.press(key)
            assert d.app.clipboard == sent
            assert d.toasts()[-1] == f"Sent to the clipboard: {said}"
        await d.press("right", "y")
        assert d.app.clipboard == "acme"


async def test_marked_rows_are_copied_as_lines_of_cells() -> None:
    async with deck(start="connections", size=LARGE) as d:
        await d.press("space", "space", "space", "Y")
        lines = [line.split("\t") for line in d.app.clipboard.split("\n")]
        assert [line[1] for line in lines] == ["acme", "initech", "hooli"]
        assert d.toasts() == ["Sent to the clipboard: 3 tokens"]
        await d.press("A", "Y")
        assert d.toasts()[-1] == "Too many rows for the clipboard: E exports them."


async def test_more_than_a_clipboard_takes_is_cut_at_a_row_and_said_so() -> None:
    async with deck(long_stage(3000), start="connections") as d:
        for row in d.stage.rows:
            d.table.marks.set(row, marked=True)
        await d.press("Y")
        lines = d.app.clipboard.split("\n")
        assert len(d.app.clipboard) <= MOST
        assert d.toasts() == [f"Sent to the clipboard: {len(lines):,} tokens of 3,000; E exports all"]
        assert all(line.count("\t") == lines[0].count("\t") for line in lines)


@pytest.mark.deep
@given(st.lists(st.lists(st.text(max_size=20), min_size=1, max_size=4), max_size=20))
def test_copied_cells_hold_no_control_characters(rows: list[list[str]]) -> None:
    text, taken = rows_as_text(rows)
    assert taken == len(rows)
    assert text.count("\t") == sum(len(row) - 1 for row in rows)
    assert not any(ord(c) < 32 and c not in "\t\n" for c in text)
    assert text.count("\n") == max(len(rows) - 1, 0)


async def export_to(d: Deck, path: Path) -> None:
    await d.command(f"export {path}")
    assert isinstance(d.app.screen, ExportDialog)
    await d.press("enter")


@pytest.mark.deep
async def test_all_that_the_filter_lets_through_is_written_as_csv_in_the_order_of_the_table(
    tmp_path: Path,
) -> None:
    path = tmp_path / "tokens.csv"
    async with deck(start="connections", size=LARGE) as d:
        await d.filter("provider:slack")
        await d.command("sort created desc")
        await export_to(d, path)
        assert "180 tokens in" in d.says()
        assert "Only you may read it." in d.says()
        await d.press("enter")
        assert len(d.app.screen_stack) == 1
    rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))
    assert len(rows) == 180
    assert {row["provider"] for row in rows} == {"slack"}
    assert list(rows[0]) == list(d.stage.rows[0].as_json())
    dates = [row["created_at"] for row in rows]
    assert dates == sorted(dates, reverse=True)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [p.name for p in tmp_path.iterdir()] == ["tokens.csv"]


@pytest.mark.deep
async def test_a_list_of_many_pages_is_written_whole_as_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "tokens.jsonl"
    async with deck(long_stage(), start="connections") as d:
        await export_to(d, path)
    rows = [json.loads(line) for line in path.read_text(encoding="ascii").splitlines()]
    assert len({json.dumps(row["reference"]) for row in rows}) == len(rows) == 5_000


@pytest.mark.deep
async def test_marked_rows_alone_are_written_and_all_but_the_unmarked_ones(tmp_path: Path) -> None:
    async with deck(start="connections") as d:
        await d.press("space", "space")
        await export_to(d, tmp_path / "two.jsonl")
        assert "The 2 tokens that are marked." in d.says()
        await d.press("enter")
        await d.filter("provider:slack")
        await d.press("u", "A", "space")
        await export_to(d, tmp_path / "rest.jsonl")
        assert "All tokens that provider:slack lets through, but for 1." in " ".join(d.says().split())
    assert len((tmp_path / "two.jsonl").read_text().splitlines()) == 2
    assert len((tmp_path / "rest.jsonl").read_text().splitlines()) == 179


@pytest.mark.deep
async def test_a_file_that_is_there_or_has_another_ending_or_no_folder_is_refused(tmp_path: Path) -> None:
    there = tmp_path / "there.csv"
    there.write_text("precious")
    async with deck(start="connections", size=LARGE) as d:
        for path, said in (
            (there, "already exists. Choose another name."),
            (tmp_path / "tokens.xlsx", "the file name must end in .csv or .jsonl."),
            (tmp_path / "no" / "folder.csv", "can't be written: No such file or directory."),
        ):
            await export_to(d, path)
            assert said in " ".join(d.says().split())
            await d.press("escape")
    assert there.read_text() == "precious"
    assert [p.name for p in tmp_path.iterdir()] == ["there.csv"]


@pytest.mark.deep
async def test_a_cancelled_export_leaves_no_file(tmp_path: Path) -> None:
    async with deck(long_stage(), start="connections", size=LARGE) as d:
        gate = d.stage.hold("page")
        await export_to(d, tmp_path / "tokens.csv")
        assert "written…  Esc stops; then no file is left." in d.says()
        await d.press("escape")
        assert len(d.app.screen_stack) == 1
        gate.set()
        await d.settle()
    assert list(tmp_path.iterdir()) == []


async def test_an_export_that_fails_half_way_says_why_and_leaves_no_file(tmp_path: Path) -> None:
    async with deck(start="connections", size=LARGE) as d:
        d.stage.faults["page"] = DatabaseUnreachableError("No connection to pg-1:5432.")
        await export_to(d, tmp_path / "tokens.csv")
        assert "No connection to pg-1:5432. Check DATABASE_URL" in " ".join(d.says().split())
    assert list(tmp_path.iterdir()) == []


async def test_the_proposed_name_says_what_and_when() -> None:
    async with deck(start="connections") as d:
        await d.press("E")
        assert d.app.screen.query_one(Input).value == "keydeck-connections-20260701-1200.csv"
        await d.press("escape")


@pytest.mark.deep
async def test_hostile_rows_are_exported_and_copied_without_a_control_character(tmp_path: Path) -> None:
    stage = Stage(rows=[replace(row, organisation=f"=1+1{row.organisation}") for row in hostile_rows()])
    async with deck(stage, start="connections") as d:
        await export_to(d, tmp_path / "tokens.csv")
        await d.press("enter")
        await export_to(d, tmp_path / "tokens.jsonl")
        assert_harmless(d, SMALL)
        await d.press("enter")
        for row in stage.rows:
            d.table.marks.set(row, marked=True)
        await d.press("Y")
        copied = d.app.clipboard
    for text in ((tmp_path / "tokens.csv").read_text(encoding="utf-8"), copied):
        assert not any(c in text for c in "\x1b\x07\x00\u202e\u2066")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "tokens.csv").read_text(encoding="utf-8"))))
    assert all(row["organisation"].startswith("'=") for row in rows)
    assert "\x1b" not in (tmp_path / "tokens.jsonl").read_text(encoding="ascii")


def test_a_cancelled_export_is_no_export(tmp_path: Path) -> None:
    cancelled = Event()
    cancelled.set()
    with pytest.raises(InterruptedRunError):
        export(
            iter([[1]]), lambda n: {"n": n}, tmp_path / "a.csv", progress=lambda _: None, cancelled=cancelled
        )
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_appears_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    with pytest.raises(ExportError, match="already exists"):
        export(
            iter([[1]]),
            lambda n: {"n": n},
            path,
            progress=lambda _: path.write_text("precious") and None,
            cancelled=Event(),
        )
    assert path.read_text() == "precious"


@given(st.one_of(st.text(), st.sampled_from(["=1", " +1", "\t-1", "＝1", "@x", "\x00=1", "\u202e=1"])))
def test_no_cell_of_csv_begins_like_a_formula_or_ends_its_line(text: str) -> None:
    file = io.StringIO(newline="")
    CsvWriter(file).write({"a": text, "b": 1})
    written = list(csv.reader(io.StringIO(file.getvalue(), newline="")))
    assert len(written) == 2
    cell = written[1][0]
    assert cell == inert(text)
    assert cell.strip()[:1] not in tuple("=+-@＝＋－＠") or not cell.strip()
    assert not any(ord(c) < 32 for c in cell)
    assert file.getvalue().count("\r\n") == 2


@given(st.dictionaries(st.text(max_size=5), st.one_of(st.text(), st.integers(), st.none()), max_size=4))
def test_json_lines_come_back_as_they_were_and_are_ascii(record: dict[str, object]) -> None:
    file = io.StringIO()
    JsonLinesWriter(file).write(record)
    assert file.getvalue().isascii()
    assert file.getvalue().count("\n") == 1
    assert json.loads(file.getvalue()) == record
