"""The texts of events as numbers, and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sqlalchemy import Connection, select

from crypto_core.filters import lower
from crypto_core.trail.store.schema import Kind, keeping, term

_MOST = 100_000
"""How many texts are remembered; past that, all are forgotten and looked up again."""
_AT_ONCE = 500


class Vocabulary:
    """Numbers texts. Used by one writer at a time, within its transaction."""

    def __init__(self) -> None:
        self._known: dict[tuple[Kind, str], int] = {}
        self._forgotten = -1

    def forget(self) -> None:
        """Forget what was numbered: the transaction came to nothing."""
        self._known.clear()

    def number(
        self, connection: Connection, wanted: Iterable[tuple[Kind, str]]
    ) -> Mapping[tuple[Kind, str], int]:
        """Return a mapping that has the number of every wanted text. "" is 0 without being asked for."""
        forgotten = int(connection.scalar(select(keeping.c.forgotten)) or 0)
        if len(self._known) > _MOST or forgotten != self._forgotten:
            # Another process may have given the numbers of forgotten texts to others.
            self._known.clear()
            self._forgotten = forgotten
        missing = [key for key in dict.fromkeys(wanted) if key[1] and key not in self._known]
        for start in range(0, len(missing), _AT_ONCE):
            self._learn(connection, missing[start : start + _AT_ONCE])
        return self._known

    def _learn(self, connection: Connection, keys: list[tuple[Kind, str]]) -> None:
        by_kind: dict[Kind, list[str]] = {}
        for kind, text in keys:
            by_kind.setdefault(kind, []).append(text)
        for kind, texts in by_kind.items():
            folded = [lower(text) for text in texts]
            rows = connection.execute(
                select(term.c.text, term.c.id).where(term.c.kind == kind, term.c.folded.in_(folded))
            )
            self._known |= {(kind, text): number for text, number in rows}
            new = [
                (text, fold)
                for text, fold in zip(texts, folded, strict=True)
                if (kind, text) not in self._known
            ]
            if not new:
                continue
            top = int(connection.exec_driver_sql("SELECT coalesce(max(id), 0) FROM term").scalar_one())
            numbered = [(top + n, int(kind), fold, text) for n, (text, fold) in enumerate(new, start=1)]
            connection.exec_driver_sql(
                "INSERT INTO term (id, kind, folded, text) VALUES (?, ?, ?, ?)", numbered
            )
            self._known |= {(kind, text): number for number, _, _, text in numbered}
