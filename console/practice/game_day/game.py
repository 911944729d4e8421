"""One game: the intruder and the referee in a sandbox, from the briefing to the score."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Self

from console.container import Container
from console.practice.game_day.intruder import Intruder
from console.practice.game_day.referee import Referee
from console.practice.game_day.scenario import Past, Scenario
from console.practice.game_day.score import Score, score
from console.practice.game_day.stage import GameTokenUse, stage_in
from console.sandbox.endpoint import PastCall
from console.sandbox.platform_part import PlatformPart
from console.sandbox.timeline import last_night
from console.sandbox.traffic import PLATFORM
from console.settings import load
from crypto_core.values.errors import KeydeckError

if TYPE_CHECKING:
    from console.sandbox.sandbox import Sandbox
    from crypto_core.incidents.model import IncidentView
    from crypto_core.incidents.service import IncidentService
    from crypto_core.values.references import TokenRef

HEAD_START = 20.0
"""Seconds of the script that the operator has before the intruder begins."""
_MOST_INCIDENTS = 1_000


class Game:
    """A game. Use it as a context manager: the intruder ends with it."""

    def __init__(
        self,
        sandbox: Sandbox,
        scenario: Scenario,
        *,
        pace: float = 1.0,
        seed: int = 7,
        providers: GameTokenUse | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Prepare everything; the intruder has not begun. Raises DatabaseError, KmsError."""
        self.sandbox = sandbox
        self.scenario = scenario
        self.platform = PlatformPart(sandbox)
        self._prepared_at = now()
        self._mend()
        stage = stage_in(sandbox, scenario, providers)
        sandbox.control.history(past_calls(scenario, stage.key_arn, self._prepared_at))
        self.providers = stage.providers
        self.referee = Referee(sandbox, scenario, stage.providers)
        self.intruder = Intruder(scenario, stage, pace=pace, seed=seed, now=now)

    def begin(self, head_start: float = HEAD_START) -> None:
        """Let the intruder begin, so many seconds of the script from now."""
        self.intruder.start(head_start)

    def finish(self, incidents: IncidentService | None) -> Score:
        """End the intruder and return the score. Where incidents can't be read, the score says why."""
        self.intruder.stop()
        declared: tuple[IncidentView, ...] = ()
        trouble = ""
        try:
            declared = () if incidents is None else self._declared(incidents)
        except KeydeckError as error:
            trouble = error.message
        ends = self.referee.look_at_all(self.intruder)
        return score(self.scenario, self.intruder.deeds.all(), declared, ends, trouble)

    def cut_off(self, _new_key: str = "") -> list[TokenRef]:
        """Return the connections whose stored token is dead at its provider."""
        taken = sorted(self.intruder.tokens.copy().items())
        return [
            ref
            for ref, tokens in taken
            if self.providers.takes(ref, tokens[-1]) is False and self.referee.stores(ref, tokens[-1])
        ]

    def close(self) -> None:
        """End the intruder; safe to call twice."""
        self.intruder.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _mend(self) -> None:
        """Let the owners of damaged tokens connect again: no runbook could prove that these open."""
        with closing(Container(load().settings)) as container:
            self.platform.reconnect(sorted(self.sandbox.world.corrupt), container.keyring)

    def _declared(self, incidents: IncidentService) -> tuple[IncidentView, ...]:
        found = incidents.incidents(closed=True, limit=_MOST_INCIDENTS)
        return tuple(view for view in found if view.incident.declared_at >= self._prepared_at)


def past_calls(scenario: Scenario, key_arn: str, now: datetime) -> Iterator[PastCall]:
    for past in scenario.past:
        caller = scenario.persona(past.by).caller if past.by else PLATFORM
        begun = begins(past, now)
        for number in range(past.times):
            moment = begun + timedelta(seconds=number * past.every)
            yield caller.call(moment, past.operation, key_arn, address=past.address)


def begins(past: Past, now: datetime) -> datetime:
    """Return when calls of the past began: so many nights ago, over before `now`, last night within a day."""
    lasted = timedelta(seconds=past.every * past.times)
    if not past.nights_ago:
        return last_night(now, past.hour, past.minute, lasted)
    begun = now.replace(hour=past.hour, minute=past.minute, second=7, microsecond=0)
    return begun - timedelta(days=past.nights_ago + (begun + lasted >= now))
