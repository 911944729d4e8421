"""What events have in common, by number: each combination of texts and properties once."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from sqlalchemy import Connection, select

from crypto_core.trail.event_fields import ROLLED
from crypto_core.trail.store.bulk_insert import PARAMETERS, insert
from crypto_core.trail.store.schema import profile

_COLUMNS = (*ROLLED, "marks")
_AT_ONCE = PARAMETERS // len(_COLUMNS)
_MOST = 100_000
"""How many profiles are remembered; past that, all are forgotten and looked up again."""

Profile = tuple[int, ...]
"""The numbers of the texts of ROLLED, and the properties."""


class Profiles:
    """Numbers profiles. Used by one writer at a time, within its transaction."""

    def __init__(self) -> None:
        self._known: dict[Profile, int] = {}

    def forget(self) -> None:
        """Forget what was numbered: it came to nothing, or others may have these numbers by now."""
        self._known.clear()

    def numbers(self, connection: Connection, profiles: Sequence[Profile]) -> list[int]:
        """Return the number of each profile; new ones are stored."""
        if len(self._known) > _MOST:
            self._known.clear()
        missing = [one for one in dict.fromkeys(profiles) if one not in self._known]
        for start in range(0, len(missing), _AT_ONCE):
            self._learn(connection, missing[start : start + _AT_ONCE])
        return list(map(self._known.__getitem__, profiles))

    def _learn(self, connection: Connection, missing: Sequence[Profile]) -> None:
        insert(connection, "profile", _COLUMNS, missing, "ON CONFLICT DO NOTHING")
        row = f"({', '.join('?' * len(_COLUMNS))})"
        # Names are the schema's own; every value is a parameter.
        statement = (
            f"SELECT id, {', '.join(_COLUMNS)} FROM profile "  # noqa: S608
            f"WHERE ({', '.join(_COLUMNS)}) IN (VALUES {', '.join([row] * len(missing))})"
        )
        found = connection.exec_driver_sql(statement, tuple(chain.from_iterable(missing)))
        self._known |= {tuple(one): number for number, *one in found}


def profile_of(connection: Connection, number: int) -> Profile:
    """Return a profile by its number."""
    columns = [profile.c[name] for name in _COLUMNS]
    return tuple(connection.execute(select(*columns).where(profile.c.id == number)).one())
