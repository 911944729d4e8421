"""A KMS key of the test's own, and IAM actions that are refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from console.sandbox.endpoint import Denial
from console.sandbox.sandbox import Sandbox


@pytest.fixture
def kms(sandbox: Sandbox) -> Any:
    """A plain boto3 client of the sandbox's KMS."""
    return sandbox.client("kms")


@pytest.fixture
def key(new_key: Callable[[], str]) -> str:
    return new_key()


@pytest.fixture
def deny(sandbox: Sandbox) -> Iterator[Callable[..., None]]:
    """Refuse IAM actions to everybody until the test ends."""

    def add(*actions: str, resource: str = "*") -> None:
        for action in actions:
            sandbox.control.add_denial(Denial("*", action, resource))

    yield add
    sandbox.control.clear()
