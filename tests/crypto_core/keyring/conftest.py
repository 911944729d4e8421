"""KMS of one Region, aliases, what CloudTrail recorded, and the data keys that were made."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest

from console.sandbox.endpoint import EndpointControl
from console.sandbox.sandbox import Sandbox
from crypto_core.aws.kms import KmsApi
from crypto_core.values.secret import DataKey
from tests.crypto_core.keyring.scene import REGION, data_keys_of


@pytest.fixture
def kms(aws: EndpointControl) -> KmsApi:
    return KmsApi([REGION], attempts=1)


@pytest.fixture
def alias(client: Any) -> Iterator[Callable[[str], str]]:
    made: list[str] = []

    def create(key: str) -> str:
        name = f"alias/test-{uuid4().hex[:12]}"
        client.create_alias(AliasName=name, TargetKeyId=key)
        made.append(name)
        return name

    yield create
    for name in made:
        client.delete_alias(AliasName=name)


@pytest.fixture(scope="session")
def recorded(sandbox: Sandbox) -> Callable[[str, str], list[dict[str, Any]]]:
    """Requests of an operation that CloudTrail has recorded for a key, oldest first."""
    trail = sandbox.client("cloudtrail")

    def look_up(key: str, operation: str) -> list[dict[str, Any]]:
        by_key = [{"AttributeKey": "ResourceName", "AttributeValue": key}]
        events = trail.lookup_events(LookupAttributes=by_key)["Events"]
        records = [json.loads(event["CloudTrailEvent"]) for event in reversed(events)]
        return [r["requestParameters"] for r in records if r["eventName"] == operation]

    return look_up


@pytest.fixture
def made_data_keys(monkeypatch: pytest.MonkeyPatch) -> list[DataKey]:
    return data_keys_of("crypto_core.keyring.checked_answers", monkeypatch)
