"""How far tables have been read in full, kept in a file of this machine's user, so that a reading goes on.

It is not kept in the database: whoever can write there could say that a table was read.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from crypto_core.database.qualified_sql import text
from crypto_core.lists.new_files import ExportError, replace_file
from crypto_core.lists.own_file import is_own


@dataclass(slots=True)
class TableReading:
    """How far one table was read, by pages: `page` is the next one, `end` where it ended when this began, and
    `rows` are those read.

    Every version of a row that is at a page before `page`, by a transaction older than `since`, was read. The
    pages of `holding` held what looks like a token; they are read again each time. `shape` changes with the
    table's columns, `file` whenever its rows are put elsewhere.
    """

    file: int
    shape: str
    columns: list[str]
    since: int
    end: int
    page: int = 0
    rows: int = 0
    holding: list[tuple[int, int]] = field(default_factory=list)

    @property
    def done(self) -> bool:
        return self.page >= self.end


@dataclass(eq=False)
class ReadingBook:
    """The readings of one database, by the tables' oids. Without a `folder` they are known to this run alone.

    They hold for one start of the server: after a fail-over, a restore or a restart, ids of transactions may
    mean others. `rules` is what values are looked at by: whoever looks otherwise reads anew.
    """

    rules: str
    folder: Path | None = None
    tables: dict[int, TableReading] = field(default_factory=dict)
    _server: str = ""

    def open(self, connection: Connection) -> None:
        """Look up this role's reading since the server's start. Raises DatabaseError."""
        server = f"{connection.scalar(_SERVER)} {hashlib.sha256(self.rules.encode()).hexdigest()[:16]}"
        if server == self._server:
            return
        self._server, self.tables = server, {}
        file = self._file
        try:
            kept = json.loads(file.read_text(encoding="utf-8")) if file and is_own(file) else {}
            if kept.get("server") == server:
                self.tables = {int(oid): _reading(told) for oid, told in kept["tables"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            self.tables = {}

    def keep(self) -> None:
        """Where that can't be written, the next run begins anew."""
        file = self._file
        if file is None:
            return
        told = {"server": self._server, "tables": {oid: asdict(one) for oid, one in self.tables.items()}}
        with suppress(OSError, ExportError):
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            replace_file(file, json.dumps(told))

    @property
    def _file(self) -> Path | None:
        name = "".join(c if c.isalnum() else "-" for c in self._server)
        return self.folder / f"reading-{name}.json" if self.folder else None


def _reading(told: dict[str, Any]) -> TableReading:
    return TableReading(**told | {"holding": [(int(a), int(b)) for a, b in told["holding"]]})


_SERVER = text(
    """
    SELECT concat_ws(' ', CAST(extract(epoch FROM pg_postmaster_start_time()) AS text), d.oid, u.oid)
    FROM pg_database d, pg_roles u WHERE d.datname = current_database() AND u.rolname = current_user
    """
)
