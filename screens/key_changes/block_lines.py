"""Whom a page names, and who of them is blocked on which key, since when and by whom."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from crypto_core.keys.changes.blocks import Block
from crypto_core.trail.rules.rule_context import name_of
from crypto_core.values.counts import listed
from screens.facts import ScreenFacts
from screens.identities import person
from screens.moments import clock_time

SIGN = "⊘"


@dataclass(frozen=True, slots=True)
class PageNames:
    """Whom a page names, on which keys; what it doesn't name is looked for in events.

    Without principals they are those of the `events`, by their ids; without keys they are those of the
    events, else those that the principals used.
    """

    principals: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    events: tuple[str, ...] = ()


def blocks_of(facts: ScreenFacts, principals: Iterable[str], keys: Iterable[str] = ()) -> tuple[Block, ...]:
    """Return what is known to block principals, on some keys only where any are named."""
    known = facts.blocks.value
    return known.of(principals, keys) if known is not None else ()


def block_words(block: Block, facts: ScreenFacts) -> str:
    """Return where, since when and by whom: "blocked on alias/x …fe35 since 10:31:07 by ana (journal)"."""
    since = f" since {clock_time(block.since, facts.clock())}" if block.since is not None else ""
    by = f" by {person(block.by)} (journal)" if block.by else ""
    but = f", but from {listed(block.only_from, 3)}" if block.only_from else ""
    return f"blocked on {facts.key_words.long(block.key_arn)}{since}{by}{but}"


def blocked_words(blocks: Iterable[Block], facts: ScreenFacts) -> Iterator[str]:
    """Yield the same of several principals, each by its name."""
    for block in blocks:
        yield f"{name_of(block.principal)} {block_words(block, facts)}"
