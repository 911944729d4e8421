"""The identities that Keydeck filled this store as: their calls with its user agent are its own."""

from __future__ import annotations

from sqlalchemy import Connection, Table, func, inspect, select

from crypto_core.trail.store.database import StoreFile
from crypto_core.trail.store.dialect import upsert
from crypto_core.trail.store.schema import metadata, numbers, texts
from crypto_core.values.clean_text import clean

MOST = 50
"""So many are known: the latest."""
_LONGEST = 512

own_caller = Table("own_caller", metadata, *texts("arn", key=True), *numbers("number"))
"""`number` counts: the latest has the highest."""


def note_caller(file: StoreFile, arn: str) -> None:
    """Note that Keydeck works here for an identity, by its ARN (sts:GetCallerIdentity's)."""
    known = clean(arn, _LONGEST)
    if not known:
        return
    with file.reading() as connection:
        if known in own_callers(connection)[:1]:
            return
    with file.writing() as connection:
        own_caller.create(connection, checkfirst=True)
        number = int(connection.scalar(select(func.coalesce(func.max(own_caller.c.number), 0))) or 0) + 1
        noted = upsert(own_caller).values(arn=known, number=number)
        connection.execute(noted.on_conflict_do_update(["arn"], set_={"number": number}))


def own_callers(connection: Connection) -> tuple[str, ...]:
    if not inspect(connection).has_table(own_caller.name):
        return ()
    latest = select(own_caller.c.arn).order_by(own_caller.c.number.desc()).limit(MOST)
    return tuple(connection.scalars(latest))
