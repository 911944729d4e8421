"""The journal in a file, to be verified where there is neither the database nor AWS.

Lines of JSON: first a head with the database's id, the entry written last and the checkpoints, then entries.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from crypto_core.database.state.journal import chained, written_last
from crypto_core.database.state.journal_checkpoints import JournalCheckpoints, stored_checkpoints
from crypto_core.lists.new_files import new_file
from crypto_core.proof.forms import (
    LARGEST_LINE,
    JournalEntry,
    StoredCheckpoint,
    WrittenLast,
    export_head,
    export_lines,
)
from crypto_core.values.clean_text import clean
from crypto_core.values.errors import RefusedError

FORM = 1


@dataclass(frozen=True, slots=True)
class ExportedJournal:
    """A journal in an open file, to be read once; `entries` has sentences on lines that are none."""

    last: WrittenLast | None
    stored: tuple[StoredCheckpoint, ...]
    entries: Iterable[JournalEntry | str]
    fault: str = ""


def export_journal(checkpoints: JournalCheckpoints, path: Path) -> int:
    """Write the journal to a new file; returns the number of entries. Raises ExportError, DatabaseError."""
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
    """Give the journal of a file that was exported. Raises RefusedError for one that can't be read."""
    name = str(clean(path.name))
    try:
        with path.open("rb") as file:
            written, stored, fault = export_head(name, file.readline(LARGEST_LINE))
            lines = iter(partial(file.readline, LARGEST_LINE), b"")
            yield ExportedJournal(written, stored, export_lines(name, lines), fault)
    except OSError as error:
        raise RefusedError(f"{clean(path)} can't be read: {clean(error.strerror)}.") from error
