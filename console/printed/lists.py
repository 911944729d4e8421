"""The one way out for lists: the same rows as a table, JSON, JSON lines, CSV or YAML."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import methodcaller
from typing import Any, Generic, TypeVar

import click

from console.manual.schemas import fields_of
from console.printed.forms import Form
from console.printed.output import json_text, say, yaml_text
from console.printed.pager import print_lines
from console.printed.tables import PrintedTable
from console.printed.terminal import width_of_terminal
from crypto_core.lists.row_files import CsvWriter
from crypto_core.lists.sheet import PaperReader, Sheet
from crypto_core.values.key_names import short_key

Row = TypeVar("Row")

_DAY = "{:%Y-%m-%d}".format
PRINTED = PaperReader(_DAY, _DAY, lambda key_arn, _: short_key(key_arn), lambda material: material[:8])


@dataclass(frozen=True, slots=True, kw_only=True)
class Printout(Generic[Row]):
    """Rows, and how each is shown. They are read once, one by one.

    For programs each row is its `record`, in the document's member `name`; `rest` are the document's other
    members, asked for after the last row. For a person it is its `cells` below `headers`, of which a narrow
    terminal may leave out `spare` ones; or, where there is `text`, the lines that this yields of all rows.
    """

    name: str
    rows: Iterable[Row]
    record: Callable[[Row], Mapping[str, Any]] = methodcaller("as_json")
    headers: Sequence[str] = ()
    cells: Callable[[Row], Sequence[object]] = lambda _row: ()
    spare: Sequence[str] = ()
    text: Callable[[Iterable[Row]], Iterable[str]] | None = None
    schema: str = ""
    """The published schema of a record, where there is one: CSV without rows has its names as headings."""
    rest: Callable[[], Mapping[str, Any]] = dict


def printed(sheet: Sheet[Row, Any], columns: str, reader: Any = PRINTED) -> dict[str, Any]:
    """Return a listing's headers and cells: these columns, then the fields that the sheet doesn't declare.

    A column is a field's name, or `header=name` where its header is another word.
    """
    by_name = {field.name: field for field in sheet.declared}
    pairs = [
        (header, by_name[name or header]) for header, _, name in (c.partition("=") for c in columns.split())
    ]
    shown = [*pairs, *((field.title, field) for field in sheet.others)]

    def cells(row: Row) -> Sequence[object]:
        return [field.cell(row, reader) for _, field in shown]

    return {"headers": [header for header, _ in shown], "cells": cells}


def print_listing(listing: Printout[Any], form: Form) -> None:
    """Print a list in a form. JSON lines, CSV and tables are the rows alone: say what else there is."""
    _PRINTERS[form](listing)


def _print_table(listing: Printout[Any]) -> None:
    if listing.text is not None:
        print_lines(listing.text(listing.rows))
        return
    table = PrintedTable(listing.headers, map(listing.cells, listing.rows), listing.spare)
    print_lines(table.lines(width_of_terminal()))
    if table.left_out:
        say(f"No room for: {', '.join(table.left_out)}. --output csv has every column.")


def _print_json(listing: Printout[Any]) -> None:
    """A row a line: all of them may be too many to hold."""
    click.echo(f"{{{json_text(listing.name)}: [", nl=False)
    before = "\n"
    for record in _records(listing):
        click.echo(f"{before}{json_text(record)}", nl=False)
        before = ",\n"
    rest = json_text(listing.rest())[1:]
    click.echo(f"\n]{', ' if rest != '}' else ''}{rest}")


def _print_json_lines(listing: Printout[Any]) -> None:
    for record in _records(listing):
        click.echo(json_text(record))


def _print_csv(listing: Printout[Any]) -> None:
    writer = CsvWriter(sys.stdout)
    empty = True
    for record in _records(listing):
        writer.write(record)
        empty = False
    if empty:
        writer.row(fields_of(listing.schema) if listing.schema else listing.headers)


def _print_yaml(listing: Printout[Any]) -> None:
    empty = True
    for record in _records(listing):
        if empty:
            click.echo(f"{listing.name}:")
            empty = False
        click.echo(yaml_text([record]), nl=False)
    if empty:
        click.echo(f"{listing.name}: []")
    if rest := listing.rest():
        click.echo(yaml_text(rest), nl=False)


def _records(listing: Printout[Any]) -> Iterator[Mapping[str, Any]]:
    return map(listing.record, listing.rows)


_PRINTERS: Mapping[Form, Callable[[Printout[Any]], None]] = {
    Form.TABLE: _print_table,
    Form.JSON: _print_json,
    Form.JSONL: _print_json_lines,
    Form.CSV: _print_csv,
    Form.YAML: _print_yaml,
}
