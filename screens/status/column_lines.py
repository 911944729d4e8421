"""By column and format: where the tokens are, and how they are stored."""

from __future__ import annotations

from crypto_core.keys.status import Status
from screens.format_columns import FormatColumns
from screens.routes import TokensRoute
from screens.widgets.line_list import Line


def column_lines(status: Status, width: int) -> list[Line]:
    """A heading, each column with its counts, and the sums. A column leads to its tokens."""
    columns = FormatColumns(status.by_format, width)
    return [
        Line(columns.heading("by column")),
        *(
            Line(
                columns.row(column.column, column.by_format),
                TokensRoute(_filter(column.column)),
                hint="Enter: the tokens of this column.",
            )
            for column in status.by_column
        ),
        Line(columns.row("all columns", status.by_format, "bold")),
    ]


def _filter(column: str) -> str:
    table, _, name = column.rpartition(".")
    return f"table:{table} column:{name}"
