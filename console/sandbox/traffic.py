"""KMS calls of the last seven days, as CloudTrail would have recorded them.

Mostly the platform at work, by day more than by night; an analyst; an AWS service; the deployment; and, two
nights ago at 03:12 UTC, an intruder who unwraps data keys as fast as KMS answers.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from console.sandbox import access_keys
from console.sandbox.endpoint import EndpointControl, PastCall
from console.sandbox.world import World

DAYS = 7
EVENTS_PER_CONNECTION = 0.75
MOST_EVENTS = 5_000
INTRUDER_ADDRESS = "198.51.100.7"
OFFICE_ADDRESS = "203.0.113.24"

PLATFORM_ADDRESSES = tuple(f"10.20.{net}.{host}" for net in (1, 2, 3) for host in (17, 42))
PLATFORM_AGENT = "Boto3/1.40.21 md/Botocore#1.40.21 ua/2.1 os/linux#6.8 lang/python#3.12.6 app/platform-api"
_CONSOLE_AGENT = "aws-cli/2.27.41 md/awscrt#0.26.1 ua/2.1 os/macos#24.5.0 lang/python#3.13.4 md/prompt#off"
INTRUDER_AGENT = "aws-cli/1.22.34 Python/3.10.12 Linux/6.5.0-kali3-amd64 botocore/1.27.84"
_DEPLOYMENT_AGENT = "APN/1.0 HashiCorp/1.0 Terraform/1.9.5 aws-sdk-go-v2/1.30.4 os/linux lang/go#1.22.6"


@dataclass(frozen=True, slots=True)
class Caller:
    access_key: str
    address: str
    agent: str

    def call(
        self, at: datetime, operation: str, key_arn: str | None = None, *, address: str = "", error: str = ""
    ) -> PastCall:
        """Return a past call, from another address where one is given; `error` refused it."""
        return PastCall(
            time=at,
            access_key_id=self.access_key,
            operation=operation,
            key_id=key_arn,
            source_ip=address or self.address,
            user_agent=self.agent,
            error_code=error or None,
        )


PLATFORM = Caller(access_keys.PLATFORM, PLATFORM_ADDRESSES[0], PLATFORM_AGENT)
INTRUDER = Caller(access_keys.INTRUDER, INTRUDER_ADDRESS, INTRUDER_AGENT)
_ANALYST = Caller(access_keys.ANALYST, OFFICE_ADDRESS, _CONSOLE_AGENT)
_BACKUP = Caller(access_keys.BACKUP, "backup.amazonaws.com", "backup.amazonaws.com")
_DEPLOYMENT = Caller(access_keys.DEPLOYMENT, "10.20.9.5", _DEPLOYMENT_AGENT)

_KNOWN = timedelta(days=2)
_ONE_WRITES = 8
"""Of so many calls of the platform one makes a data key."""
_SHARES = {"platform": 0.86, "analyst": 0.01, "intruder": 0.04, "backup": 0.07, "deployment": 0.02}


def register_principals(control: EndpointControl) -> None:
    control.add_principal(access_keys.DEPLOYMENT, "keydeck-deployment", "role", "terraform")
    control.add_principal(access_keys.BACKUP, "AWSServiceRoleForBackup", "role", "AWSBackup")


def record_traffic(control: EndpointControl, world: World) -> int:
    """Record the calls of the seven days before `world.now`; return how many there are."""
    total = min(MOST_EVENTS, round(sum(world.rows.values()) * EVENTS_PER_CONNECTION))
    draw = random.Random(f"{world.seed}/traffic")  # noqa: S311  made-up data, nothing secret
    calls = [
        *_platform(world, draw, round(total * _SHARES["platform"])),
        *_analyst(world, draw, max(3, round(total * _SHARES["analyst"]))),
        *_intruder(world, draw, max(12, round(total * _SHARES["intruder"]))),
        *_backup(world, draw, round(total * _SHARES["backup"])),
        *_deployment(world, draw, round(total * _SHARES["deployment"])),
    ]
    return control.history(sorted(calls, key=lambda call: call.time))


def intrusion_begins(now: datetime) -> datetime:
    """Return when the intruder's burst began: two nights before `now`, at 03:12 UTC."""
    return (now - timedelta(days=2)).replace(hour=3, minute=12, second=9, microsecond=0)


def _platform(world: World, draw: random.Random, count: int) -> Iterator[PastCall]:
    """It writes in every world, however few calls there are and at whatever hour the world is made."""
    old_share = len(world.sealed_under(world.old_key)) / max(1, len(world.tokens))
    for number in range(count):
        reads = number % _ONE_WRITES != 0
        key = world.old_key if reads and draw.random() < old_share else world.current_key
        operation = "Decrypt" if reads else "GenerateDataKey"
        moment = _by_day_and_night(world.now, draw)
        yield PLATFORM.call(moment, operation, key.arn, address=draw.choice(PLATFORM_ADDRESSES))


def _analyst(world: World, draw: random.Random, count: int) -> Iterator[PastCall]:
    """Nothing that the rules take for new on the last day, at whatever hour the world is made."""
    for _ in range(count):
        operation = draw.choice(("Decrypt", "DescribeKey", "ListAliases"))
        key = None if operation == "ListAliases" else world.current_key.arn
        moment = _in_office_hours(world.now, draw)
        while operation == "Decrypt" and moment > world.now - _KNOWN:
            moment = _in_office_hours(world.now, draw)
        yield _ANALYST.call(moment, operation, key)


def _intruder(world: World, draw: random.Random, count: int) -> Iterator[PastCall]:
    current, old = world.current_key.arn, world.old_key.arn
    refused = (("ListKeys", None), ("GetKeyPolicy", current), ("ReEncrypt", old))
    begun = intrusion_begins(world.now)
    yield from visit(begun, draw, refused, current, count - len(refused), hesitates=(4, 11))


def visit(
    moment: datetime,
    draw: random.Random,
    refused: Iterable[tuple[str, str | None]],
    key_arn: str,
    decrypts: int,
    *,
    hesitates: tuple[float, float],
) -> Iterator[PastCall]:
    """Yield an intruder's: what the access key may do is tried out, then data keys are unwrapped.

    `hesitates` is how many seconds at least and at most pass after what was refused.
    """
    for operation, key in refused:
        yield INTRUDER.call(moment, operation, key, error="AccessDenied")
        moment += timedelta(seconds=draw.uniform(*hesitates))
    for _ in range(decrypts):
        yield INTRUDER.call(moment, "Decrypt", key_arn)
        moment += timedelta(seconds=draw.uniform(0.2, 1.1))


def _backup(world: World, draw: random.Random, count: int) -> Iterator[PastCall]:
    for _ in range(count):
        moment = _ago(world.now, draw)
        operation = draw.choice(("DescribeKey", "GenerateDataKeyWithoutPlaintext"))
        yield _BACKUP.call(moment, operation, world.current_key.arn)


def _deployment(world: World, draw: random.Random, count: int) -> Iterator[PastCall]:
    reads = ("DescribeKey", "GetKeyPolicy", "GetKeyRotationStatus", "ListResourceTags")
    for _ in range(count):
        moment, operation = _in_office_hours(world.now, draw), draw.choice(reads)
        yield _DEPLOYMENT.call(moment, operation, draw.choice((world.current_key, world.old_key)).arn)


def _ago(now: datetime, draw: random.Random) -> datetime:
    return now - timedelta(seconds=draw.uniform(60, DAYS * 86_400))


def _by_day_and_night(now: datetime, draw: random.Random) -> datetime:
    """Ten times as likely at 14:00 UTC as at 02:00."""
    while True:
        moment = _ago(now, draw)
        hour = moment.hour + moment.minute / 60
        if draw.random() < 0.55 - 0.45 * math.cos((hour - 2) / 24 * math.tau):
            return moment


def _in_office_hours(now: datetime, draw: random.Random) -> datetime:
    """On a day from Monday to Friday, 08:00 to 17:00 UTC; seven days always hold some."""
    while True:
        moment = _ago(now, draw)
        if moment.weekday() < 5 and 8 <= moment.hour < 17:
            return moment
