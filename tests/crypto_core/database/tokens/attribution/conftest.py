"""Counts calls of Decrypt, and wires services as another process would."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from console.container import Container
from console.sandbox.sandbox import Sandbox
from console.settings import load


@pytest.fixture
def decrypts(sandbox: Sandbox) -> Callable[[], int]:
    """How many Decrypt calls the endpoint has seen since the fixture was made."""

    def now() -> int:
        return sandbox.control.stats().calls.get("kms:Decrypt", 0)

    before = now()
    return lambda: now() - before


@pytest.fixture
def fresh(environment: dict[str, str]) -> Iterator[Callable[..., Container]]:
    """Wires further services over the same settings, as another process would."""
    made: list[Container] = []

    def make(**options: object) -> Container:
        made.append(Container(load(options).settings))
        return made[-1]

    yield make
    for container in made:
        container.close()
