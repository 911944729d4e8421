"""DuckDB (extra `lake`), kept to itself: it loads no extension, reads no settings and asks no network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb


def connected(scratch: Path | None = None) -> duckdb.DuckDBPyConnection:
    """Return a new database in memory; what doesn't fit there goes to `scratch`, with None nowhere."""
    import duckdb

    return duckdb.connect(
        ":memory:",
        config={
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "allow_community_extensions": "false",
            "temp_directory": str(scratch) if scratch is not None else "",
            "preserve_insertion_order": "false",
        },
    )
