"""KMS of several Regions, with multi-Region keys and aliases in the home Region."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest

from console.sandbox.endpoint import EndpointControl
from tests.clock import Clock
from tests.crypto_core.aws.region_failover.scene import Outage


@pytest.fixture
def kms(aws: EndpointControl) -> Outage:
    return Outage()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def new_mrk(client: Any) -> Callable[..., str]:
    """Make a multi-Region key in the home Region with replicas; returns the primary's ARN."""

    def create(*replicas: str) -> str:
        primary = str(client.create_key(MultiRegion=True)["KeyMetadata"]["Arn"])
        for region in replicas:
            client.replicate_key(KeyId=primary, ReplicaRegion=region)
        return primary

    return create


@pytest.fixture
def alias(client: Any) -> Iterator[Callable[[str], str]]:
    """Make an alias in the home Region; returns its name."""
    made: list[str] = []

    def create(key: str) -> str:
        made.append(f"alias/test-{uuid4().hex[:12]}")
        client.create_alias(AliasName=made[-1], TargetKeyId=key)
        return made[-1]

    yield create
    for name in made:
        client.delete_alias(AliasName=name)
