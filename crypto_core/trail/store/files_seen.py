"""The files whose events are all in the store, so that an unchanged one is not read again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from operator import attrgetter

from sqlalchemy import Column, Connection, Integer, LargeBinary, Table

from crypto_core.trail.seen_file import FileName, SeenFile
from crypto_core.trail.store.bulk_insert import chunks, insert
from crypto_core.trail.store.schema import metadata

_COLUMNS = tuple(field.name for field in fields(SeenFile))

file_seen = Table(
    "file_seen",
    metadata,
    Column("path", LargeBinary, primary_key=True),
    *(Column(name, Integer, nullable=False) for name in _COLUMNS[1:]),
    sqlite_with_rowid=False,
)


def remember(connection: Connection, files: Sequence[SeenFile]) -> None:
    changes = ", ".join(f"{name} = excluded.{name}" for name in _COLUMNS[1:])
    once = {file.path: file for file in files}
    rows = list(map(attrgetter(*_COLUMNS), once.values()))
    insert(connection, "file_seen", _COLUMNS, rows, f"ON CONFLICT DO UPDATE SET {changes}")


def recall(connection: Connection, paths: Sequence[FileName]) -> dict[FileName, SeenFile]:
    found: dict[FileName, SeenFile] = {}
    for some in chunks(paths):
        places = ", ".join("?" * len(some))
        asked = f"SELECT {', '.join(_COLUMNS)} FROM file_seen WHERE path IN ({places})"  # noqa: S608
        found |= {row[0]: SeenFile(*row) for row in connection.exec_driver_sql(asked, tuple(some))}
    return found


def any_file(connection: Connection) -> bool:
    return bool(connection.exec_driver_sql("SELECT EXISTS (SELECT 1 FROM file_seen)").scalar())
