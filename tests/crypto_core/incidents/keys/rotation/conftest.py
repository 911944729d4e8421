"""A manual rotation over HTTP and PostgreSQL: keys of the test's own, and a platform that uses them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from sqlalchemy import Engine, text

from console.container import Container
from console.sandbox import access_keys
from console.sandbox.sandbox import Sandbox
from console.settings import load
from crypto_core.database.tokens.tables import PLATFORM_TABLES
from crypto_core.envelope import EnvelopeV1, serialise
from crypto_core.guard.consent import Consent
from crypto_core.incidents.keys.rotation.guide import Guide, GuideStep
from crypto_core.reencryption.plan import Selection, Verb
from crypto_core.values.secret import DataKey, Secret
from tests.platform_rows import connect_slack


class Stage:
    """The world of one rotation. Each look is that of services that were built for it alone."""

    def __init__(self, environment: pytest.MonkeyPatch, sandbox: Sandbox, platform: Engine) -> None:
        self._environment = environment
        self._sandbox = sandbox
        self._platform = platform
        self.kms = sandbox.client("kms")
        self.old = self.key()
        self._environment.setenv("TOKEN_ENCRYPTION_KEY_ID", self.old)
        self._environment.delenv("KEYDECK_TRUSTED_KEYS", raising=False)
        self.empty()

    def key(self, region: str | None = None, **parameters: Any) -> str:
        kms = self.kms if region is None else self.platform_kms(region)
        return str(kms.create_key(**parameters)["KeyMetadata"]["Arn"])

    def platform_kms(self, region: str = "eu-west-1") -> Any:
        session = boto3.Session(access_keys.PLATFORM, access_keys.SECRET, region_name=region)
        endpoint = os.environ["AWS_ENDPOINT_URL"]
        return session.client("kms", endpoint_url=endpoint)

    def put_policy(self, key: str, *statements: dict[str, Any]) -> None:
        policy = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
        self.kms.put_key_policy(KeyId=key, PolicyName="default", Policy=policy)

    def configure(self, **variables: str) -> None:
        for name, value in variables.items():
            self._environment.setenv(name, value)

    def empty(self) -> None:
        with self._platform.begin() as connection:
            for table in PLATFORM_TABLES:
                connection.execute(text(f"TRUNCATE {table.name}"))

    def connect(self, key: str, number: int = 1, *, at: datetime | None = None) -> None:
        kms = self.platform_kms()
        for _ in range(number):
            answer = kms.generate_data_key(KeyId=key, KeySpec="AES_256")
            sealed = EnvelopeV1.seal(
                Secret.of("xoxb-of-a-test"), DataKey(answer["Plaintext"]), answer["CiphertextBlob"]
            )
            connect_slack(self._platform, serialise(sealed), at=at)

    def connect_in_plaintext(self, number: int) -> None:
        connect_slack(self._platform, *(f"xoxb-{n}" for n in range(number)))

    @contextmanager
    def container(self) -> Iterator[Container]:
        services = Container(load().settings)
        try:
            yield services
        finally:
            services.close()

    def write(self, verb: Verb, selection: Selection, target: str) -> int:
        with self.container() as container:
            work = container.services.work
            plan = work.plan_reencryption(verb, selection, target)
            return work.run_plan(plan, Consent.typed(plan, plan.confirmation)).done

    def look(
        self,
        new: str | None = None,
        *,
        old: str | None = None,
        since: datetime | None = None,
        accepted: Sequence[str] = (),
    ) -> Guide:
        with self.container() as services:
            return services.services.replacement.read_guide(
                old or self.old, new, since=since, accepted=accepted
            )

    def states(self, new: str | None = None, **how: Any) -> dict[str, str]:
        return {step.step.id: step.state.value for step in self.look(new, **how).steps}

    def step(self, step_id: str, new: str | None = None, **how: Any) -> GuideStep:
        return self.look(new, **how).step(step_id)


@pytest.fixture
def stage(
    services: Container,
    environment: dict[str, str],
    sandbox: Sandbox,
    platform: Engine,
    monkeypatch: pytest.MonkeyPatch,
) -> Stage:
    """An old key that is written under, no token yet, Keydeck's schema installed."""
    return Stage(monkeypatch, sandbox, platform)


def told(step: GuideStep) -> str:
    return "\n".join((*step.verdict.evidence, *(i.text for i in step.verdict.do), *step.verdict.warnings))


def at(hour: int) -> datetime:
    return datetime(2031, 1, 1, hour, tzinfo=UTC)
