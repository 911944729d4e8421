"""One made-up account of 30 days: who works there, from where, with what. All of it follows from a seed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from crypto_core.trail.rules.watched_keys import Configured
from tests.crypto_core.trail.records import ACCOUNT, REGION, context, record, role

START = datetime(2026, 10, 26, tzinfo=UTC)
"""A Monday."""
DAYS = 30
LEARNT = 14
"""So many days go by before the rules are first asked, once a day: they are the baseline."""
RUN_AT = 6
"""The hour of the daily examination, UTC."""

Record = dict[str, Any]


def _key(kind: str, account: str = ACCOUNT) -> str:
    return f"arn:aws:kms:{REGION}:{account}:key/{kind * 8}-12ab-34cd-56ef-1234567890ab"


FOREIGN = "999999999999"
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/mrk-1234abcd12ab34cd56ef1234567890ab"
"""What tokens are sealed under: a multi-Region key."""
OLD, NEXT, RETIRED = _key("a"), _key("b"), _key("c")
"""Trusted and still read; trusted for a planned move; retired."""
TRAIL_BUCKET = "management-trail"
APPS = (_key("d"), _key("e"), _key("f"))
"""Keys of other applications."""
THEIRS = _key("9", FOREIGN)
DECOYS = _key("8")
"""Under which nothing but a tripwire's decoys are."""
ALIAS = "alias/tokens"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, from where, with what. `network` is the account that owns the VPC endpoint."""

    identity: Mapping[str, Any]
    address: str
    agent: str
    endpoint: str = ""
    network: str = ACCOUNT
    console: bool = False

    def fields(self) -> dict[str, Any]:
        """The record's fields that say so."""
        through = {"vpcEndpointId": self.endpoint, "vpcEndpointAccountId": self.network}
        return {
            "userIdentity": dict(self.identity),
            "sourceIPAddress": self.address,
            "userAgent": self.agent,
            **(through if self.endpoint else {}),
            **({"sessionCredentialFromConsole": "true"} if self.console else {}),
        }

    def but(self, **changes: Any) -> Caller:
        """The same caller with something else about it."""
        return replace(self, **changes)

    def through(self, service: str) -> Caller:
        """The same caller where an AWS service makes the call for it."""
        return self.but(
            identity={**self.identity, "invokedBy": service}, address=service, agent=service, endpoint=""
        )


@dataclass
class World:
    """What is so in one account. `bound` is True where every token is v2; `moves_on` is the day of a move."""

    seed: int
    draw: random.Random = field(init=False)

    def __post_init__(self) -> None:
        draw = self.draw = random.Random(f"league {self.seed}")
        self.rows = draw.randint(60, 110)
        self.bound = draw.random() < 0.6
        self.v1 = 0.0 if self.bound else draw.uniform(0.2, 1.0)
        self.moves_on = draw.randint(4, DAYS - 3) if draw.random() < 0.2 else None
        self.endpoint = f"vpce-0{draw.getrandbits(64):016x}" if draw.random() < 0.7 else ""
        self.zones = [f"10.{draw.randint(16, 31)}.{zone}" for zone in draw.sample(range(1, 60), 3)]
        self.gateway = f"52.{draw.randint(16, 95)}.{draw.randint(1, 250)}"
        self.office = f"91.{draw.randint(16, 95)}.{draw.randint(1, 250)}"
        self.homes = {
            name: f"84.{draw.randint(16, 95)}.{draw.randint(1, 250)}.7" for name in ("ana", "ben", "chloe")
        }
        self.deploys = sorted(draw.sample(range(DAYS), draw.randint(7, 12)))
        self.fleets = [self._fleet() for _ in range(DAYS)]
        self.workers = [self._instance("worker") for _ in range(2)]

    def _fleet(self) -> list[Caller]:
        return [self._instance("web") for _ in range(self.draw.randint(2, 5))]

    def _instance(self, name: str) -> Caller:
        session = f"i-0{self.draw.getrandbits(64):016x}"
        inside = f"{self.draw.choice(self.zones)}.{self.draw.randint(4, 250)}"
        outside = f"{self.gateway}.{self.draw.randint(10, 13)}"
        address = inside if self.endpoint else outside
        return Caller(role(f"platform-{name}", session), address, f"app/platform-{name}", self.endpoint)

    # Time

    def at(self, day: float, hour: float = 0, seconds: float = 0) -> datetime:
        """A moment."""
        return START + timedelta(days=day, hours=hour, seconds=seconds)

    def windows(self) -> Iterator[tuple[datetime, datetime]]:
        """Yield what each daily examination looks at."""
        for day in range(LEARNT, DAYS):
            yield self.at(day, RUN_AT), min(self.at(day + 1, RUN_AT), self.at(DAYS))

    def day(self, when: datetime) -> int:
        """The day of a moment."""
        return (when - START).days

    # What is configured then

    def moved(self, when: datetime) -> bool:
        """Whether the platform writes under its next key already."""
        return self.moves_on is not None and when >= self.at(self.moves_on, 10)

    def write_key(self, when: datetime) -> str:
        """The key that is written under."""
        return NEXT if self.moved(when) else KEY

    def sealed_under(self, when: datetime) -> str:
        """The key that tokens are sealed under: the next one once all data keys were wrapped anew."""
        moved = self.moves_on is not None and when >= self.at(self.moves_on + 1, 16)
        return NEXT if moved else KEY

    def configured(self, when: datetime) -> Configured:
        """Keydeck's settings: the next key is trusted before the move."""
        write = self.write_key(when)
        return Configured(write, tuple({KEY, OLD, NEXT} - {write}), (RETIRED,), ALIAS)

    def aliases(self, when: datetime) -> Mapping[str, Sequence[str]]:
        """The aliases of keys."""
        return {
            self.write_key(when): (ALIAS,),
            **{key: (f"alias/app-{n}",) for n, key in enumerate(APPS)},
        }

    # Who

    def web(self, when: datetime) -> Caller:
        """One of the platform's instances that answer requests."""
        return self._current(self.draw.choice(self.fleets[min(self.day(when), DAYS - 1)]), when)

    def worker(self, when: datetime) -> Caller:
        """One of those that work at night."""
        return self._current(self.draw.choice(self.workers), when)

    def _current(self, instance: Caller, when: datetime) -> Caller:
        version = sum(day <= self.day(when) for day in self.deploys)
        software = (
            f"Boto3/1.40.{21 + version} md/Botocore#1.40.{21 + version} lang/python#3.12.{version // 3}"
        )
        return instance.but(agent=f"{software} {instance.agent}")

    def operator(self, agent: str = "Boto3/1.40.21 app/keydeck") -> Caller:
        """Keydeck, as its operators run it."""
        return Caller(role("keydeck-operator", "jobs"), f"{self.gateway}.20", agent)

    def inspector(self) -> Caller:
        """Keydeck, as it is run by a timer."""
        return Caller(role("keydeck-inspector", "timer"), f"{self.gateway}.21", "Boto3/1.40.21 app/keydeck")

    def oncall(self, agent: str = "aws-cli/2.31.3 md/awscrt#0.27.6 cfg/retry-mode#standard") -> Caller:
        """A person of the platform's team, at work or at home."""
        name = self.draw.choice(sorted(self.homes))
        office = f"{self.office}.{self.draw.randint(2, 9)}"
        return Caller(
            role("AWSReservedSSO_Platform_0a1b2c3d4e5f6071", f"{name}@platform.example"),
            self.homes[name] if self.draw.random() < 0.2 else office,
            agent,
        )

    def pipeline(self) -> Caller:
        """What deploys."""
        return Caller(
            role("deploy", f"run-{self.draw.randint(1_000, 9_999)}"),
            f"{self.gateway}.30",
            "APN/1.0 HashiCorp/1.0 Terraform/1.13.3 aws-sdk-go-v2/1.39.2",
        )

    def app(self, number: int) -> Caller:
        """Another application of the account."""
        return Caller(
            role(f"app-{number}", "main"), f"{self.zones[0]}.{number + 100}", "aws-sdk-java/2.34.6 app/other"
        )

    def stranger(self, identity: Mapping[str, Any] | None = None, agent: str = "") -> Caller:
        """Somebody whom nobody knows, from a host that anybody can rent."""
        tools = (
            "aws-cli/2.31.9 md/awscrt#0.27.6",
            "Boto3/1.41.2 md/Botocore#1.41.2",
            "python-requests/2.32.5",
        )
        return Caller(
            identity or role(f"svc-{self.draw.getrandbits(24):06x}", "session"),
            f"{self.draw.choice((45, 146, 185))}.{self.draw.randint(1, 250)}.{self.draw.randint(1, 250)}.66",
            agent or self.draw.choice(tools),
        )

    # What they call

    def call(self, name: str, by: Caller, when: datetime, *, key: str | None = KEY, **more: Any) -> Record:
        """A record of a call of KMS."""
        fields = {
            **by.fields(),
            "eventTime": f"{when:%Y-%m-%dT%H:%M:%SZ}",
            "eventID": self.id(),
            "requestID": self.id(),
        }
        return record(name, key=key, **{**fields, **more})

    def opened(self, by: Caller, when: datetime, row: int | None = None, **more: Any) -> Record:
        """The record of a token that is opened."""
        number = self.draw.randrange(self.rows) if row is None else row
        # The first rows are those that are still v1, and those that were sealed longest ago.
        v1 = number < self.v1 * self.rows
        key = self.sealed_under(when)
        key = OLD if number % 10 == 3 and key == KEY else key
        bound = None if v1 else context(f"gh-{number}")
        return self.call("Decrypt", by, when, **{"key": key, "context": bound, **more})

    def sealed(self, by: Caller, when: datetime, **more: Any) -> Record:
        """The record of a new data key."""
        number = self.draw.randrange(self.rows)
        bound = context(f"gh-{number}") if self.bound else None
        return self.call(
            "GenerateDataKey", by, when, **{"key": self.write_key(when), "context": bound, **more}
        )

    def change(
        self, name: str, by: Caller, when: datetime, request: Mapping[str, Any] | None = None, **more: Any
    ) -> Record:
        """The record of a call that changes something."""
        return self.call(
            name, by, when, **{"requestParameters": dict(request or {}), "readOnly": False, **more}
        )

    def trail(
        self, name: str, by: Caller, when: datetime, request: Mapping[str, Any] | None = None, **more: Any
    ) -> Record:
        """The record of a call of CloudTrail."""
        trail = {"name": f"arn:aws:cloudtrail:{REGION}:{ACCOUNT}:trail/management", **(request or {})}
        return self.change(
            name, by, when, trail, **{"key": None, "eventSource": "cloudtrail.amazonaws.com", **more}
        )

    def bucket(
        self,
        name: str,
        by: Caller,
        when: datetime,
        request: Mapping[str, Any] | None = None,
        bucket: str = TRAIL_BUCKET,
    ) -> Record:
        """The record of a call of S3, about the trail's bucket or another one."""
        given = {"bucketName": bucket, **(request or {})}
        return self.change(name, by, when, given, key=None, eventSource="s3.amazonaws.com")

    def refused(self, name: str, by: Caller, when: datetime, key: str = KEY, **more: Any) -> Record:
        """The record of a denied call: it names the key in its message alone."""
        said = f"User: {by.identity.get('arn')} is not authorized to perform: kms:{name} on resource: {key}"
        blank = {"requestParameters": None, "additionalEventData": None, "resources": None}
        return self.call(
            name, by, when, key=None, **{"errorCode": "AccessDenied", "errorMessage": said, **blank, **more}
        )

    def rewrapped(self, by: Caller, when: datetime, to: str, row: int, **more: Any) -> Record:
        """The record of a data key that is wrapped anew."""
        bound = None if row < self.v1 * self.rows else context(f"gh-{row}")
        keys = dict.fromkeys((self.sealed_under(when), to))
        parts = {"sourceEncryptionContext": bound, "destinationEncryptionContext": bound} if bound else {}
        return self.call(
            *("ReEncrypt", by, when),
            requestParameters={"destinationKeyId": to, **parts},
            resources=[{"accountId": a.split(":")[4], "type": "AWS::KMS::Key", "ARN": a} for a in keys],
            **more,
        )

    def id(self) -> str:
        """An event's or request's id."""
        digits = f"{self.draw.getrandbits(128):032x}"
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
