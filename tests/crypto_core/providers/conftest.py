"""The sandbox's providers, and a clock that does not wait for long."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Event
from time import sleep

import pytest

from console.container import Container
from crypto_core.providers.endpoints import Endpoints
from crypto_core.providers.token_dispatch import TokenAsking
from crypto_core.providers.transport import Clock


@dataclass
class Waited:
    """A clock that waits a little where much was asked, and remembers what was."""

    asked: list[float] = field(default_factory=list)

    def wait(self, seconds: float, cancelled: Event | None) -> None:
        self.asked.append(seconds)
        sleep(min(seconds, 0.02))

    @property
    def clock(self) -> Clock:
        return Clock(wait=self.wait)


def asking_at(services: Container, endpoints: Endpoints) -> TokenAsking:
    return TokenAsking(
        services.inventory, services.store, services.catalogue, services.tokens.opener, endpoints
    )


@pytest.fixture
def waited() -> Waited:
    return Waited()
