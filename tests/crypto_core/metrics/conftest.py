"""Metrics, and KMS and a cipher that tell them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from console.sandbox.endpoint import EndpointControl
from crypto_core.aws.kms import KmsApi
from crypto_core.keyring.cipher import TokenCipher
from crypto_core.keyring.kms_keyring import KmsKeyring
from crypto_core.metrics import Metrics


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def observed(aws: EndpointControl, metrics: Metrics) -> KmsApi:
    """KMS that is asked once, and tells the metrics."""
    return KmsApi(attempts=1, observer=metrics)


@pytest.fixture
def key(new_key: Callable[[], str]) -> str:
    return new_key()


@pytest.fixture
def cipher(observed: KmsApi, metrics: Metrics, key: str) -> TokenCipher:
    return TokenCipher(KmsKeyring(observed, write_key=key, observer=metrics), observer=metrics)
