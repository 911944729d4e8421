"""An AWS endpoint of its own for each module, so that one's faults and keys are not another's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config

from console.sandbox.endpoint import PLATFORM, EndpointProcess

REGION = "eu-west-1"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[EndpointProcess]:
    """A running endpoint that delivers CloudTrail files only when it is told to."""
    with EndpointProcess(REGION, delivery_interval=3600) as process:
        process.control.set_lookup_throttle(None)
        yield process


@pytest.fixture(scope="module")
def client(endpoint: EndpointProcess) -> Callable[..., Any]:
    def make(
        service: str, access_key_id: str = PLATFORM, region: str = REGION, read_timeout: float = 10
    ) -> Any:
        return boto3.client(
            service,
            endpoint_url=endpoint.url,
            region_name=region,
            aws_access_key_id=access_key_id,
            aws_secret_access_key="unchecked",
            config=Config(retries={"total_max_attempts": 1}, read_timeout=read_timeout),
        )

    return make


@pytest.fixture(scope="module")
def kms(client: Callable[..., Any]) -> Any:
    return client("kms")


@pytest.fixture
def key(kms: Any) -> Any:
    return kms.create_key()["KeyMetadata"]
