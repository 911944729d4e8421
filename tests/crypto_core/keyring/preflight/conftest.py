"""A preflight over KMS that is overheard, with samples or without."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from console.sandbox.endpoint import EndpointControl
from crypto_core.keyring.preflight import Preflight
from tests.crypto_core.keyring.preflight.scene import Overheard
from tests.crypto_core.keyring.scene import wrapped


@pytest.fixture
def kms(aws: EndpointControl) -> Overheard:
    return Overheard()


@pytest.fixture
def preflight(kms: Overheard) -> Preflight:
    return Preflight(kms)


@pytest.fixture(params=["with a sample", "without a sample"])
def blob_of(request: pytest.FixtureRequest, client: Any) -> Callable[..., bytes | None]:
    """Make a sample under a key, or none: what is permitted must come out the same."""

    def make(key: str, context: dict[str, str] | None = None) -> bytes | None:
        return wrapped(client, key, context) if request.param == "with a sample" else None

    return make
