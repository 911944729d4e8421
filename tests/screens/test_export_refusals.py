"""A file that can't be written is told in words, whatever the reason, and what was there is untouched."""

from __future__ import annotations

from pathlib import Path
from threading import Event

import pytest
from textual.widgets import Button, Input

from screens.widgets.table.export_dialog import PAGE, ExportError, export
from tests.screens.deck import LARGE, deck
from tests.screens.many_rows import many
from tests.screens.stage import Stage


def write(path: Path) -> int:
    rows = iter([[1, 2], [3]])
    return export(rows, lambda n: {"n": n}, path, progress=lambda _: None, cancelled=Event())


def test_a_folder_that_is_a_file_is_told_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    with pytest.raises(ExportError, match="can't be written: Not a directory"):
        write(tmp_path / "file" / "tokens.csv")
    assert (tmp_path / "file").read_text() == "precious"


def test_a_name_that_is_too_long_is_told_in_words(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="can't be written: File name too long"):
        write(tmp_path / f"{'x' * 300}.csv")
    assert list(tmp_path.iterdir()) == []


def test_a_link_that_leads_nowhere_is_not_written_through(tmp_path: Path) -> None:
    link = tmp_path / "tokens.csv"
    link.symlink_to(tmp_path / "elsewhere.csv")
    with pytest.raises(ExportError, match="already exists"):
        write(link)
    assert not (tmp_path / "elsewhere.csv").exists()


def test_the_part_of_another_export_to_the_same_file_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "tokens.csv"

    def meanwhile(written: int) -> None:
        if written == 2:
            with pytest.raises(ExportError):
                write(path)

    rows = iter([[1, 2], [3]])
    assert export(rows, lambda n: {"n": n}, path, progress=meanwhile, cancelled=Event()) == 3
    assert path.read_bytes() == b"n\r\n1\r\n2\r\n3\r\n"


async def test_after_a_refusal_another_name_can_be_given_at_once(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("precious")
    async with deck(Stage(rows=many(3)), start="connections", size=LARGE) as d:
        await d.command(f"export {tmp_path / 'a.csv'}")
        await d.press("enter")
        assert "already exists. Choose another name." in " ".join(d.says().split())
        field = d.app.screen.query_one("#path", Input)
        assert d.app.focused is field
        field.value = str(tmp_path / "b.jsonl")
        await d.press("enter")
        assert "3 tokens in" in d.says()
        assert isinstance(d.app.focused, Button)
    assert (tmp_path / "a.csv").read_text() == "precious"
    assert len((tmp_path / "b.jsonl").read_text().splitlines()) == 3


@pytest.mark.deep
async def test_how_far_an_export_is_is_said_while_it_is_under_way(tmp_path: Path) -> None:
    stage = Stage(rows=many(PAGE * 3))
    async with deck(stage, start="connections", size=LARGE) as d:
        source = d.pane.listing.source(d.facts)
        answer = source.page
        calls = []

        def second_page_hangs(*args: object, **more: object) -> object:
            calls.append(args)
            if len(calls) == 2:
                stage.hold("page")
            return answer(*args, **more)  # type: ignore[arg-type]

        source.page = second_page_hangs  # type: ignore[method-assign, assignment]
        await d.command(f"export {tmp_path / 'a.csv'}")
        await d.press("enter")
        await d.until(lambda: "1,000 tokens written…" in d.says())
        assert "Esc stops; then no file is left." in d.says()
        await d.press("escape")
        await d.until(lambda: not stage.waiting)
        await d.until(lambda: not list(tmp_path.iterdir()))
