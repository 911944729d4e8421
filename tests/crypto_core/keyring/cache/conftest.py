"""A clock, and every data key that a cache makes."""

from __future__ import annotations

import pytest

from crypto_core.values.secret import DataKey
from tests.clock import Clock
from tests.crypto_core.keyring.scene import data_keys_of


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> list[DataKey]:
    """Every DataKey that a cache makes from now on: those it holds and those it gives out."""
    return data_keys_of("crypto_core.keyring.data_keys", monkeypatch)
