"""The platform's team and its customers, who play along while the operator works in the console.

Once an incident has a new key, the platform is switched to it and seen there, and a test account is
connected; once a stolen token is dead at its provider, its owner connects again. Without them nobody could
prove either step of a runbook.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Self

from console.container import Container
from console.settings import load
from crypto_core.values.clean_text import clean
from crypto_core.values.errors import KeydeckError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from console.sandbox.platform_part import PlatformPart
    from crypto_core.incidents.model import IncidentView
    from crypto_core.values.references import TokenRef

_log = logging.getLogger(__name__)

EVERY = 15.0
"""Seconds of the script between two looks at what there is to do."""
_SHORTEST = 0.5
_AT_ONCE = 3
"""Owners who connect again in one go."""


class PlatformTeam:
    """Works in a thread of its own from `start` to `stop`, or as a context manager within it."""

    def __init__(
        self, platform: PlatformPart, cut_off: Callable[[str], Sequence[TokenRef]], *, pace: float = 1.0
    ) -> None:
        """`cut_off` returns whose owners have to connect again, given the new key's ARN, or ""."""
        self._platform = platform
        self._cut_off = cut_off
        self._every = max(_SHORTEST, EVERY / pace)
        self._container: Container | None = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work, name="platform-team", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(30)
        if self._container is not None:
            self._container.close()
            self._container = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def play_along(self, incidents: Iterable[IncidentView]) -> None:
        """Do what there is to do now. Raises KeydeckError, and what boto3 raises."""
        new_key = next((key for view in incidents if (key := view.incident.values.get("new_key"))), "")
        if new_key:
            self._platform.writes_under(new_key)
            self._switch_to(new_key)
        if cut_off := self._cut_off(new_key)[:_AT_ONCE]:
            self._platform.reconnect(cut_off, self._services.keyring)

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

    def _switch_to(self, key: str) -> None:
        """Write under a key from now on; the first time, connect an account to see that it works."""
        if self._services.settings.write_key != key:
            self._services.close()
            self._container = Container(load({"write_key": key}).settings)
            self._platform.connect_account(self._services.keyring)
