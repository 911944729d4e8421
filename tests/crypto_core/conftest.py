"""KMS in the sandbox, for tests of the core."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from console.sandbox.endpoint import Denial, Fault
from console.sandbox.endpoint.control import EndpointControl
from console.sandbox.sandbox import Sandbox
from crypto_core.aws.kms import KmsApi


@pytest.fixture
def aws(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[EndpointControl]:
    """The process's AWS settings point at the sandbox's endpoint, where nothing goes wrong yet."""
    for name in [n for n in os.environ if n.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in sandbox.settings().items():
        if name != "DATABASE_URL":
            monkeypatch.setenv(name, value)
    sandbox.control.clear()
    sandbox.control.set_lookup_throttle(None)
    yield sandbox.control
    sandbox.control.clear()


@pytest.fixture
def kms(aws: EndpointControl) -> KmsApi:
    """KMS that is asked once, without retries."""
    return KmsApi(attempts=1)


@pytest.fixture(scope="session")
def client(sandbox: Sandbox) -> Any:
    """A plain boto3 client of the sandbox's KMS."""
    return sandbox.client("kms")


@pytest.fixture
def deny(sandbox: Sandbox) -> Iterator[Callable[..., None]]:
    """Refuse IAM actions, to a principal or of a resource if one is named, until the test ends."""

    def add(*actions: str, principal: str = "*", resource: str = "*") -> None:
        for action in actions:
            sandbox.control.add_denial(Denial(principal, action, resource))

    yield add
    sandbox.control.clear()


@pytest.fixture
def fail(sandbox: Sandbox) -> Iterator[Callable[[str, str], None]]:
    """Make a KMS operation fail with an error until the test ends."""

    def add(operation: str, error: str) -> None:
        sandbox.control.add_fault(Fault(operation, error))

    yield add
    sandbox.control.clear()
