"""Counts calls of Decrypt, and wires services as another process would."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from console.sandbox.sandbox import Sandbox
from console.settings import load
from console.wiring import Wired, wire


@pytest.fixture
def decrypts(sandbox: Sandbox) -> Callable[[], int]:
    """How many Decrypt calls the endpoint has seen since the fixture was made."""

    def now() -> int:
        return sandbox.control.stats().calls.get("kms:Decrypt", 0)

    before = now()
    return lambda: now() - before


@pytest.fixture
def fresh(environment: dict[str, str]) -> Iterator[Callable[..., Wired]]:
    """Wires further services over the same settings, as another process would."""
    made: list[Wired] = []

    def make(**options: object) -> Wired:
        made.append(wire(load(options).settings))
        return made[-1]

    yield make
    for wired in made:
        wired.close()
