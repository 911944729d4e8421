"""A KMS key of the test's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from console.sandbox.sandbox import Sandbox


@pytest.fixture
def kms(sandbox: Sandbox) -> Any:
    """A plain boto3 client of the sandbox's KMS."""
    return sandbox.client("kms")


@pytest.fixture
def key(new_key: Callable[[], str]) -> str:
    return new_key()
