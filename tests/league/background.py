"""What goes on in an account where all is well, for 30 days: none of it is an attack."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

from tests.crypto_core.trail.records import ACCOUNT, REGION, role
from tests.league.world import ALIAS, APPS, DAYS, KEY, NEXT, OLD, Caller, Record, World


def background(world: World) -> list[Record]:
    """Return all of it."""
    return [one for part in BACKGROUND for one in part(world)]


def _times(world: World, day: int, number: int, first: float = 8, last: float = 19) -> Iterator[datetime]:
    """Yield so many moments of a day, most of them around its middle."""
    for _ in range(number):
        yield world.at(day, world.draw.triangular(first, last))


def _once(world: World, chance: float) -> Iterator[int]:
    """Yield a day for what is done once, or not at all."""
    if world.draw.random() < chance:
        yield world.draw.randrange(1, DAYS - 1)


def requests(world: World) -> Iterator[Record]:
    """Users of the platform: busy days, quiet weekends and nights; now and then a busy hour."""
    for day in range(DAYS):
        number = world.draw.randint(28, 50) // (4 if day % 7 > 4 else 1)
        for when in [*_times(world, day, number), *_times(world, day, number // 5, 0, 24)]:
            make = world.sealed if world.draw.random() < 0.12 else world.opened
            yield make(world.web(when), when)
    for day in world.draw.sample(range(DAYS), 3):
        for when in _times(world, day, world.draw.randint(30, 90), 14, 14.9):
            yield world.opened(world.web(when), when)


def nightly(world: World) -> Iterator[Record]:
    """Each night some tokens are synchronised, on Sundays all of them."""
    for day in range(DAYS):
        rows = range(world.rows)
        chosen = rows if day % 7 == 6 else world.draw.sample(rows, world.draw.randint(18, 34))
        for n, row in enumerate(chosen):
            when = world.at(day, 2, n * 4 + world.draw.random())
            yield world.opened(world.worker(when), when, row)


def onboarding(world: World) -> Iterator[Record]:
    """A new customer connects many repositories at once."""
    for day in world.draw.sample(range(DAYS), 2):
        for n in range(world.draw.randint(20, 45)):
            when = world.at(day, 11, n * 20)
            yield world.sealed(world.web(when), when)
            yield world.opened(world.web(when), world.at(day, 11, n * 20 + 2))


def keydecks_timer(world: World) -> Iterator[Record]:
    """Keydeck looks at keys and trails three times a day, and rehearses what it may do."""
    for day in range(DAYS):
        for hour in (5, 13, 21):
            when, by = world.at(day, hour, world.draw.random() * 60), world.inspector()
            for key in (KEY, OLD):
                for name in ("DescribeKey", "GetKeyPolicy", "GetKeyRotationStatus", "ListGrants"):
                    yield world.call(name, by, when, key=key)
            yield world.trail("LookupEvents", by, when, readOnly=True)
            yield world.trail("GetTrailStatus", by, when, readOnly=True)
        yield world.call("Decrypt", by, when, errorCode="DryRunOperationException")


def keydecks_verification(world: World) -> Iterator[Record]:
    """In most places all tokens are verified each Saturday."""
    if world.draw.random() < 0.6:
        for day in range(5, DAYS, 7):
            for row in range(world.rows):
                when = world.at(day, 4, row * 2)
                yield world.opened(world.operator(), when, row)


def keydecks_rewrap(world: World) -> Iterator[Record]:
    """After new material, or a move to another key, every data key is wrapped anew."""
    days = [world.moves_on + 1] if world.moves_on is not None else [*_once(world, 0.5)]
    for day in days:
        to = NEXT if world.moves_on is not None else KEY
        if to == KEY:
            yield world.change("RotateKeyOnDemand", world.operator(), world.at(day, 9))
        for row in range(world.rows):
            yield world.rewrapped(world.operator(), world.at(day, 15, row), to, row)


def keydecks_attribution(world: World) -> Iterator[Record]:
    """For a v1 envelope Keydeck asks the configured Regions in turn."""
    for day in range(0, DAYS, 3) if not world.bound else ():
        for n in range(3):
            when = world.at(day, 5, 90 + n)
            by = world.operator()
            yield world.call("Decrypt", by, when, key=None, errorCode="InvalidCiphertextException")


def move(world: World) -> Iterator[Record]:
    """A planned move to a key that was made and trusted days before."""
    if world.moves_on is None:
        return
    day, by = world.moves_on, world.pipeline()
    yield world.change("CreateKey", by, world.at(day - 4, 10), {"policy": own_policy()}, key=NEXT)
    yield world.change("EnableKeyRotation", by, world.at(day - 4, 10, 2), key=NEXT)
    request = {"aliasName": ALIAS, "targetKeyId": NEXT}
    yield world.change("UpdateAlias", by, world.at(day, 9.9), request, key=NEXT)
    for n in range(4):  # instances that are still to be restarted
        when = world.at(day, 10, n * 60)
        yield world.sealed(world.web(when), when, key=KEY)


def rotation(world: World) -> Iterator[Record]:
    """AWS rotates a key by itself."""
    for day in _once(world, 0.3):
        service = {"accountId": ACCOUNT, "invokedBy": "AWS Internal"}
        by = Caller(service, "AWS Internal", "AWS Internal")
        yield world.call(
            "RotateKey", by, world.at(day, 3), eventType="AwsServiceEvent", requestParameters=None
        )


_LOOKS = ("DescribeKey", "ListAliases", "ListKeys", "GetKeyPolicy", "ListResourceTags", "ListKeyRotations")


def oncall(world: World) -> Iterator[Record]:
    """People look around, in the console and with tools; some open a token with Keydeck."""
    for day in range(DAYS):
        for when in _times(world, day, world.draw.randint(0, 6), 8, 22):
            browser = world.draw.random() < 0.5
            by = world.oncall("AWS Console" if browser else "aws-cli/2.31.3").but(console=browser)
            yield world.call(world.draw.choice(_LOOKS), by, when, key=world.draw.choice((KEY, OLD, *APPS)))
    keydeck = "Boto3/1.40.21 app/keydeck"
    verify = world.draw.random()
    if verify < 0.4:
        days = [day for day in range(2, DAYS) if world.draw.random() < 0.25]
    else:
        days = [world.draw.randrange(DAYS)] if verify < 0.65 else []
    for day in days:
        for when in _times(world, day, world.draw.randint(1, 3)):
            yield world.opened(world.oncall(keydeck), when)


_SERVICES: Sequence[tuple[str, str, dict[str, str], int]] = (
    ("s3.amazonaws.com", "Decrypt", {"aws:s3:arn": "arn:aws:s3:::reports"}, 8),
    ("s3.amazonaws.com", "GenerateDataKey", {"aws:s3:arn": "arn:aws:s3:::reports"}, 3),
    (
        "secretsmanager.amazonaws.com",
        "Decrypt",
        {"SecretARN": "arn:aws:secretsmanager:s", "SecretVersionId": "v"},
        6,
    ),
    (
        "ssm.amazonaws.com",
        "Decrypt",
        {"PARAMETER_ARN": f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/app/db"},
        5,
    ),
    ("ec2-frontend-api.amazonaws.com", "Decrypt", {"aws:ebs:id": "vol-0123456789abcdef0"}, 2),
    ("rds.amazonaws.com", "Decrypt", {"aws:rds:db-id": "db-ABCDEF"}, 1),
    ("lambda.amazonaws.com", "Decrypt", {"aws:lambda:FunctionArn": "arn:aws:lambda:f"}, 2),
    (
        "backup.amazonaws.com",
        "GenerateDataKeyWithoutPlaintext",
        {"aws:backup:backup-vault": "arn:aws:backup:v"},
        1,
    ),
)


def services(world: World) -> Iterator[Record]:
    """AWS services encrypt what they keep, in some worlds under the platform's key."""
    shared = world.draw.random() < 0.3
    who = [world.web, world.worker, lambda _: world.app(0), lambda _: world.app(1), lambda _: world.oncall()]
    for day in range(DAYS):
        for service, name, bound, number in _SERVICES:
            for when in _times(world, day, world.draw.randint(0, number), 0, 24):
                by = world.draw.choice(who)(when).through(service)
                key = KEY if shared and world.draw.random() < 0.3 else world.draw.choice(APPS)
                yield world.call(name, by, when, key=key, context=bound)
    disks = world.app(2).through("autoscaling.amazonaws.com")
    for day in range(0, DAYS, 2):
        request = {
            "granteePrincipal": f"arn:aws:iam::{ACCOUNT}:role/disks",
            "operations": ["Decrypt", "CreateGrant"],
        }
        yield world.change("CreateGrant", disks, world.at(day, 6), request, key=APPS[2])
        yield world.change("RetireGrant", disks, world.at(day, 18), {"grantId": "a" * 64}, key=APPS[2])


def recorders(world: World) -> Iterator[Record]:
    """AWS Config and others read every key, and may not read some."""
    by = Caller(
        {**role("AWSServiceRoleForConfig", "config"), "invokedBy": "config.amazonaws.com"},
        *("config.amazonaws.com", "config.amazonaws.com"),
    )
    for day in range(0, DAYS, 2):
        for n, key in enumerate((KEY, *APPS)):
            yield world.call("GetKeyPolicy", by, world.at(day, 7, n), key=key)
            if n % 2:
                for name in ("ListGrants", "ListResourceTags", "GetKeyRotationStatus"):
                    yield world.refused(name, by, world.at(day, 7, n + 1), key)


def buckets(world: World) -> Iterator[Record]:
    """CloudTrail asks for its bucket's access list before it delivers; other buckets are no trail's."""
    service = {"type": "AWSService", "invokedBy": "cloudtrail.amazonaws.com"}
    by = Caller(service, *("cloudtrail.amazonaws.com", "cloudtrail.amazonaws.com"))
    for day in range(DAYS):
        for hour in range(0, 24, 4):
            yield world.bucket("GetBucketAcl", by, world.at(day, hour))
    soon = {"LifecycleConfiguration": {"Rule": {"Status": "Enabled", "Expiration": {"Days": 7}}}}
    for day in world.deploys:
        yield world.bucket("PutBucketLifecycle", world.pipeline(), world.at(day, 12), soon, "app-uploads")


def deploys(world: World) -> Iterator[Record]:
    """Each deploy reads the state of all keys; few change anything."""
    for day in world.deploys:
        by, when = world.pipeline(), world.at(day, world.draw.uniform(9, 17))
        for key in (KEY, OLD, *APPS):
            for name in ("DescribeKey", "GetKeyPolicy", "ListResourceTags"):
                yield world.call(name, by, when, key=key)


def own_policy(*readers: str) -> str:
    """A policy that lets the account and some of its roles in."""
    roles = [f"arn:aws:iam::{ACCOUNT}:role/{name}" for name in ("platform-web", "platform-worker", *readers)]
    statements = [
        {"Effect": "Allow", "Principal": {"AWS": who}, "Action": action, "Resource": "*"}
        for who, action in (
            (f"arn:aws:iam::{ACCOUNT}:root", "kms:*"),
            (roles, ["kms:Decrypt", "kms:GenerateDataKey"]),
        )
    ]
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def planned_changes(world: World) -> Iterator[Record]:
    """Of the platform's own key, by CloudFormation or Terraform: a new reader, tags."""
    cloudformation = world.pipeline().through("cloudformation.amazonaws.com")
    for day in _once(world, 0.4):
        request = {"policy": own_policy("exporter"), "policyName": "default"}
        yield world.change("PutKeyPolicy", cloudformation, world.at(day, 12), request)
    for day in _once(world, 0.3):
        yield world.change(
            "TagResource", world.pipeline(), world.at(day, 12), {"tags": [{"tagKey": "cost-centre"}]}
        )
    for day in _once(world, 0.15):  # a new service of the platform, after its policy
        request = {"policy": own_policy("mailer"), "policyName": "default"}
        yield world.change("PutKeyPolicy", world.pipeline(), world.at(day, 9), request)
        mailer = world.web(world.at(day)).but(identity=role("platform-mailer", "i-0aaaabbbbccccdddd"))
        for later in range(day, DAYS):
            for when in _times(world, later, 4, 10):
                yield world.opened(mailer, when)


def other_applications(world: World) -> Iterator[Record]:
    """They use keys of their own, and their teams make, change and delete keys."""
    for day in range(DAYS):
        for when in _times(world, day, world.draw.randint(4, 10), 0, 24):
            number = world.draw.randrange(3)
            name = world.draw.choice(("Decrypt", "GenerateDataKey"))
            yield world.call(name, world.app(number), when, key=APPS[number])
    for day in sorted(world.draw.sample(range(DAYS), 4)):
        by = world.pipeline().through("cloudformation.amazonaws.com") if day % 2 else world.pipeline()
        key, when = world.draw.choice(APPS), world.at(day, 14)
        policy = {"policy": own_policy("app-0"), "policyName": "default"}
        alias = {"aliasName": f"alias/app-{day}", "targetKeyId": key}
        yield from world.draw.choice(
            (
                [
                    world.change("CreateKey", by, when, {"policy": own_policy("app-0")}, key=key),
                    world.change("CreateAlias", by, when, alias, key=key),
                    world.change("EnableKeyRotation", by, when, key=key),
                    world.change("TagResource", by, when, {"tags": [{"tagKey": "team"}]}, key=key),
                ],
                [world.change("PutKeyPolicy", by, when, policy, key=key)],
                [world.change("UpdateAlias", by, when, alias, key=key)],
                [
                    world.change("DisableKey", by, when, key=key),
                    world.change(
                        "ScheduleKeyDeletion", by, world.at(day, 14, 30), {"pendingWindowInDays": 30}, key=key
                    ),
                ],
            )
        )


def errors(world: World) -> Iterator[Record]:
    """KMS asks to wait; somebody lacks a permission; a deploy forgot one."""
    for day in world.draw.sample(range(DAYS), 3):
        for n in range(world.draw.randint(15, 60)):
            when = world.at(day, 14, n * 3)
            throttled = {"errorCode": "ThrottlingException", "requestParameters": None}
            yield world.call("Decrypt", world.web(when), when, key=None, **throttled)
    for day in range(DAYS):
        if world.draw.random() < 0.15:
            name = world.draw.choice(("GetKeyPolicy", "ListGrants", "Decrypt"))
            yield world.refused(name, world.oncall(), world.at(day, 16, world.draw.random() * 999))
    for day in _once(world, 0.15):
        for n in range(world.draw.randint(4, 20)):
            when = world.at(day, 10, n * 12)
            yield world.refused("GenerateDataKey", world.worker(when), when)


BACKGROUND: Sequence[Callable[[World], Iterator[Record]]] = (
    *(requests, nightly, onboarding, keydecks_timer, keydecks_verification, keydecks_rewrap),
    *(keydecks_attribution, move, rotation, oncall, services, recorders, deploys, planned_changes),
    *(other_applications, errors, buckets),
)
