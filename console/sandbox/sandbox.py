"""The sandbox: PostgreSQL with the platform's tables, the AWS endpoint, and generated tokens, in one object.

Nothing of it outlives its owner: `close` stops both processes and removes the folder; after a SIGKILL the
endpoint ends by itself and the next sandbox removes the rest.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from console.sandbox import access_keys
from console.sandbox.cloudtrail import create_trail
from console.sandbox.endpoint import EndpointControl, EndpointProcess
from console.sandbox.generator import generate
from console.sandbox.interruption import undisturbed
from console.sandbox.leftovers import claim_folder, remove_leftovers
from console.sandbox.platform import create_tables, platform_engine
from console.sandbox.postgres import OPERATOR, PLATFORM, Postgres
from console.sandbox.provider_traffic import record_provider_uses
from console.sandbox.providers_control import ProviderControl
from console.sandbox.timeline import OLD_TOKENS_CREATED, TOKENS_CREATED, TOKENS_ROTATED
from console.sandbox.traffic import record_traffic, register_principals
from console.sandbox.world import OLD_TOKENS_ALIAS, TOKENS_ALIAS, World, WorldKey

_FOREIGN = ("AWS_", "KEYDECK_", "PG", "DATABASE_URL", "TOKEN_ENCRYPTION_KEY_ID", "DEV_ENCRYPTION_KEY")


class Sandbox:
    """A running sandbox. Close it, or use it as a context manager."""

    def __init__(self, folder: Path, postgres: Postgres, endpoint: EndpointProcess, parts: ExitStack) -> None:
        self.folder = folder
        self.postgres = postgres
        self.endpoint = endpoint
        self._parts = parts
        self._world: World | None = None
        self._clients: dict[tuple[str, str], Any] = {}

    @classmethod
    def start(
        cls,
        *,
        connections: int = 2000,
        secrets: int = 0,
        seed: int = 7,
        region: str = "eu-west-1",
        data: bool = True,
        now: datetime | None = None,
    ) -> Self:
        """Start everything and wait until it answers; leftovers of killed sandboxes are removed first.

        Without `data` the tables are empty and there is no KMS key. `now` is the time to which all generated
        dates are counted back, `secrets` the number of rows with a secrets column. Raises PostgresError,
        FolderError, EndpointStartError, and ValueError for fewer than 20 connections; then nothing is left of
        what had been started.
        """
        remove_leftovers()
        parts = ExitStack()
        try:
            folder = claim_folder()
            parts.callback(folder.remove)
            # The endpoint listens at once and loads what it needs while PostgreSQL starts.
            endpoint = parts.enter_context(EndpointProcess(region, seed=seed))
            postgres = parts.enter_context(Postgres.start(folder.path))
            sandbox = cls(folder.path, postgres, endpoint, parts)
            sandbox._fill(connections, secrets, seed, now or datetime.now(UTC), data=data)
        except BaseException:  # raised again; nothing started is left behind
            with undisturbed():
                parts.close()
            raise
        return sandbox

    @property
    def world(self) -> World:
        """What was generated. Raises ValueError for a sandbox that was started without data."""
        if self._world is None:
            raise ValueError("This sandbox was started without data.")
        return self._world

    @property
    def region(self) -> str:
        return self.endpoint.region

    @property
    def endpoint_url(self) -> str:
        return self.endpoint.url

    @property
    def control(self) -> EndpointControl:
        return self.endpoint.control

    @property
    def providers(self) -> ProviderControl:
        return ProviderControl(self.endpoint_url, self.endpoint.token)

    @property
    def database_url(self) -> str:
        """URL of the database for the role `operator`, who runs Keydeck."""
        return self.postgres.url(OPERATOR)

    @property
    def platform_database_url(self) -> str:
        """URL of the database for the role `platform`, who owns the tables."""
        return self.postgres.url(PLATFORM)

    @property
    def superuser_url(self) -> str:
        return self.postgres.superuser_url

    def client(self, service: str, access_key: str = access_keys.ON_CALL, *, config: Any = None) -> Any:
        """Return a boto3 client, with botocore's `config`, that acts as the owner of an access key."""
        import boto3

        wanted = (service, access_key)
        if config is None and wanted in self._clients:
            return self._clients[wanted]
        session = boto3.Session(access_key, access_keys.SECRET, region_name=self.region)
        client = session.client(  # type: ignore[call-overload]
            service, endpoint_url=self.endpoint_url, config=config
        )
        if config is None:
            self._clients[wanted] = client
        return client

    def settings(self) -> dict[str, str]:
        settings = {
            "DATABASE_URL": self.database_url,
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_ACCESS_KEY_ID": access_keys.ON_CALL,
            "AWS_SECRET_ACCESS_KEY": access_keys.SECRET,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "KEYDECK_EVENTS_FILE": str(self.folder / "events.sqlite"),
            **self.providers.settings(),
            **self.providers.audit_settings(),
        }
        if self._world is not None:
            settings["TOKEN_ENCRYPTION_KEY_ID"] = self._world.current_key.arn
            settings["KEYDECK_TRUSTED_KEYS"] = self._world.old_key.arn
        return settings

    def environment(self) -> dict[str, str]:
        """Return this process's environment, its AWS and Keydeck settings replaced by the sandbox's."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
        return {**kept, **self.settings()}

    def close(self) -> None:
        """Stop everything and remove the folder; safe to call twice."""
        with undisturbed():
            self._parts.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _fill(self, connections: int, secrets: int, seed: int, now: datetime, *, data: bool) -> None:
        engine = platform_engine(self.platform_database_url)
        try:
            create_tables(engine)
            if not data:
                return
            register_principals(self.control)
            create_trail(
                self.client("s3", access_keys.DEPLOYMENT),
                self.client("cloudtrail", access_keys.DEPLOYMENT),
                self.region,
            )
            current, old = create_keys(self.client("kms", access_keys.DEPLOYMENT), self.control, now)
            self._world = generate(
                self.control,
                engine,
                current=current,
                old=old,
                now=now,
                connections=connections,
                secrets=secrets,
                seed=seed,
            )
            record_traffic(self.control, self._world)
            record_provider_uses(self.providers, self._world)
        finally:
            engine.dispose()


def create_keys(kms: Any, control: EndpointControl, now: datetime) -> tuple[WorldKey, WorldKey]:
    old = _create(kms, OLD_TOKENS_ALIAS, "Connection tokens, first generation of the platform", "retired")
    current = _create(kms, TOKENS_ALIAS, "Connection tokens", "active")
    control.backdate(old, created=(now - OLD_TOKENS_CREATED))
    control.backdate(current, created=(now - TOKENS_CREATED))
    kms.enable_key_rotation(KeyId=current, RotationPeriodInDays=365)
    control.rotate(current, at=(now - TOKENS_ROTATED))
    return _world_key(kms, TOKENS_ALIAS, current), _world_key(kms, OLD_TOKENS_ALIAS, old)


def _create(kms: Any, alias: str, description: str, status: str) -> str:
    tags = [("service", "connections"), ("status", status), ("data-classification", "secret")]
    answer = kms.create_key(
        Description=description, Tags=[{"TagKey": name, "TagValue": value} for name, value in tags]
    )
    arn: str = answer["KeyMetadata"]["Arn"]
    kms.create_alias(AliasName=alias, TargetKeyId=arn)
    return arn


def _world_key(kms: Any, alias: str, arn: str) -> WorldKey:
    rotations = kms.list_key_rotations(KeyId=arn, IncludeKeyMaterial="ALL_KEY_MATERIAL")["Rotations"]
    return WorldKey(alias, arn, tuple(entry["KeyMaterialId"] for entry in rotations))
