"""A key of the test's own, with which things go wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from console.sandbox.endpoint import EndpointControl
from crypto_core.aws.kms import KmsApi
from tests.crypto_core.aws.kms.stage import Stage


@pytest.fixture
def stage(aws: EndpointControl, client: Any, kms: KmsApi, new_key: Callable[[], str]) -> Stage:
    return Stage(aws, client, kms, new_key(), new_key())
