"""One attack technique as data."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from crypto_core.findings.finding import Severity
from tests.league.world import Record, World

Play = Callable[[World, datetime], Iterable[Record]]
"""Yields the records of what is done in a world from a moment on; none where it can't be done there."""


@dataclass(frozen=True, slots=True)
class Technique:
    """What is done, with which records, and what must find it.

    `attack` are ids of MITRE ATT&CK. One of the rules `found_by` must find it, at least as severe as
    `at_least`. `hours` are those of the day in which it begins. One with `out_of_scope`, the reason, is
    found by none.
    """

    id: str
    title: str
    attack: tuple[str, ...]
    play: Play
    found_by: tuple[str, ...] = ()
    at_least: Severity = Severity.MEDIUM
    hours: tuple[float, float] = (0, 24)
    out_of_scope: str = ""
