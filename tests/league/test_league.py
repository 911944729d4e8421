"""The rules against techniques, over the traffic of a healthy platform: recall and false findings.

The default lane plays two worlds, the deep one three more, the long one 50 or LEAGUE_WORLDS; it prints each
rule's figures (with `-s`); `LEAGUE_SEED=1000` begins with another seed. Rules are written against the seeds
below 1000, and judged by others.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from crypto_core.findings.registry import Facts, rules_about
from crypto_core.findings.standards import TECHNIQUES
from tests.league.background import background
from tests.league.changes import KEY_CHANGES, TRAIL_CHANGES
from tests.league.judging import Tally, judge, play, populated
from tests.league.openings import OPENINGS
from tests.league.out_of_scope import OUT_OF_SCOPE
from tests.league.technique import Technique
from tests.league.world import World

IN_SCOPE: Sequence[Technique] = (*OPENINGS, *KEY_CHANGES, *TRAIL_CHANGES)
FIRST = int(os.environ.get("LEAGUE_SEED", "0"))
WORLDS = int(os.environ.get("LEAGUE_WORLDS", "50"))
MOST_FALSE_A_WEEK = 1.0
FEW = 10
"""So few worlds are no measure of how often something happens by chance."""
UNTOLD = {"event-grant-withdrawn", "event-trail-made"}
"""Rules whose findings are notes: no technique is found by them alone."""
SWITCHED_ON = {"decrypt-without-receipt"}
"""Rules that a setting switches on, which no world has: they are tried elsewhere."""


def played(seeds: Sequence[int], folder: Path) -> Tally:
    """Play worlds."""
    tally = Tally()
    for seed in seeds:
        judge(seed, IN_SCOPE, folder, tally)
    return tally


def assert_good(tally: Tally) -> None:
    """Nothing was missed, and little imagined."""
    assert tally.missed == []
    few = tally.worlds < FEW
    assert tally.false_a_week <= MOST_FALSE_A_WEEK * (3 if few else 1), "\n".join(tally.imagined)


@pytest.mark.parametrize(
    "seeds", [pytest.param([0], id="quick"), pytest.param([1, 2, 3, 4], id="deep", marks=pytest.mark.deep)]
)
def test_every_technique_in_scope_is_found_and_little_is_imagined(seeds: list[int], tmp_path: Path) -> None:
    tally = played(seeds, tmp_path)
    assert_good(tally)
    # What is found depends on what is played: each rule that a technique names was asked, and did find it.
    assert {rule for one in IN_SCOPE for rule in one.found_by} <= tally.found.keys() | {
        "event-context-missing"
    }
    assert tally.played.total() > len(seeds) * (len(IN_SCOPE) - 3)


@pytest.mark.slow
@pytest.mark.long
def test_the_whole_league(tmp_path: Path) -> None:
    tally = played(range(FIRST, FIRST + WORLDS), tmp_path)
    print(f"\n{tally.table()}", *tally.missed, *tally.imagined, sep="\n")
    assert_good(tally)


@pytest.mark.deep
def test_what_is_out_of_scope_is_found_by_no_rule(tmp_path: Path) -> None:
    world, tally = World(0), Tally()
    play(world, OUT_OF_SCOPE, populated(world, tmp_path), tally)
    assert len(tally.missed) == tally.played.total() == len(OUT_OF_SCOPE)


def test_a_world_follows_from_its_seed() -> None:
    one, same, other = (background(World(seed)) for seed in (5, 5, 6))
    assert one == same != other
    assert 3_000 < len(one) < 8_000


def test_techniques_are_many_and_name_what_exists() -> None:
    every = (*IN_SCOPE, *OUT_OF_SCOPE)
    assert len(IN_SCOPE) >= 25
    assert len({one.id for one in every}) == len(every)
    assert {id_ for one in every for id_ in one.attack} <= TECHNIQUES.keys()
    assert all(one.found_by and not one.out_of_scope for one in IN_SCOPE)
    assert all(one.out_of_scope and not one.found_by for one in OUT_OF_SCOPE)
    assert all(re.fullmatch(r"[A-Za-z0-9-]+", one.id) for one in every)


def test_every_rule_about_events_has_a_technique_of_its_own() -> None:
    named = {rule for one in IN_SCOPE for rule in one.found_by}
    assert named | UNTOLD | SWITCHED_ON == {rule.id for rule in rules_about(Facts.EVENTS)}
