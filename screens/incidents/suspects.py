"""Whom an incident is about: a line each on its page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from crypto_core.incidents.suspects import Suspects
from crypto_core.keys.changes.blocks import Block
from crypto_core.text.counting import counted
from screens.ages import ago
from screens.facts import Facts
from screens.key_changes.block_lines import SIGN, block_words
from screens.use.lines import BLANK, prose
from screens.widgets.cells import cut
from screens.widgets.line_list import Line, line

_SHOWN = 5


def suspect_lines(suspects: Suspects, blocks: Iterable[Block], width: int, facts: Facts) -> Iterator[Line]:
    """Yield the suspects, those with most findings first: a line each, and below it blocks and why."""
    now, blocked = facts.clock(), tuple(blocks)
    if not suspects.found and not suspects.gaps:
        return
    yield BLANK
    number = len(suspects.found) + suspects.more
    yield line((cut(counted(number, "suspect") if number else "no suspect is known", width), "$muted"))
    for suspect in suspects.found[:_SHOWN]:
        use = f"  {counted(suspect.calls, 'call')}" if suspect.calls else "  no call yet"
        if suspect.last is not None:
            use += f", last {ago(suspect.last, now)}"
        name = cut(suspect.name, max(width - len(use) - 2, 8))
        yield line(("▲ ", "$error"), (name, "bold $error"), (use, "$muted"))
        for block in blocked:
            if block.refuses(suspect.arn):
                words = block_words(block, facts)
                yield from prose(words, width, lead=f"  {SIGN} ", lead_style="$success")
        more = len(suspect.why) - 1
        yield from prose(
            suspect.why[0] + (f" (and {more:,} more)" if more > 0 else ""), width, lead="  ", style="$muted"
        )
    if number > _SHOWN:
        yield line((cut(f"  and {number - _SHOWN:,} more", width), "$muted"))
    for gap in suspects.gaps[:1]:
        yield from prose(gap, width, lead="? ", lead_style="$warning", style="$muted")
