"""The services' plan, and a client of the sandbox's KMS."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from console.container import Container
from console.sandbox.sandbox import Sandbox
from crypto_core.reencryption.plan import Plan


@pytest.fixture
def plan(services: Container) -> Callable[..., Plan]:
    return services.services.work.plan_reencryption


@pytest.fixture
def kms(sandbox: Sandbox) -> Any:
    return sandbox.client("kms")
