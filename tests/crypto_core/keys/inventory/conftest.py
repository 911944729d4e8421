"""The inventory over the sandbox's KMS, and IAM actions that are refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from console.container import Container
from console.sandbox.endpoint import Denial
from console.sandbox.sandbox import Sandbox
from crypto_core.keys.inventory import KeyInventory


@pytest.fixture
def keys(services: Container) -> KeyInventory:
    found = services.services.keys
    assert isinstance(found, KeyInventory)
    return found


@pytest.fixture
def kms(sandbox: Sandbox) -> Any:
    return sandbox.client("kms")


@pytest.fixture
def deny(sandbox: Sandbox) -> Iterator[Callable[..., None]]:
    """Refuses IAM actions to everybody until the test ends."""

    def add(*actions: str, resource: str = "*") -> None:
        for action in actions:
            sandbox.control.add_denial(Denial("*", action, resource))

    yield add
    sandbox.control.clear()
