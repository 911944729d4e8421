"""Sheets as printed tables: the columns that a table has, and fields that nobody has placed behind them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypeVar

from crypto_core.key_names import short_key
from crypto_core.lists.sheet import Sheet

Row = TypeVar("Row")


class PrintedReader:
    """Names keys by their ids and moments by their days: it asks nobody."""

    def age(self, at: datetime) -> str:
        return f"{at:%Y-%m-%d}"

    ago = age

    def key(self, key_arn: str, _key_material_id: str | None) -> str:
        return short_key(key_arn)

    def material(self, key_material_id: str) -> str:
        return key_material_id[:8]


PRINTED = PrintedReader()


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
