"""Each token column: is it there, readable, writable, does its row id name one row; and tokens elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sqlalchemy import Engine

from crypto_core.database.connection.engine import connected
from crypto_core.database.tokens.attached_code import EVENTS, attached_code, column_limits, is_walled_off
from crypto_core.database.tokens.catalogue import Catalogue, LiveCatalogue, read_catalogue
from crypto_core.database.tokens.sweep.service import SweepService
from crypto_core.database.tokens.tables import TokenTable
from crypto_core.diagnosis.check import Check, Topic
from crypto_core.values.counts import counted
from crypto_core.values.errors import KeydeckError
from crypto_core.values.references import split_name

SWEEP_SECONDS = 5.0
"""How long the database is looked through where no sweep is remembered: others wait meanwhile."""


def token_columns(
    engine: Engine, tables: Sequence[TokenTable], *, area: str, read_only: bool
) -> Iterator[Check]:
    """Yield a check for each token column that this database has, and one for each table's ids."""
    try:
        catalogue = read_catalogue(engine, tables)
    except KeydeckError as error:
        yield Topic(area, "token columns").unknown_by(error)
        return
    if not _present(catalogue):
        said = "No token table was found, on the role's search path."
        remedy = "Check the URL's database name, or describe the tables in the settings file."
        yield Topic(area, "token columns").failed(said, remedy)
        return
    for unreadable in catalogue.unreadable:
        said = "Can't be read: its tokens are neither counted nor shown."
        yield Topic(area, str(unreadable.column)).failed(said, f"{unreadable.grant};")
    for column in catalogue.columns:
        yield _column(Topic(area, str(column)), catalogue.unwritable.get(column), read_only)
    if not read_only:
        yield from _attached(engine, catalogue, area)
    for table in catalogue.tables:
        yield Topic(area, f"{table.name}.{', '.join(table.id_columns)}").ok("Names one row.")
    yield from _ambiguous(engine, catalogue, area)
    for unsupported in (one for one in catalogue.unsupported if not one.id_columns):
        yield Topic(area, str(unsupported.column)).failed(
            f"{unsupported.reason[0].upper()}{unsupported.reason[1:]}",
            unsupported.needed or "Describe a column of type text, varchar, char, bytea, json or jsonb.",
        )
    for missing in catalogue.missing:
        yield Topic(area, "described tables").failed(missing, "Correct the entry in the settings file.")
    present = {split_name(name)[1] for name in _present(catalogue)}
    absent = [t.name for t in tables if t.schema is None and t.name not in present]
    if absent:
        yield Topic(area, "not in this database").skipped(", ".join(absent))


def other_places(
    engine: Engine, tables: Sequence[TokenTable], *, area: str, read_only: bool
) -> Iterator[Check]:
    """Yield whether tokens are in columns that no inventory knows, and what could not be looked at."""
    topic = Topic(area, "tokens elsewhere")
    catalogue = LiveCatalogue(engine, tables)
    try:
        hidden = catalogue().hidden
        sweep = SweepService(engine, catalogue, read_only=True, seconds=SWEEP_SECONDS).known()
    except KeydeckError as error:
        yield topic.unknown_by(error)
        return
    for table, column in sweep.places():
        said = f"Holds tokens and is in no inventory: {column.words}."
        yield Topic(area, table.place_of(column)).failed(
            said, "Describe it in the settings: keydeck discover."
        )
    for reason in (*hidden, *sweep.unseen):
        yield topic.warning(reason)
    if not sweep.found and not hidden and not sweep.unseen:
        yield topic.ok(f"None found in {counted(sweep.columns, 'other column')} that could hold some.")


def _column(column: Topic, grant: str | None, read_only: bool) -> Check:
    if grant is None:
        return column.ok("May be read and written.")
    if read_only:
        return column.ok("May be read; read only, Keydeck needs no more.")
    said = "May be read, not written: its tokens can't be encrypted, re-encrypted or rewrapped."
    return column.warning(said, f"{grant};")


def _attached(engine: Engine, catalogue: Catalogue, area: str) -> Iterator[Check]:
    """A check for all code of others that runs in a table's writes, and for what refuses an envelope."""
    try:
        with connected(engine) as connection:
            code = attached_code(connection, catalogue.tables, events=EVENTS)
            walled = is_walled_off(connection)
            limits = {
                column: column_limits(connection, catalogue.table(column.table), column.column)
                for column in catalogue.columns
            }
    except KeydeckError as error:
        yield Topic(area, "code of others").unknown_by(error)
        return
    for one in code:
        yield Topic(area, f"{one.table or 'the database'}, when written").warning(
            f"Code of others: {one}.",
            "Read it: it runs with the rights of whoever writes there. A plan names it before it runs.",
        )
    if not code:
        yield Topic(area, "code of others").ok("None is attached to token tables.")
    topic = Topic(area, "logins")
    if walled:
        yield topic.ok("This one writes tokens and nothing that a decision of Keydeck rests on.")
    elif code:
        yield topic.warning(
            "One login writes tokens and Keydeck's records, and the code of others runs with its rights.",
            "Use two: keydeck grants operator --two-logins.",
        )
    else:
        yield topic.ok("One for tokens and for Keydeck's records: no code of others runs with its rights.")
    for column, limited in limits.items():
        if limited:
            yield Topic(area, f"{column}, when written").warning(
                f"{'; '.join(limited).capitalize()}.", "Widen the column, or describe another one."
            )


def _ambiguous(engine: Engine, catalogue: Catalogue, area: str) -> Iterator[Check]:
    """A check for each table whose tokens aren't offered, because an id may mean several rows or none."""
    quote = engine.dialect.identifier_preparer.quote
    unidentified = ((u.column.table, u.id_columns) for u in catalogue.unsupported if u.id_columns)
    for table, columns in dict.fromkeys(unidentified):
        quoted = ".".join(quote(part) for part in split_name(table) if part is not None)
        quoted_id = ", ".join(map(quote, columns))
        yield Topic(area, f"{table}.{', '.join(columns)}").failed(
            "May be NULL or occur twice: a token reference could mean two rows, so no token here is offered.",
            f"ALTER TABLE {quoted} ADD PRIMARY KEY ({quoted_id}); (of a view, describe the table behind it)",
        )


def _present(catalogue: Catalogue) -> set[str]:
    hidden = {u.column.table for u in catalogue.unreadable} | {u.column.table for u in catalogue.unsupported}
    return {t.name for t in catalogue.tables} | hidden
