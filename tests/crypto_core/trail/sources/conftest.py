"""A store of the test's own, a folder of files beside it, and an AWS endpoint of the module's."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest

from console.sandbox.endpoint import PLATFORM, EndpointProcess, PastCall
from crypto_core.trail.store import EventStore
from tests.crypto_core.trail.sources.amazon import BOTH, HERE, THERE, Clock, WatchedAws


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EventStore]:
    """An empty store."""
    made = EventStore(tmp_path / "store" / "events.sqlite")
    yield made
    made.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder."""
    made = tmp_path / "files"
    made.mkdir()
    return made


@pytest.fixture
def unlisted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder below the other that can't be listed, by whichever call."""
    shut = folder / "shut"
    shut.mkdir()

    def refusing(call: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def refused(path: Any) -> Any:
            if os.fspath(path) == str(shut):
                raise PermissionError(13, "Permission denied", path)
            return call(path)

        return refused

    monkeypatch.setattr(os, "listdir", refusing(os.listdir))
    monkeypatch.setattr(os, "scandir", refusing(os.scandir))
    return shut


@pytest.fixture(scope="module")
def endpoint() -> Iterator[EndpointProcess]:
    """A running endpoint that delivers CloudTrail's files only when it is told to."""
    with EndpointProcess(HERE, delivery_interval=3600) as process:
        yield process


@pytest.fixture
def clock() -> Clock:
    """The time it is, standing still."""
    return Clock()


@pytest.fixture
def aws(endpoint: EndpointProcess, monkeypatch: pytest.MonkeyPatch) -> WatchedAws:
    """The endpoint, asked in two Regions by a principal that nothing is refused."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", PLATFORM)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "unchecked")
    endpoint.control.clear()
    endpoint.control.set_lookup_throttle(None)
    return WatchedAws((HERE, THERE), endpoint_url=endpoint.url, attempts=1)


@pytest.fixture
def client(endpoint: EndpointProcess) -> Callable[..., Any]:
    """Make a boto3 client of the endpoint, to set up what Keydeck never changes."""

    def make(service: str, region: str = HERE) -> Any:
        return boto3.client(
            service,
            endpoint_url=endpoint.url,
            region_name=region,
            aws_access_key_id=PLATFORM,
            aws_secret_access_key="unchecked",
        )

    return make


@pytest.fixture
def bucket(client: Callable[..., Any]) -> str:
    """A new bucket's name."""
    name = f"trail-{uuid.uuid4()}"
    client("s3").create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": HERE})
    return name


@pytest.fixture
def put(client: Callable[..., Any], bucket: str) -> Callable[..., str]:
    """Put an object into the bucket; returns its key."""

    def write(key: str, body: bytes, **more: Any) -> str:
        client("s3").put_object(Bucket=bucket, Key=key, Body=body, **more)
        return key

    return write


@pytest.fixture(scope="module")
def days() -> Iterator[datetime]:
    """Moments two days apart, within what LookupEvents has: no two tests of a module share one."""
    now = datetime.now(UTC).replace(microsecond=0)
    return (now - timedelta(days=days) for days in range(3, 88, 2))


@pytest.fixture(scope="module")
def keys(endpoint: EndpointProcess) -> dict[str, str]:
    """A key in each Region."""
    return {
        region: boto3.client(
            "kms",
            endpoint_url=endpoint.url,
            region_name=region,
            aws_access_key_id=PLATFORM,
            aws_secret_access_key="unchecked",
        ).create_key()["KeyMetadata"]["Arn"]
        for region in BOTH
    }


@pytest.fixture
def happened(
    endpoint: EndpointProcess, keys: dict[str, str], days: Iterator[datetime]
) -> Callable[..., datetime]:
    """Let calls happen, a minute apart; returns when the first one did."""

    def past(count: int, region: str = HERE, at: datetime | None = None, **more: Any) -> datetime:
        first = at or next(days)
        calls = [
            PastCall(first + timedelta(minutes=n), PLATFORM, "Decrypt", keys[region], region=region, **more)
            for n in range(count)
        ]
        endpoint.control.history(calls)
        return first

    return past
