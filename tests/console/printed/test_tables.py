"""Tables as text: as wide as their rows, or as the terminal, with nothing cut that has to be read."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from console.printed.tables import PrintedTable

HEADERS = ("severity", "reference", "note", "tokens")
ROWS = [
    ("critical", "gh_connection.access_token:gh-42", "stored in plaintext since the migration", 12_000),
    ("low", "jira_connection.refresh_token:7", "日本語の組織 [/red]\x1b[31m", 3),
]


def test_without_a_terminal_a_row_is_a_line_and_numbers_stand_to_the_right() -> None:
    head, first, second = PrintedTable(HEADERS, ROWS).lines()
    assert head.split() == list(HEADERS)
    assert first.endswith("12,000")
    assert second.endswith("     3")
    assert cell_len(first) == cell_len(second)
    assert "[/red][31m" in second
    assert "\x1b" not in second


@pytest.mark.parametrize("width", [60, 80, 120])
def test_on_a_terminal_no_line_is_wider_and_every_word_is_there(width: int) -> None:
    table = PrintedTable(HEADERS, ROWS)
    lines = list(table.lines(width))
    assert max(map(cell_len, lines)) <= width
    for row in ROWS:
        for cell in map(str, row[:2]):
            assert set(cell) <= set("".join(lines))
    assert table.left_out == []


def test_what_is_too_long_goes_on_below_in_full() -> None:
    text = "A sentence of words, and one that is longerthananycolumnhereisallowedtobe."
    head, *lines = PrintedTable(("note",), [(text,)]).lines(20)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert lines[:2] == ["A sentence of", "  words, and one"]
    assert all(line.startswith("  ") for line in lines[1:])  # a row that somebody made up begins no line
    assert head == "note"


def test_columns_that_can_be_spared_are_left_out_by_name_and_only_where_there_is_no_room() -> None:
    wide, narrow = (
        PrintedTable(HEADERS, ROWS, spare=("note", "tokens")),
        PrintedTable(HEADERS, ROWS, spare=("note", "tokens")),
    )
    list(wide.lines(120))
    lines = list(narrow.lines(60))
    assert (wide.left_out, narrow.left_out) == ([], ["note"])
    assert lines[0].split() == ["severity", "reference", "tokens"]
    assert all(len(line) <= 60 for line in lines)


def test_a_field_of_ten_megabytes_is_cut_and_rows_are_not_held() -> None:
    read = []

    def rows() -> object:
        for number in range(2_000):
            read.append(number)
            yield (str(number), "x" * 10_000_000 if number == 1 else "y")

    lines = PrintedTable(("id", "text"), rows()).lines()  # type: ignore[arg-type]
    next(lines)
    assert len(read) == 500
    assert len(next(lines)) < 1_000
    assert "x…" in next(lines)
    assert len(list(lines)) == 1_998


def test_a_table_without_rows_is_its_headings() -> None:
    assert list(PrintedTable(("a", "b"), []).lines(40)) == ["a  b"]
