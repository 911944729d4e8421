"""Two AWS endpoints over HTTP for the same tests: the sandbox's, and a plain moto server."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.request import Request, urlopen
from uuid import uuid4

import boto3
import pytest
from sqlalchemy import Engine

from console.container import Container
from console.sandbox.cloudtrail import LOG_ARCHIVE_KEY
from console.sandbox.sandbox import Sandbox
from console.settings import load
from crypto_core.findings.finding import Finding
from crypto_core.keyring.cipher import TokenCipher
from crypto_core.keys.policy import policy_reader
from crypto_core.keys.posture.examination import Posture
from tests.plain_moto import plain_moto
from tests.platform_rows import connect_slack


class Endpoint:
    """One endpoint, and the posture over it."""

    def __init__(self, name: str, url: str, environment: pytest.MonkeyPatch, platform: Engine) -> None:
        self.name = name
        self.url = url
        self._environment = environment
        self._platform = platform

    def client(self, service: str, region: str = "eu-west-1") -> Any:
        """A boto3 client."""
        return boto3.client(service, region_name=region, endpoint_url=self.url)  # type: ignore[call-overload]

    @property
    def kms(self) -> Any:
        """A boto3 client of KMS."""
        return self.client("kms")

    def key(self, **parameters: Any) -> str:
        """Make a key; returns its ARN."""
        return str(self.kms.create_key(**parameters)["KeyMetadata"]["Arn"])

    def put_policy(self, key: str, *statements: dict[str, Any]) -> None:
        """Give a key a policy of these statements."""
        policy = policy_of(*statements)
        self.kms.put_key_policy(KeyId=key_id(key), PolicyName="default", Policy=policy)

    def answer_policy(self, key: str, *statements: dict[str, Any]) -> None:
        """Let a key's policy be one that KMS would not take."""
        read = policy_reader.read_policy_text
        self._environment.setattr(
            policy_reader,
            "read_policy_text",
            lambda kms, state: policy_of(*statements) if state.key_arn == key else read(kms, state),
        )

    def configure(self, **variables: str) -> None:
        """Set environment variables for what is examined from now on."""
        for name, value in variables.items():
            self._environment.setenv(name, value)

    def fill(self, key: str, tokens: int) -> None:
        """Leave only so many tokens, all under one key, which is written under."""
        self.configure(TOKEN_ENCRYPTION_KEY_ID=key)
        container = Container(load().settings)
        cipher = TokenCipher(container.keyring)
        sealed = [cipher.encrypt(f"xoxb-{number}", key).stored for number in range(tokens)]
        connect_slack(self._platform, *sealed, alone=True)
        container.close()

    def examine(self) -> Posture:
        """The posture with the settings as they are now."""
        container = Container(load().settings)
        try:
            return container.services.posture.examine_keys()
        finally:
            container.close()

    def findings(self, subject: str) -> dict[str, Finding]:
        """What is said of one subject, by rule."""
        return {f.rule: f for f in self.examine().findings if f.subject == subject}


def policy_of(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def key_id(arn: str) -> str:
    """The key's id; moto fails on some operations when it is given an ARN."""
    return arn.rpartition("/")[2]


@pytest.fixture(scope="session")
def moto_url() -> Iterator[str]:
    """A moto server without anything of ours before it."""
    with plain_moto() as url:
        yield url


@pytest.fixture(params=["sandbox", pytest.param("plain moto", marks=pytest.mark.deep)])
def aws(
    request: pytest.FixtureRequest,
    environment: dict[str, str],
    sandbox: Sandbox,
    platform: Engine,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Endpoint]:
    """An endpoint that the process's environment points at."""
    url = sandbox.endpoint_url
    if request.param == "plain moto":
        url = request.getfixturevalue("moto_url")
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        monkeypatch.delenv("TOKEN_ENCRYPTION_KEY_ID")
        monkeypatch.delenv("KEYDECK_TRUSTED_KEYS")
    yield Endpoint(request.param, url, monkeypatch, platform)
    if request.param == "plain moto":
        with urlopen(Request(f"{url}/moto-api/reset", method="POST")) as answer:
            answer.read()


@pytest.fixture
def trail(aws: Endpoint) -> Iterator[Callable[..., str]]:
    """Make a logging trail of a name, with event selectors; returns its ARN. Trails end with the test."""
    cloudtrail, made = aws.client("cloudtrail"), []

    def make(name: str, *, logging: bool = True, **selectors: Any) -> str:
        bucket = {"CreateBucketConfiguration": {"LocationConstraint": "eu-west-1"}}
        held = f"trail-{uuid4().hex}"
        aws.client("s3").create_bucket(Bucket=held, **bucket)
        arn = cloudtrail.create_trail(
            Name=name,
            S3BucketName=held,
            IsMultiRegionTrail=True,
            EnableLogFileValidation=True,
            KmsKeyId=LOG_ARCHIVE_KEY.format(region="eu-west-1"),
        )["TrailARN"]
        made.append(name)
        if logging:
            cloudtrail.start_logging(Name=name)
        if selectors:
            cloudtrail.put_event_selectors(TrailName=name, **selectors)
        return str(arn)

    yield make
    for name in made:
        cloudtrail.delete_trail(Name=name)
