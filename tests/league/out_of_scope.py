"""Techniques that no rule finds, played all the same, so that each reason stays true."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from crypto_core.findings.standards import (
    CLOUD_ACCOUNTS,
    CLOUD_LOGS,
    CLOUD_ROLES,
    DISCOVERY,
    NO_RECOVERY,
    STEAL_TOKEN,
)
from tests.crypto_core.trail.records import ACCOUNT, role
from tests.league.technique import Technique
from tests.league.world import KEY, Record, World


def on_its_own_host(world: World, when: datetime) -> Iterator[Record]:
    """Within the platform's process."""
    yield from (world.opened(world.web(when), when + timedelta(minutes=9 * n)) for n in range(4))


def another_session(world: World, when: datetime) -> Iterator[Record]:
    """Within the platform's network, with its software, in a session of another name."""
    mine = world.web(when).but(identity=role("platform-web", "maintenance"))
    yield from (world.opened(mine, when + timedelta(minutes=9 * n)) for n in range(4))


def looking_around(world: World, when: datetime) -> Iterator[Record]:
    """A stranger reads what keys there are, and who may use them."""
    by = world.stranger()
    for n, name in enumerate(("ListKeys", "ListAliases", "DescribeKey", "GetKeyPolicy", "ListGrants")):
        yield world.call(name, by, when + timedelta(seconds=n))


def sealing(world: World, when: datetime) -> Iterator[Record]:
    """A stranger makes data keys under the platform's key."""
    yield from (world.sealed(world.stranger(), when + timedelta(seconds=n)) for n in range(3))


def _elsewhere(name: str, service: str, request: dict[str, str]) -> Technique:
    """A call that is recorded, but of a service that Keydeck doesn't fetch."""

    def play(world: World, when: datetime) -> Iterator[Record]:
        yield world.change(
            name, world.stranger(role("break-glass", "admin")), when, request, key=None, eventSource=service
        )

    reason = f"Events of {service} are not fetched; what follows in KMS and CloudTrail is told"
    id_, _, _ = service.partition(".")
    techniques = {"s3": CLOUD_LOGS, "iam": CLOUD_ROLES, "sts": CLOUD_ACCOUNTS}
    return Technique(f"{id_}-{name}", f"{name} of {service}", (techniques[id_],), play, out_of_scope=reason)


def burning_rotations(world: World, when: datetime) -> Iterator[Record]:
    """On-demand rotations used up: a key has 25 for ever."""
    by = world.stranger(role("break-glass", "admin"))
    yield from (world.change("RotateKeyOnDemand", by, when + timedelta(hours=n), key=KEY) for n in range(3))


OUT_OF_SCOPE = (
    Technique(
        "own-host",
        "A few tokens opened within the platform's own process",
        (STEAL_TOKEN,),
        on_its_own_host,
        out_of_scope="CloudTrail can't tell it from the platform's work, of which it is a part",
    ),
    Technique(
        "session-name",
        "The platform's role in a session of another name, from its own network",
        (CLOUD_ACCOUNTS,),
        another_session,
        out_of_scope="Whoever assumes a role chooses the session's name, and can choose one that looks usual",
    ),
    Technique(
        "looking-around",
        "A stranger reads keys, policies and grants",
        (DISCOVERY,),
        looking_around,
        out_of_scope="Reading opens nothing and lets nobody in; being refused is told",
    ),
    Technique(
        "sealing",
        "A stranger makes data keys under the platform's key",
        (CLOUD_ACCOUNTS,),
        sealing,
        out_of_scope="It opens no token, and storing it needs the database",
    ),
    Technique(
        "rotations",
        "On-demand rotations used up",
        (NO_RECOVERY,),
        burning_rotations,
        out_of_scope="New material lets nobody in, and no token is lost by it",
    ),
    _elsewhere("PutBucketLifecycle", "s3.amazonaws.com", {"bucketName": "trail-files"}),
    _elsewhere("AttachRolePolicy", "iam.amazonaws.com", {"roleName": "metrics"}),
    _elsewhere("AssumeRole", "sts.amazonaws.com", {"roleArn": f"arn:aws:iam::{ACCOUNT}:role/platform-web"}),
)
