"""What opens tokens, and runs in small pages."""

from __future__ import annotations

import pytest

from console.container import Container
from console.sandbox.world import World
from crypto_core.cipher import TokenCipher
from crypto_core.reencryption import patience, runner


@pytest.fixture
def cipher(services: Container, world: World) -> TokenCipher:
    """Opens what is under any key of the test: the world's and those that a test trusts by `trusting`."""
    return TokenCipher(services.keyring)


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages of five, so that a run of the generated tokens has a middle; no long wait for KMS."""
    monkeypatch.setattr(runner, "PAGE", 5)
    monkeypatch.setattr(patience, "FIRST_WAIT_SECONDS", 0.01)
