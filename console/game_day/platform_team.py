"""The platform's team and its customers, who play along while the operator works in the console.

Once an incident has a new key, the platform is switched to it and seen there; once a stolen token is dead at
its provider, its owner connects again. Without them nobody could prove either step of a runbook.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from console.container import Container
from console.settings import load
from crypto_core.errors import KeydeckError
from crypto_core.text.cleaning import clean

if TYPE_CHECKING:
    from collections.abc import Iterable

    from console.game_day.game import Game
    from crypto_core.incidents.model import IncidentView

_log = logging.getLogger(__name__)

EVERY = 15.0
"""Seconds of the script between two looks at what there is to do."""
_SHORTEST = 0.5
_AT_ONCE = 3
"""Owners who connect again in one go."""


class PlatformTeam:
    """Works in a thread of its own from `start` to `stop`."""

    def __init__(self, game: Game, *, pace: float = 1.0) -> None:
        self._game = game
        self._every = max(_SHORTEST, EVERY / pace)
        self._platform = game.platform
        self._container: Container | None = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work, name="platform-team", daemon=True)

    def start(self) -> None:
        """Begin in the background."""
        self._thread.start()

    def stop(self) -> None:
        """End it and wait until it has; safe to call twice."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(30)
        if self._container is not None:
            self._container.close()
            self._container = None

    def play_along(self, incidents: Iterable[IncidentView]) -> None:
        """Do what there is to do now. Raises KeydeckError, and what boto3 raises."""
        new_key = next((key for view in incidents if (key := view.incident.values.get("new_key"))), "")
        if new_key:
            self._platform.writes_under(new_key)
            self._write_under(new_key)
        self._reconnect()

    def _work(self) -> None:
        from botocore.exceptions import BotoCoreError, ClientError

        while not self._stopped.wait(self._every):
            try:
                work = self._services.services.incidents
                self.play_along(() if work is None else work.incidents(closed=False))
            except KeydeckError as error:
                _log.info("The platform's team could not continue: %s", error.message)
            except (BotoCoreError, ClientError, OSError) as error:
                _log.info("The platform's team could not continue: %s", clean(error, 200))

    @property
    def _services(self) -> Container:
        if self._container is None:
            self._container = Container(load().settings)
        return self._container

    def _write_under(self, key: str) -> None:
        if self._services.settings.write_key != key:
            self._services.close()
            self._container = Container(load({"write_key": key}).settings)

    def _reconnect(self) -> None:
        """Let owners connect again whose stored token is dead."""
        providers, referee = self._game.providers, self._game.referee
        dead = [
            ref
            for ref, tokens in sorted(self._game.intruder.tokens.copy().items())
            if providers.takes(ref, tokens[-1]) is False and referee.stores(ref, tokens[-1])
        ]
        self._platform.reconnect(dead[:_AT_ONCE], self._services.keyring)
