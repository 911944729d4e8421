"""A clock, and every data key that a cache makes."""

from __future__ import annotations

from typing import Any

import pytest

from crypto_core.secret import DataKey
from tests.crypto_core.keyring.cache.scene import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> list[DataKey]:
    """Every DataKey that a cache makes from now on: those it holds and those it gives out."""
    made: list[DataKey] = []

    class Noted(DataKey):
        __slots__ = ()

        def __init__(self, content: Any) -> None:
            super().__init__(content)
            made.append(self)

    monkeypatch.setattr("crypto_core.keyring.cache.DataKey", Noted)
    return made
