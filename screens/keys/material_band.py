"""A key's materials as a band over time, each as long as it was current."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from textual.content import Content

from crypto_core.keys.state import KeyMaterial, KeyState
from crypto_core.keys.status import Status
from screens.ages import day
from screens.key_shares import by_material
from screens.widgets.cells import bar, fit

NARROWEST = 5
"""Cells of the shortest piece: two for its ends, the rest for what it holds."""
_NOW = " now"


@dataclass(frozen=True, slots=True)
class Piece:
    """One stretch of the band: the materials from `first` to `last`, 1 being the key's first one."""

    first: int
    last: int
    since: datetime
    cells: int
    tokens: int | None
    """None before tokens were counted."""

    @property
    def name(self) -> str:
        """Its number, or its numbers where the older ones stand together."""
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"


def pieces(key: KeyState, counts: Mapping[str, int] | None, now: datetime, width: int) -> tuple[Piece, ...]:
    """Return the pieces of a band of `width` cells, the oldest first; none where nothing is known of time.

    Their lengths are as the times for which they were current, none below NARROWEST. Where there are more
    materials than fit, the oldest stand together. `counts` are the tokens by key material id.
    """
    dated = [(n, m, m.since) for n, m in enumerate(key.materials, start=1) if m.since is not None]
    dated = [(n, m, since) for n, m, since in dated if since <= now]
    room = width // NARROWEST
    if not dated or not room:
        return ()
    together = max(len(dated) - room, 0)
    groups = [dated[: together + 1], *([one] for one in dated[together + 1 :])]
    begins = [group[0][2] for group in groups]
    ends = [*begins[1:], now]
    lengths = _shared([end - begin for begin, end in zip(begins, ends, strict=True)], width)
    return tuple(
        Piece(group[0][0], group[-1][0], group[0][2], cells, _tokens([m for _, m, _ in group], counts))
        for group, cells in zip(groups, lengths, strict=True)
    )


def _tokens(materials: Sequence[KeyMaterial], counts: Mapping[str, int] | None) -> int | None:
    return None if counts is None else sum(counts.get(m.key_material_id, 0) for m in materials)


def _shared(times: Sequence[timedelta], width: int) -> list[int]:
    """Share cells out by time; each gets NARROWEST first, and together they are exactly `width`."""
    free = width - NARROWEST * len(times)
    whole = sum(times, timedelta()) or timedelta(seconds=1)
    cells, passed, given = [], timedelta(), 0
    for taken in times:
        passed += taken
        # Rounded where it ends, not by itself: so nothing is left over.
        end = round(free * (passed / whole))
        cells.append(NARROWEST + end - given)
        given = end
    cells[-1] += free - given
    return cells


def timeline(key: KeyState, status: Status | None, now: datetime, width: int) -> list[Content]:
    """Return the picture as lines of at most `width` cells: names, the band, tokens, dates. Maybe none."""
    counts: dict[str, int] | None = None
    if status is not None:
        shares = by_material(status.shares_under(key.key_arn))
        counts = {share.key_material_id: share.tokens for share in shares if share.key_material_id}
    band = pieces(key, counts, now, width - len(_NOW))
    if not band:
        return []
    fullest = max((piece.tokens or 0 for piece in band), default=0)
    return [
        Content.assemble(*((fit(f" {piece.name}", piece.cells), "bold") for piece in band)),
        Content.assemble(*(part for piece in band for part in _painted(piece, fullest)), (_NOW, "$muted")),
        Content.assemble(*((fit(f" {_count(piece)}", piece.cells), "") for piece in band)),
        Content.assemble((_dates(band, now, width), "$muted")),
    ]


def _painted(piece: Piece, fullest: int) -> tuple[tuple[str, str], ...]:
    inside = piece.cells - 2
    share = (piece.tokens or 0) / fullest if fullest else 0
    return ("▕", "$muted"), (bar(share, inside), "$accent"), ("▏", "$muted")


def _count(piece: Piece) -> str:
    if piece.tokens is None:
        return "?"
    if len(f" {piece.tokens:,}") < piece.cells:
        return f"{piece.tokens:,}"
    # A number that is cut is another number.
    for size, unit in ((1_000_000, "M"), (1_000, "k")):
        if piece.tokens >= size:
            return f"{piece.tokens / size:.0f}{unit}"
    return str(piece.tokens)


def _dates(band: Sequence[Piece], now: datetime, width: int) -> str:
    """The days on which the pieces begin, those for which there is room beside the ones before."""
    line, at = "", 0
    for piece in band:
        words = day(piece.since, now)
        if not line or len(line) + 1 <= at:
            line = line.ljust(at + 1) + words
        at += piece.cells
    return line[:width]
