"""The inventory over the sandbox's KMS, and IAM actions that are refused."""

from __future__ import annotations

import pytest

from console.container import Container
from crypto_core.keys.inventory import KeyInventory


@pytest.fixture
def keys(services: Container) -> KeyInventory:
    found = services.services.keys
    assert isinstance(found, KeyInventory)
    return found
