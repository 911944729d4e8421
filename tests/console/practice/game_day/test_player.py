"""Whoever only presses Enter, and types what a confirmation demands, ends safe in every scenario.

A world and an intruder of another seed each: GAME_WORLDS=100 pytest -m "deep or long" plays so many
of each scenario.
"""

from __future__ import annotations

import os
from contextlib import closing

import pytest

from console.container import Container
from console.practice.game_day.game import Game
from console.practice.game_day.player import Player
from console.practice.game_day.scenario import SCENARIOS
from console.sandbox.provider_tokens import MARKER
from console.sandbox.sandbox import Sandbox
from console.settings import load
from crypto_core.database.state.installation import install

FAST = 500.0
SEEDS = range(7, 7 + int(os.environ.get("GAME_WORLDS", "1")))


@pytest.mark.slow(260)
@pytest.mark.quick(0, deep=1)
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", list(SCENARIOS))
def test_whoever_accepts_every_default_ends_safe(
    name: str, seed: int, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    told: list[str] = []
    with Sandbox.start(connections=20, seed=seed) as sandbox:
        environment = sandbox.environment()
        for variable in set(os.environ) - set(environment):
            monkeypatch.delenv(variable)
        for variable, value in environment.items():
            monkeypatch.setenv(variable, value)
        with closing(Container(load().settings)) as container:
            install(container.engine)
        with Game(sandbox, SCENARIOS[name], pace=FAST, seed=seed) as game:
            score = Player(game, told.append).play()
            story = "\n".join(told)
            # What a responder goes by was there, and told.
            assert "Not found by the rules" not in story
            assert score.reached
            assert score.gained > 0
            assert score.shut_out_seconds is not None
            ends = {seen.end: seen.reached for seen in score.ends}
            assert ends == dict.fromkeys(SCENARIOS[name].ends, True), (score.verdicts, story)
            assert game.intruder.try_every_way() is False, story
        with closing(Container(load().settings)) as container:
            incidents = container.services.incidents
            assert incidents is not None
            assert incidents.incidents(closed=False, limit=10) == ()
            assert container.journal.verify() is None
    out, err = capfd.readouterr()
    everything = story + out + err + str(score.as_json())
    assert MARKER not in everything
    assert "djF8" not in everything
