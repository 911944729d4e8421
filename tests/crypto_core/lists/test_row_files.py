"""Rows as files: no cell is a formula, no character acts on a terminal, and what is read back is what was."""

from __future__ import annotations

import csv
import io
import json
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_core.lists.row_files import CsvWriter, JsonLinesWriter, inert

FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "＝1", "＋1", "－1", "＠x", "\t=1", "\r\n=1", "  =1", "\u200b=1"]


@pytest.mark.parametrize("text", FORMULAS)
def test_no_spreadsheet_takes_a_cell_for_a_formula(text: str) -> None:
    cell = inert(text)
    assert isinstance(cell, str)
    assert cell.startswith("'")
    assert cell.endswith(text.strip().lstrip("\u200b"))


@pytest.mark.parametrize("between", ["", " ", '"', '" "', "\u200b", "\t"])
@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_no_cell_is_a_formula_whatever_the_locale_takes_for_the_separator(
    between: str, formula: str, delimiter: str
) -> None:
    texts = [f"ops{sign}{between}{formula}" for sign in (";", "\t", ";;")] + [
        f";{formula};{formula}",
        formula,
    ]
    file = written(CsvWriter, [{"ref": "t.c:1", **{str(i): text for i, text in enumerate(texts)}}])
    cells = [cell for row in csv.reader(io.StringIO(file, newline=""), delimiter=delimiter) for cell in row]
    assert not [cell for cell in cells if cell.strip(' "')[:1] in tuple("=+-@＝＋－＠")]


@pytest.mark.parametrize("text", ["", "v1", "a=b", "1-2", "ops@example.com", "'=1", "a;b", "a, -1"])
def test_a_harmless_text_stays_as_it_is(text: str) -> None:
    assert inert(text) == text


def test_numbers_stay_numbers_and_nothing_is_nothing() -> None:
    assert inert(-5) == -5
    assert inert(2.5) == 2.5
    assert inert(None) == ""
    assert inert(True) == "True"


def test_what_is_nested_becomes_json_in_one_cell() -> None:
    assert inert({"a": "ü", "b": [1]}) == '{"a": "\\u00fc", "b": [1]}'
    assert inert(("x", 1)) == '["x", 1]'


@given(st.text(max_size=80))
def test_no_cell_begins_a_formula_or_holds_a_control_character(text: str) -> None:
    cell = str(inert(text))
    assert cell.lstrip()[:1] not in tuple("=+-@＝＋－＠")
    assert not [c for c in cell if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")]


def written(writer: type[CsvWriter] | type[JsonLinesWriter], records: list[dict[str, Any]]) -> str:
    file = io.StringIO(newline="")
    to = writer(file)
    for record in records:
        to.write(record)
    return file.getvalue()


def test_csv_has_one_heading_and_lines_as_rfc_4180_has_them() -> None:
    text = written(
        CsvWriter, [{"reference": "t.c:1", "org": 'a, "b"', "n": 3}, {"reference": "t.c:2", "n": 4}]
    )
    assert text == 'reference,org,n\r\nt.c:1,"a, ""b""",3\r\nt.c:2,,4\r\n'


def test_a_heading_is_no_formula_either() -> None:
    assert written(CsvWriter, [{"=cmd": 1}]).startswith("'=cmd\r\n")


@given(st.lists(st.text(max_size=20), min_size=2, max_size=5))
def test_csv_is_read_back_as_the_cells_that_were_written(texts: list[str]) -> None:
    record = {str(i): text for i, text in enumerate(texts)}
    rows = list(csv.reader(io.StringIO(written(CsvWriter, [record]), newline="")))
    assert rows == [list(record), [str(inert(text)) for text in texts]]


@given(st.dictionaries(st.text(max_size=5), st.text(max_size=20) | st.integers() | st.none(), max_size=4))
def test_a_json_line_is_ascii_and_read_back_as_it_was(record: dict[str, Any]) -> None:
    text = written(JsonLinesWriter, [record])
    assert text.endswith("\n")
    assert text.isascii()
    assert text[:-1].isprintable()
    assert json.loads(text) == record


def test_each_record_is_a_line_of_json() -> None:
    text = written(JsonLinesWriter, [{"org": "a\nb"}, {"org": "\x1b[31m"}])
    assert [json.loads(line)["org"] for line in text.splitlines()] == ["a\nb", "\x1b[31m"]
