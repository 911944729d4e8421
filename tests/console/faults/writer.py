"""The platform at work, in a process of its own: it replaces tokens, adds and removes connections.

It seals under the old key until a line on its standard input says that it is switched to the new one, and
ends when its standard input does. Then it tells what it has written last, as one JSON document. Its way of
writing is the platform's: UPDATE by id, no look at what was there. What failed it tries until it is certain.
"""

from __future__ import annotations

import json
import os
import random
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Event, Thread
from time import sleep
from typing import TypeVar

from sqlalchemy import Connection, Engine, text

from crypto_core.aws.kms import KmsApi
from crypto_core.database.connection.engine import connected, open_engine
from crypto_core.keyring.cipher import TokenCipher
from crypto_core.keyring.kms_keyring import KmsKeyring
from crypto_core.values.errors import DatabaseError, IncorrectKeyError, KmsError

T = TypeVar("T")

AGAIN_SECONDS = 0.1
COLUMNS = {
    "gh_connection": ("access_token", "refresh_token"),
    "jira_connection": ("access_token", "refresh_token"),
    "slack_connection": ("bot_token",),
    "confluence_connection": ("access_token",),
}
INSERT = (
    "INSERT INTO public.gh_connection (id, org_id, user_id, access_token, token_type, scopes, created_at)"
    " VALUES (:id, 'org-new', 'user-new', :stored, 'oauth', '[]', now())"
)


@dataclass(slots=True)
class Platform:
    """Writes one change after the other. `last` has what a token is by now, None where its row is gone."""

    engine: Engine
    cipher: TokenCipher
    key: str
    dice: random.Random
    last: dict[str, str | None] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)

    def change(self, number: int) -> None:
        ways = [self.replace, self.replace, self.replace, self.add, self.remove, self.hold]
        self.dice.choice(ways)(f"gho_written{self.dice.getrandbits(64):016x}{number:013d}", number)

    def replace(self, value: str, number: int, *, held: float = 0.0) -> None:
        table = self.dice.choice(list(COLUMNS))
        column = self.dice.choice(COLUMNS[table])
        row_id = self._some_row(table, column)
        if row_id is None:
            return
        stored = self._sealed(value)

        def write(connection: Connection) -> None:
            statement = f"UPDATE public.{table} SET {column} = :stored WHERE id::text = :id"
            connection.execute(text(statement), {"stored": stored, "id": row_id})
            sleep(held)

        self._surely(write, lambda: self._holds(table, column, row_id, value))
        self.last[f"{table}.{column}:{row_id}"] = value
        self.counts["held" if held else "replaced"] += 1

    def hold(self, value: str, number: int) -> None:
        """The same in a transaction that takes its time."""
        self.replace(value, number, held=self.dice.uniform(0.05, 0.4))

    def add(self, value: str, number: int) -> None:
        """A user has connected for the first time: ids among those that there are, and behind them all."""
        row_id = f"{self.dice.choice(('gh-1', 'new'))}-{number}"
        stored = self._sealed(value)

        def write(connection: Connection) -> None:
            connection.execute(text(INSERT), {"id": row_id, "stored": stored})

        self._surely(write, lambda: self._holds("gh_connection", "access_token", row_id, value))
        self.last[f"gh_connection.access_token:{row_id}"] = value
        self.counts["added"] += 1

    def remove(self, value: str, number: int) -> None:
        table = self.dice.choice(list(COLUMNS))
        row_id = self._some_row(table, COLUMNS[table][0])
        if row_id is None:
            return

        def write(connection: Connection) -> None:
            connection.execute(text(f"DELETE FROM public.{table} WHERE id::text = :id"), {"id": row_id})

        self._surely(write, lambda: self._stored(table, COLUMNS[table][0], row_id) is None)
        for column in COLUMNS[table]:
            self.last[f"{table}.{column}:{row_id}"] = None
        self.counts["removed"] += 1

    def _some_row(self, table: str, column: str) -> str | None:
        statement = f"SELECT id::text FROM public.{table} WHERE {column} LIKE 'djF8%' OFFSET :skip LIMIT 1"
        skip = self.dice.randrange(150)

        def read() -> str | None:
            with connected(self.engine) as connection:
                found: str | None = connection.scalar(text(statement), {"skip": skip})
                return found

        return _again(read)

    def _sealed(self, value: str) -> str:
        return _again(lambda: self.cipher.encrypt(value, self.key).stored)

    def _surely(self, write: Callable[[Connection], None], is_done: Callable[[], bool]) -> None:
        """Write. Whether a transaction whose end was not heard of took place is seen by looking."""
        while True:
            try:
                with connected(self.engine, write=True) as connection:
                    write(connection)
                return
            except DatabaseError:
                self.counts["failed"] += 1
                if is_done():
                    return
                sleep(AGAIN_SECONDS)

    def _stored(self, table: str, column: str, row_id: str) -> str | None:
        def read() -> str | None:
            statement = text(f"SELECT {column} FROM public.{table} WHERE id::text = :id")
            with connected(self.engine) as connection:
                found: str | None = connection.scalar(statement, {"id": row_id})
                return found

        return _again(read)

    def _holds(self, table: str, column: str, row_id: str, value: str) -> bool:
        """Whether a token is this one; its envelope may be another by now."""
        stored = self._stored(table, column, row_id)
        if stored is None:
            return False
        try:
            return _again(lambda: self.cipher.decrypt(stored).reveal()) == value
        except IncorrectKeyError:
            return False  # as before the write: under a key that this platform does not write under


def _again(call: Callable[[], T]) -> T:
    while True:
        try:
            return call()
        except IncorrectKeyError:
            raise
        except (DatabaseError, KmsError):
            sleep(AGAIN_SECONDS)


def main(old_key: str, new_key: str, seed: int, pause_seconds: float) -> None:
    """Write until the standard input ends."""
    kms = KmsApi(attempts=2)
    keyring = KmsKeyring(kms, write_key=old_key, trusted=[new_key])
    platform = Platform(
        open_engine(os.environ["DATABASE_URL"]), TokenCipher(keyring), old_key, random.Random(seed)
    )
    over = Event()

    def listen() -> None:
        for _ in sys.stdin:
            platform.key = new_key
            print("switched", flush=True)
        over.set()

    Thread(target=listen, daemon=True).start()
    number = 0
    print("writes", flush=True)
    while not over.wait(pause_seconds):
        number += 1
        before = platform.counts.total()
        platform.change(number)
        if platform.counts.total() > before:
            print("changed", flush=True)
    told = {"last": platform.last, "counts": platform.counts, "kms_calls": kms.calls}
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
