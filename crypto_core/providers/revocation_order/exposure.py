"""How exposed tokens are: what the trail says that suspects opened or could have, and how they are stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from threading import Event
from typing import TYPE_CHECKING

from crypto_core.envelope import Format
from crypto_core.errors import DatabaseError, RefusedError, TrailError
from crypto_core.references import TokenRef
from crypto_core.text.cleaning import CleanText, clean, cleans

if TYPE_CHECKING:
    from crypto_core.database.tokens.inventory import Inventory
    from crypto_core.trail.use.service import EventUse

MOST_SUSPECTS = 10
"""So many suspects' use is looked at: containment does not wait for more."""
_UNSEALED = frozenset({Format.PLAINTEXT, Format.DEV})


@dataclass(frozen=True, slots=True)
@cleans(opened=200, receipted=200, could=200, not_known=300)
class Exposure:
    """One token's: principals that opened it, by CloudTrail or by a receipt, or that could have.

    `not_known` says why these may not be all.
    """

    opened: tuple[str, ...] = ()
    receipted: tuple[str, ...] = ()
    could: tuple[str, ...] = ()
    not_known: str | None = None
    unsealed: Format | None = None
    rows: int = 1
    """In how many rows the same token is stored, as far as it is known."""


@dataclass(frozen=True, slots=True)
class Suspicion:
    """Who is suspected, by ARN, and since when; `gaps` say why they may not be all."""

    arns: tuple[str, ...] = ()
    since: datetime | None = None
    gaps: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ExposureSearch:
    """Finds it. Blocks on the store of events and SQL."""

    use: EventUse
    inventory: Inventory

    def exposure_of(
        self,
        refs: Sequence[TokenRef],
        suspicion: Suspicion,
        rows: dict[TokenRef, int],
        cancelled: Event | None = None,
    ) -> dict[TokenRef, Exposure]:
        """Return the exposure of each token; `rows` says in how many rows the same token is stored.

        What can't be read is not known. Raises DatabaseError, InterruptedRunError.
        """
        opened: dict[TokenRef, list[CleanText]] = {}
        receipted: dict[TokenRef, list[CleanText]] = {}
        could: dict[TokenRef, list[CleanText]] = {}
        gaps = [*suspicion.gaps, *(() if suspicion.arns else ("nobody is suspected yet",))]
        if len(suspicion.arns) > MOST_SUSPECTS:
            gaps.append(f"only what the first {MOST_SUSPECTS} suspects opened was looked at")
        for arn in suspicion.arns[:MOST_SUSPECTS]:
            name = clean(arn, 200)
            try:
                found = self.use.tokens_opened(arn, since=suspicion.since, cancelled=cancelled)
            except (TrailError, RefusedError, DatabaseError) as error:
                gaps.append(f"{name}: {error.message}")
                continue
            told = ((opened, found.named), (receipted, found.receipted), (could, found.possible))
            for where, named in told:
                for ref in named:
                    where.setdefault(ref, []).append(name)
            gaps += found.gaps
        why = clean(gaps[0], 200) if gaps else None
        formats = {row.ref: row.format for row in self.inventory.rows(refs)}
        return {
            ref: Exposure(
                tuple(opened.get(ref, ())),
                tuple(receipted.get(ref, ())),
                tuple(could.get(ref, ())),
                why,
                formats[ref] if formats.get(ref) in _UNSEALED else None,
                rows.get(ref, 1),
            )
            for ref in refs
        }
