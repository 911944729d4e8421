"""Decoys: rows that nobody legitimate opens. Counts leave them out, and nothing that opens tokens sees them.

A row is a decoy as long as its id and every token in it are as they were listed: a token that somebody puts
there is a token, and so is one that is sealed under a tripwire's key and stands nowhere in the list.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from crypto_core.envelope import Format
from crypto_core.values.counts import counted
from crypto_core.values.json_records import JsonRecord, made, shape
from crypto_core.values.references import TokenRef

DECOY_SIGN = "◇"


@dataclass(frozen=True, slots=True)
class DecoyToken:
    """One token of a decoy. `digest` tells the stored value (see `store.digest`), `token` is SHA-256 of the
    plaintext, which providers' audit logs have.
    """

    column: str
    digest: bytes = field(repr=False)
    token: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Decoy:
    """`columns` are those that were written, `row` is SHA-256 of their content."""

    tripwire: int
    table: str
    row_id: str
    key_arn: str
    format: Format
    tokens: tuple[DecoyToken, ...]
    columns: tuple[str, ...] = ()
    row: bytes = field(default=b"", repr=False)

    @property
    def refs(self) -> tuple[TokenRef, ...]:
        return tuple(TokenRef(self.table, token.column, self.row_id) for token in self.tokens)


@dataclass(frozen=True, slots=True, eq=False)
class Decoys:
    """`unreadable` says why they are not known."""

    rows: tuple[Decoy, ...] = ()
    unreadable: str = ""
    former: tuple[tuple[str, int], ...] = ()
    """Keys of removed tripwires, and their numbers: old copies still hold what is under them."""

    def of_table(self, name: str) -> tuple[Decoy, ...]:
        return tuple(decoy for decoy in self.rows if decoy.table == name)

    def at(self, ref: TokenRef) -> Decoy | None:
        return next((d for d in self.rows if (d.table, d.row_id) == (ref.table, ref.row_id)), None)


NO_DECOYS = Decoys()


class ReadDecoys(Protocol):
    """Returns the decoys, the same object as long as they are the same. Raises nothing."""

    def __call__(self, *, anew: bool = False) -> Decoys:
        """With `anew` as they are now, else as they were a moment ago."""


def no_decoys(*, anew: bool = False) -> Decoys:
    return NO_DECOYS


@dataclass(frozen=True, slots=True)
class DecoyCount(JsonRecord):
    standing: tuple[Decoy, ...] = ()
    gone: tuple[Decoy, ...] = ()

    json_shape = shape(
        "rows tokens gone",
        rows=made(int, lambda count: len(count.standing)),
        gone=made(int, lambda count: len(count.gone)),
    )

    @property
    def tokens(self) -> int:
        return sum(len(decoy.tokens) for decoy in self.standing)

    @property
    def words(self) -> str:
        """One sentence, "" where there are no decoys."""
        if not self.standing and not self.gone:
            return ""
        tripwires = counted(len({decoy.tripwire for decoy in (*self.standing, *self.gone)}), "tripwire")
        gone = f"; {len(self.gone):,} gone, or changed since" if self.gone else ""
        return f"{counted(len(self.standing), 'decoy')} of {tripwires}, in no number here{gone}"
