"""The texts of events as numbers, and what events have in common: each combination once, as a profile."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import chain

from sqlalchemy import Connection, select

from crypto_core.lists.filter_language import lower
from crypto_core.trail.event_fields import ROLLED
from crypto_core.trail.store.dialect import PARAMETERS
from crypto_core.trail.store.schema import chunks, insert, keeping, profile, term

_MOST = 100_000
"""How many texts, and profiles, are remembered; past that, all are forgotten and looked up again."""
_AT_ONCE = 500


class Vocabulary:
    """Numbers texts. Used by one writer at a time, within its transaction."""

    def __init__(self) -> None:
        self._known: defaultdict[int, dict[str, int]] = defaultdict(lambda: {"": 0})
        self._forgotten = -1

    def forget(self) -> None:
        """Forget what was numbered: the transaction came to nothing."""
        self._known.clear()

    def begin(self, connection: Connection) -> bool:
        """Begin a transaction. Returns whether anything was forgotten: others may have its numbers by now."""
        forgotten = int(connection.scalar(select(keeping.c.forgotten)) or 0)
        anew = forgotten != self._forgotten
        if anew:
            self._known.clear()
            self._forgotten = forgotten
        return anew

    def numbers(self, connection: Connection, kind: int, texts: Sequence[str]) -> list[int]:
        """Return the number of each text, which is 0 for ""."""
        if len(self._known[kind]) > _MOST:
            del self._known[kind]
        known = self._known[kind]
        missing = [text for text in dict.fromkeys(texts) if text not in known]
        for some in chunks(missing, _AT_ONCE):
            self._learn(connection, kind, some)
        return list(map(known.__getitem__, texts))

    def _learn(self, connection: Connection, kind: int, texts: Sequence[str]) -> None:
        known = self._known[kind]
        folded = [lower(text) for text in texts]
        rows = connection.execute(
            select(term.c.text, term.c.id).where(term.c.kind == kind, term.c.folded.in_(folded))
        )
        known |= {row.text: row.id for row in rows}
        new = [(text, fold) for text, fold in zip(texts, folded, strict=True) if text not in known]
        if not new:
            return
        top = int(connection.exec_driver_sql("SELECT coalesce(max(id), 0) FROM term").scalar_one())
        numbered = [(top + n, kind, fold, text) for n, (text, fold) in enumerate(new, start=1)]
        insert(connection, "term", ("id", "kind", "folded", "text"), numbered)
        known |= {text: number for number, _, _, text in numbered}


def changed(connection: Connection, *, forgotten: bool = False) -> None:
    """Tell every process that something was written, or that texts were forgotten."""
    # Once for every batch of an import: as text, it is not compiled each time.
    connection.exec_driver_sql(
        "UPDATE keeping SET changes = changes + 1, forgotten = forgotten + ?", (int(forgotten),)
    )


_COLUMNS = (*ROLLED, "marks")
_PROFILES_AT_ONCE = PARAMETERS // len(_COLUMNS)

Profile = tuple[int, ...]


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
        for some in chunks(missing, _PROFILES_AT_ONCE):
            self._learn(connection, some)
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
    columns = [profile.c[name] for name in _COLUMNS]
    return tuple(connection.execute(select(*columns).where(profile.c.id == number)).one())
