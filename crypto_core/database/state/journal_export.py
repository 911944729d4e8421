"""The journal in a file, to be verified where there is neither the database nor AWS.

Lines of JSON: first a head with the database's id, the entry written last and the checkpoints, then entries.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any

from crypto_core.database.state.checkpoint import checkpoint_of
from crypto_core.database.state.journal import chained, written_last
from crypto_core.database.state.journal_chain import WrittenLast
from crypto_core.database.state.journal_checkpoints import JournalCheckpoints, stored_checkpoints
from crypto_core.database.state.journal_entry import JournalEntry
from crypto_core.database.state.journal_verification import StoredCheckpoint
from crypto_core.errors import RefusedError
from crypto_core.lists.new_files import new_file
from crypto_core.text.cleaning import clean

FORM = 1
LARGEST_LINE = 256 * 1024 * 1024
"""Bytes of one line; the head holds all checkpoints."""
_TEXTS = ("actor", "host", "action", "subject", "outcome", "detail")


@dataclass(frozen=True, slots=True)
class ExportedJournal:
    """A journal as a file holds it. Its entries can be read once, while the file is open."""

    last: WrittenLast | None
    stored: tuple[StoredCheckpoint, ...]
    entries: Iterator[JournalEntry]


def export_journal(checkpoints: JournalCheckpoints, path: Path) -> int:
    """Write the whole journal to a new file; returns the number of its entries.

    Raises ExportError, DatabaseError.
    """
    number = -1
    with new_file(path) as file:
        for line in journal_lines(checkpoints):
            file.write(line)
            number += 1
    return number


def journal_lines(checkpoints: JournalCheckpoints) -> Iterator[str]:
    """Yield the whole journal line by line, its head first, each with its end. Raises DatabaseError."""
    with checkpoints.reading() as connection:
        last = written_last(connection)
        head = {
            "keydeck_journal": FORM,
            "last": {"seq": last.seq, "digest": last.digest.hex(), "database_id": last.database_id}
            if last
            else None,
            "checkpoints": [
                one.checkpoint.as_json() | {"actor": one.actor} for one in stored_checkpoints(connection)
            ],
        }
        yield f"{json.dumps(head)}\n"
        for entry in chained(connection):
            yield f"{json.dumps(entry.as_json())}\n"


@contextmanager
def exported_journal(path: Path) -> Iterator[ExportedJournal]:
    """Give the journal of a file that was exported. Raises RefusedError for what is none."""
    try:
        with path.open("rb") as file:
            head = _line(file.readline(LARGEST_LINE), path, 1)
            try:
                written, stored = _head(head)
            except (KeyError, TypeError, ValueError, RefusedError) as error:
                raise _not_one(path, 1) from error
            yield ExportedJournal(written, stored, _entries(file, path))
    except OSError as error:
        raise RefusedError(f"{clean(path)} can't be read: {clean(error.strerror)}.") from error


def _head(head: Mapping[str, Any]) -> tuple[WrittenLast | None, tuple[StoredCheckpoint, ...]]:
    if head["keydeck_journal"] != FORM:
        raise ValueError("another form")
    last = head["last"]
    stored = tuple(StoredCheckpoint(checkpoint_of(one), str(one["actor"])) for one in head["checkpoints"])
    if last is None:
        return None, stored
    database_id = clean(last["database_id"], 100)
    return WrittenLast(int(last["seq"]), bytes.fromhex(last["digest"]), database_id), stored


def _entries(file: Any, path: Path) -> Iterator[JournalEntry]:
    number = 1
    while line := file.readline(LARGEST_LINE):
        number += 1
        document = _line(line, path, number)
        try:
            yield _entry(document)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise _not_one(path, number) from error


def _entry(document: Mapping[str, Any]) -> JournalEntry:
    if {*document, "checked"} != {field.name for field in fields(JournalEntry)}:
        raise ValueError("other fields")
    told: dict[str, Any] = {name: document[name] for name in (*_TEXTS, "database_role", "database_id")}
    optional = {"database_role", "database_id"}
    if not all(isinstance(v, str) or (v is None and name in optional) for name, v in told.items()):
        raise TypeError("a text that is none")
    if type(document["seq"]) is not int or not isinstance(document.get("checked"), bool | None):
        raise TypeError("a number that is none")
    return JournalEntry(
        seq=document["seq"],
        at=datetime.fromisoformat(document["at"]),
        previous=bytes.fromhex(document["previous"]),
        digest=bytes.fromhex(document["digest"]),
        checked=document.get("checked"),
        **told,
    )


def _line(line: bytes, path: Path, number: int) -> Mapping[str, Any]:
    try:
        document = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise _not_one(path, number) from error
    if not isinstance(document, dict):
        raise _not_one(path, number)
    return document


def _not_one(path: Path, number: int) -> RefusedError:
    return RefusedError(
        f"{clean(path)} is not an exported journal: line {number:,} can't be read.",
        remedy="One is written by: keydeck journal export FILE.",
    )
