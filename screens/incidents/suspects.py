"""Whom an incident is about: asked for now and then, and a line each on its page."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime

from textual.dom import DOMNode

from crypto_core.incidents.suspects import Suspects
from crypto_core.keys.changes.blocks import Block
from crypto_core.text.counting import counted
from screens.ages import ago
from screens.asking import PendingCall, ask
from screens.blocking import Trouble
from screens.facts import Facts
from screens.incidents.work import incident_work
from screens.key_changes.block_lines import SIGN, block_words
from screens.use.lines import BLANK, prose
from screens.widgets.cells import cut
from screens.widgets.line_list import Line, line

EVERY_SECONDS = 20.0
"""How often they are asked for at most: while no event comes, the answer is known."""
_SHOWN = 5


class IncidentSuspects:
    """Asks for an incident's suspects, one call at a time; `changed` is called with each new answer."""

    def __init__(self, node: DOMNode, facts: Facts, incident: int, changed: Callable[[], None]) -> None:
        self._node, self._facts, self._incident, self._changed = node, facts, incident, changed
        self._asked: PendingCall[Suspects] | None = None
        self._at: datetime | None = None
        self._rest = EVERY_SECONDS
        self.known: Suspects | None = None
        """None until there was an answer."""

    def ask_if_due(self) -> None:
        """Ask, unless they were just asked for; what takes long is asked for less often."""
        now = self._facts.clock()
        if self._asked is not None and self._asked.waiting:
            return
        if self._at is not None and (now - self._at).total_seconds() < self._rest:
            return
        self._at = now
        work = incident_work(self._facts)
        self._asked = ask(
            self._node,
            lambda cancelled: work.suspects(self._incident, cancelled=cancelled),
            self._keep,
            group="suspects",
        )

    def _keep(self, answer: Suspects | Trouble) -> None:
        now = self._facts.clock()
        took = (now - self._at).total_seconds() if self._at is not None else 0.0
        self._at, self._rest = now, max(EVERY_SECONDS, took * 10)
        found = Suspects(gaps=(str(answer),)) if isinstance(answer, Trouble) else answer
        if found != self.known:
            self.known = found
            self._changed()

    def drop(self) -> None:
        if self._asked is not None:
            self._asked.drop()


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
