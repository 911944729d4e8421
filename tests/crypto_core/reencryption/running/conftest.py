"""What opens tokens, and runs in small pages."""

from __future__ import annotations

import pytest

from console.container import Container
from console.sandbox.world import World
from crypto_core.keyring.cipher import TokenCipher
from tests.crypto_core.reencryption.running.runs import make_pages_small


@pytest.fixture
def cipher(services: Container, world: World) -> TokenCipher:
    """Opens what is under any key of the test: the world's and those that a test trusts by `trusting`."""
    return TokenCipher(services.keyring)


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run of the generated tokens has a middle; no long wait for KMS."""
    make_pages_small(monkeypatch.setattr)
