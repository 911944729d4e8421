"""The briefing and the score as text."""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import wrap

from console.practice.game_day.scenario import SCENARIOS, Scenario
from console.practice.game_day.score import AFTER, ENDS, STEPS, TIMES, Score
from crypto_core.values.clean_text import clean

_WIDTH = 100
_TEAM = (
    "The platform's team plays along: it switches to the new key of your incident, and owners connect again "
    "once their stolen tokens are dead."
)


def scenario_lines() -> Iterator[str]:
    width = max(map(len, SCENARIOS))
    for scenario in SCENARIOS.values():
        yield f"{scenario.id:{width}}  {scenario.title}"


def briefing_lines(scenario: Scenario) -> Iterator[str]:
    yield f"── Game day: {scenario.title}"
    for paragraph in scenario.briefing:
        yield from wrap(paragraph, _WIDTH)
    yield ""
    yield "Keys to begin with:"
    for line in scenario.first:
        yield f"  {line}"
    yield f"The runbook that fits: {scenario.runbook}"
    yield from wrap(_TEAM, _WIDTH)


def score_lines(score: Score) -> Iterator[str]:
    yield f"── Score of {score.scenario}: {score.points} of 100"
    for end in score.ends:
        sign = {True: "✔ reached", False: "✖ not reached", None: "· not counted"}[end.reached]
        yield f"{sign:14}  {end.end.value}: {clean(end.words, 300)}"
    yield from score.verdicts
    yield (
        f"ends {score.points_ends}/{ENDS}  times {score.points_times}/{TIMES}  "
        f"after the declaration {score.points_after}/{AFTER}  runbook {score.points_steps}/{STEPS}"
    )
