"""What a transaction over the platform's rows leaves in Keydeck's own tables: its own rows and no others.

Code that others attached to those tables runs in it with the rights of its login. Each entry of the journal
and each backup has the number of its top transaction, which a subtransaction has, too. A list of tripwires is
written with an entry.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from sqlalchemy import Connection, Engine

from crypto_core.database.connection.engine import connected, finish_with_next, own_entries
from crypto_core.database.qualified_sql import text
from crypto_core.database.tokens.attached_code import write_obstacles
from crypto_core.database.tokens.tables import TokenTable
from crypto_core.values.clean_text import clean
from crypto_core.values.counts import listed
from crypto_core.values.errors import ForeignWriteError

_NOT_OURS = text(
    """
    SELECT 'journal entry ' || j.seq || ' (' || j.action || ' by ' || j.actor || ')' FROM keydeck.journal j
    WHERE j.transaction_id = :transaction AND j.seq <> ALL (CAST(:entries AS bigint[]))
        AND j.action <> 'journal break'
    UNION ALL
    SELECT 'backup ' || b.id || ' of ' || b.token_column FROM keydeck.envelope_backup b
    WHERE b.transaction_id = :transaction AND b.id <> ALL (CAST(:backups AS bigint[]))
    """
)
_AS_KEPT = text(
    """
    SELECT sha256(string_agg(
        convert_to(b.envelope, 'UTF8') || coalesce(b.written_digest, ''), CAST('' AS bytea) ORDER BY b.id))
    FROM keydeck.envelope_backup b WHERE b.id = ANY (CAST(:ids AS bigint[]))
    """
)
_ON_OWN_TABLES = text(
    """
    SELECT 'trigger ' || t.tgname || ' on keydeck.' || c.relname || ' runs ' || t.tgfoid::regproc
    FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_proc p ON p.oid = t.tgfoid
    WHERE NOT t.tgisinternal AND t.tgenabled <> 'D' AND c.relnamespace = to_regnamespace('keydeck')
        AND p.pronamespace <> c.relnamespace
    ORDER BY 1
    """
)


@dataclass(slots=True)
class WrittenRows:
    places: Sequence[tuple[TokenTable, str]]
    transaction: int = 0
    """Of its subtransactions the top."""
    backups: list[tuple[Sequence[int], bytes]] = field(default_factory=list)
    """Their numbers, and the digest of what the function found stored."""
    entries: Sequence[int] = ()

    def foreign_rows(self, connection: Connection, entries: Sequence[int]) -> list[str]:
        """Return what others wrote or changed in journal and backups in this transaction."""
        backups = [number for ids, _ in self.backups for number in ids]
        found = {"transaction": self.transaction, "entries": list(entries), "backups": backups}
        foreign: list[str] = [clean(said, 300) for said in connection.scalars(_NOT_OURS, found)]
        for ids, kept in self.backups:
            if bytes(connection.scalar(_AS_KEPT, {"ids": ids}) or b"") != kept:
                foreign.append(f"backups {ids[0]} to {ids[-1]}, now stored differently")
        return foreign

    def require_own_rows(
        self, connection: Connection, foreign: Sequence[str], *, written: bool = False
    ) -> None:
        """Pass if only Keydeck wrote in journal and backups. Raises ForeignWriteError."""
        if foreign:
            causes = dict.fromkeys(
                cause for place in self.places for cause in write_obstacles(connection, *place)
            )
            causes |= dict.fromkeys(clean(cause, 300) for cause in connection.scalars(_ON_OWN_TABLES))
            raise ForeignWriteError(
                f"Code of others wrote in the transaction of Keydeck's tokens: {listed(foreign, 5)}. "
                f"What runs there: {'; '.join(causes) or 'nothing that is known'}.",
                remedy=f"{'The tokens are' if written else 'Nothing was'} written. Have that code removed, "
                "then plan again.",
            )


_HAS_JOURNAL = text(
    "SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
    "WHERE n.nspname = 'keydeck' AND c.relname = 'journal')"
)


@contextmanager
def writing_rows(engine: Engine, table: TokenTable) -> Iterator[Connection]:
    """Give a transaction that writes rows of a table. Raises DatabaseError, ForeignWriteError.

    What deferred triggers do at COMMIT is looked for after it.
    """
    done = WrittenRows([(table, column) for column in table.token_columns])
    with connected(engine, write=True) as connection:
        done.transaction = connection.execute(text("SELECT txid_current()")).scalar_one()
        here = connection.scalar(_HAS_JOURNAL)  # else there is nothing that could be written
        yield connection
        finish_with_next(connection)
        if not here:
            return
        done.entries = own_entries(connection)
        done.require_own_rows(connection, done.foreign_rows(connection, done.entries))
    with connected(engine) as connection:
        done.require_own_rows(connection, done.foreign_rows(connection, done.entries), written=True)
