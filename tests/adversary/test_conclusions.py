"""Whatever an adversary does in a role, no conclusion is false.

Each kind of object is played with some conclusions, in the long lane with each; combinations are drawn, 25 in
the deep lane and 1,750 in the long one. `ADVERSARY_DRAWS=5000 pytest -m "deep or long" tests/adversary` draws
so many, and `ADVERSARY_SEED=<n>` others; each line of a failure is one conclusion that was false.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from random import Random

import pytest

from console.sandbox.sandbox import Sandbox
from tests.adversary.attacks import ATTACKS, Attack
from tests.adversary.conclusions import CONCLUSIONS, Conclusion
from tests.adversary.stage import Ground, made_ground, play
from tests.conftest import Databases
from tests.lanes import examples

DRAWS = int(os.environ.get("ADVERSARY_DRAWS") or examples(2_000, deep=200))
SEED = os.environ.get("ADVERSARY_SEED", "1")
PARTS = 8


@pytest.fixture(scope="module")
def ground(
    sandbox: Sandbox, databases: Databases, installed: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Ground]:
    with made_ground(sandbox, databases, installed, tmp_path_factory.mktemp("adversary")) as made:
        yield made


def played(
    ground: Ground, attacks: list[Attack], conclusion: Conclusion, random: Random, *, moved: bool
) -> tuple[list[str], list[str]]:
    """Play attacks against one conclusion; returns what was false, and which statements failed."""
    with play(ground, moved=moved) as one:
        conclusion.prepare(one)
        for each in attacks:
            each.run(one, random)
        one.begin()
        return list(conclusion.judge(one)), one.notes


def test_where_nobody_attacks_everything_is_concluded(ground: Ground) -> None:
    """A refusal to conclude anything would pass the rest."""
    said = []
    for command in (
        ("status", "--json"),
        ("keys", "disable", ground.old, "--yes"),
        ("keys", "schedule-deletion", ground.old, "--yes"),
        ("reencrypt", "--from", ground.old, "--to", ground.new, "--yes"),
        ("journal", "verify"),
        ("verify", "--all"),
    ):
        with play(ground, moved=command[0] != "reencrypt") as one:
            ran = one.keydeck(*command)
            said.append((command[:2], ran.exit_code, ran.stderr[-300:]))
            assert one.under_old() == []
    assert [code for _, code, _ in said] == [0] * len(said), said


@pytest.mark.quick(6, deep=36)
@pytest.mark.parametrize("conclusion", CONCLUSIONS, ids=lambda c: c.name)
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda a: a.name)
def test_no_conclusion_is_false_where_an_adversary_was(
    ground: Ground, attack: Attack, conclusion: Conclusion
) -> None:
    random = Random(f"{SEED}/{attack.name}/{conclusion.name}")
    # Where the tokens were moved, what is left is the adversary's; else it hides what is there.
    either = (random.random() < 0.5,)
    always = {"reencrypt": (False,), "disable": (True, False), "status": (True, False)}
    for moved in always.get(conclusion.name, either):
        false, notes = played(ground, [attack], conclusion, random, moved=moved)
        assert not false, (attack.cause, notes)


@pytest.mark.quick(0, deep=1)
@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_no_conclusion_is_false_whatever_is_drawn(ground: Ground, part: int) -> None:
    found: list[object] = []
    causes: Counter[str] = Counter()
    for number in range(part, DRAWS, PARTS):
        random = Random(f"{SEED}/{number}")
        attacks = random.sample(ATTACKS, random.choice((1, 1, 2, 2, 3)))
        conclusion = random.choices(CONCLUSIONS, [c.weight for c in CONCLUSIONS])[0]
        moved = random.random() < 0.6
        false, _ = played(ground, attacks, conclusion, random, moved=moved)
        if false:
            causes.update({a.cause for a in attacks})
            found.append((number, moved, [a.name for a in attacks], false))
    assert not found, f"{causes}\n" + "\n".join(map(str, found))
