"""The answers about what tokens can do, kept on the operator's machine, in a file that only they read.

They are not in the database: whoever steals that would read there which tokens are worth most. Each has
a mark of the stored value that it is about, so that it is never shown for a token that took its place.
"""

from __future__ import annotations

import hmac
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Lock

from crypto_core.errors import AbilityBookError
from crypto_core.lists.own_file import make_own
from crypto_core.providers.abilities import TokenAbilities
from crypto_core.references import TokenRef
from crypto_core.text.cleaning import clean
from crypto_core.text.json_records import record_of

_VERSION = 1
_WAIT_SECONDS = 10.0
_SCHEMA = """
CREATE TABLE answer (
    reference TEXT PRIMARY KEY,
    stored TEXT NOT NULL,
    token TEXT NOT NULL,
    document TEXT NOT NULL
) STRICT;
CREATE TABLE marking (key BLOB NOT NULL) STRICT;
"""


class AbilityBook:
    """Keeps the last answer about each token. Thread-safe; the file is made when something is first kept.

    Every call raises AbilityBookError.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = Lock()
        self._key: bytes | None = None

    def mark_of_stored(self, digest: bytes) -> str:
        if self._key is None:
            with self._opened() as connection:
                (self._key,) = connection.execute("SELECT key FROM marking").fetchone()
        return hmac.digest(self._key, b"stored\x00" + digest, "sha256").hex()[:32]

    def keep(self, abilities: TokenAbilities, stored: str) -> None:
        document = json.dumps(abilities.as_json(), allow_nan=False)
        with self._opened() as connection:
            connection.execute(
                "INSERT INTO answer (reference, stored, token, document) VALUES (?, ?, '', ?) "
                "ON CONFLICT (reference) DO UPDATE SET stored = excluded.stored, token = excluded.token, "
                "document = excluded.document",
                (_name(abilities.ref), stored, document),
            )

    def kept(self, refs: Iterable[TokenRef]) -> dict[TokenRef, tuple[TokenAbilities, str]]:
        """Return the last answers about some tokens, and the marks of the values that they were about."""
        if not self.path.exists():
            return {}
        names = {_name(ref): ref for ref in refs}
        found: dict[TokenRef, tuple[TokenAbilities, str]] = {}
        with self._opened() as connection:
            rows = connection.execute(
                "SELECT reference, stored, document FROM answer "
                "WHERE reference IN (SELECT value FROM json_each(?))",
                (json.dumps(list(names)),),
            )
            for name, stored, document in rows:
                if (abilities := _read(names[name], document)) is not None:
                    found[names[name]] = abilities, stored
        return found

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        """Give a connection; what was written is kept at the end, or nothing."""
        try:
            with self._lock:
                if not make_own(self.path):
                    raise AbilityBookError(f"{clean(self.path)} is not a plain file of yours.")
                address = f"{self.path.absolute().as_uri()}?mode=rw"
                with closing(sqlite3.connect(address, uri=True, timeout=_WAIT_SECONDS)) as connection:
                    connection.execute("PRAGMA trusted_schema = OFF")
                    _prepare(connection)
                    with connection:
                        yield connection
        except (sqlite3.Error, OSError) as error:
            raise AbilityBookError(f"The answers in {clean(self.path)}: {clean(error, 200)}.") from error


def _prepare(connection: sqlite3.Connection) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version == _VERSION:
        return
    connection.execute("BEGIN IMMEDIATE")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > _VERSION:
        raise AbilityBookError("The answers were written by a newer Keydeck.", remedy="Upgrade Keydeck.")
    if version < _VERSION:
        for statement in filter(str.strip, _SCHEMA.split(";")):
            connection.execute(statement)
        connection.execute("INSERT INTO marking (key) VALUES (?)", (os.urandom(32),))
        connection.execute(f"PRAGMA user_version = {_VERSION}")
    connection.commit()


def _name(ref: TokenRef) -> str:
    """A reference's name in the file; by its parts, which no other reference has."""
    return json.dumps([ref.table, ref.column, ref.row_id, ref.member])


def _read(ref: TokenRef, document: str) -> TokenAbilities | None:
    """The answer of a row; None for one that can't be read, which counts as none."""
    try:
        return record_of(TokenAbilities, json.loads(document), ref=ref)
    except (ValueError, RecursionError):
        return None
