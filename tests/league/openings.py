"""Techniques that open tokens: by whom, from where, with what, how fast, under which key."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from crypto_core.findings.finding import Severity
from crypto_core.findings.standards import CLOUD_ACCOUNTS, CLOUD_SECRETS, DATABASES, ENCRYPTED, STEAL_TOKEN
from tests.crypto_core.trail.records import ACCOUNT, REGION, context, role, user
from tests.league.technique import Technique
from tests.league.world import APPS, DECOYS, FOREIGN, KEY, NEXT, RETIRED, THEIRS, Caller, Record, World

HIGH, CRITICAL, MEDIUM = Severity.HIGH, Severity.CRITICAL, Severity.MEDIUM
NEW, NETWORK = "event-decrypt-new-principal", "event-decrypt-new-network"
AGENT, ENDPOINT = "event-decrypt-new-agent", "event-decrypt-new-endpoint"
REGIONS = "event-decrypt-new-region"


def _some(
    world: World, by: Caller, when: datetime, number: int = 5, every: float = 7, **more: Any
) -> Iterator[Record]:
    """A few tokens, one after the other."""
    for n in range(number):
        yield world.opened(by, when + timedelta(seconds=n * every), **more)


def new_role(world: World, when: datetime) -> Iterator[Record]:
    """A role that was made for it."""
    yield from _some(world, world.stranger(), when)


def new_role_slowly(world: World, when: datetime) -> Iterator[Record]:
    """Two an hour, for three days, from within."""
    inside = world.web(when).but(identity=role("metrics", "i-0123456789abcdef0"))
    yield from _some(world, inside, when, 144, 1_800)


def pipelines_role(world: World, when: datetime) -> Iterator[Record]:
    """The role that deploys, which only ever looked."""
    yield from _some(world, world.pipeline(), when)


def stolen_from_outside(world: World, when: datetime) -> Iterator[Record]:
    """The platform's credentials and software, at a host that anybody can rent."""
    mine = world.web(when)
    yield from _some(world, mine.but(address=world.stranger().address, endpoint=""), when)


def stolen_slowly(world: World, when: datetime) -> Iterator[Record]:
    """The same, three an hour for four days."""
    mine = world.worker(when).but(address=world.stranger().address, endpoint="")
    yield from _some(world, mine, when, 288, 1_200)


def stolen_other_tool(world: World, when: datetime) -> Iterator[Record]:
    """The platform's credentials, used on one of its own hosts with another tool."""
    yield from _some(world, world.web(when).but(agent="aws-cli/2.31.3 md/awscrt#0.27.6"), when)


def stolen_same_sdk(world: World, when: datetime) -> Iterator[Record]:
    """The same with the SDK that the platform uses, which names no application."""
    yield from _some(world, world.web(when).but(agent="Boto3/1.40.30 md/Botocore#1.40.30"), when)


def stolen_through_their_network(world: World, when: datetime) -> Iterator[Record]:
    """Through a VPC endpoint of another account: the address is whatever its owner likes."""
    endpoint = f"vpce-0{world.draw.getrandbits(64):016x}"
    mine = world.web(when).but(endpoint=endpoint, network=FOREIGN)
    if world.endpoint:
        yield from _some(world, mine, when)


def replica_used(world: World, when: datetime) -> Iterator[Record]:
    """With the platform's role, from within, under a replica of the key in another Region."""
    region = "ap-southeast-2"
    yield from _some(world, world.web(when), when, key=KEY.replace(REGION, region), awsRegion=region)


def all_at_once(world: World, when: datetime) -> Iterator[Record]:
    """The platform's own instance opens far more within minutes than ever."""
    yield from _some(world, world.web(when), when, 420, 1)


def table_dumped(world: World, when: datetime) -> Iterator[Record]:
    """Row by row, by one who opens all of them once a week: but thousands of rows that nobody reads."""
    mine = world.worker(when)
    for n in range(5 * world.rows):
        then = when + timedelta(seconds=n / 2)
        yield world.opened(mine, then, context=context(f"sl-{n}", "slack_connection", "bot_token"))


def by_hand(world: World, when: datetime) -> Iterator[Record]:
    """An IAM user with a command line."""
    yield from _some(world, world.stranger(user("contractor"), "aws-cli/2.31.9"), when, 3)


def administrator(world: World, when: datetime) -> Iterator[Record]:
    """An administrator who signed in."""
    who = role("AWSReservedSSO_Administrator_77aa88bb99cc00dd", "dave@platform.example")
    yield from _some(world, world.oncall().but(identity=who), when, 3)


def stolen_session(world: World, when: datetime) -> Iterator[Record]:
    """The session of one on call, taken from a laptop, with the very software."""
    thief = world.oncall("Boto3/1.40.21 app/keydeck").but(address=world.stranger().address)
    yield from _some(world, thief, when, 4)


def cloudshell(world: World, when: datetime) -> Iterator[Record]:
    """In CloudShell, with the session of a browser that was taken over."""
    shell = world.oncall("aws-cli/2.31.3 exec-env/CloudShell").but(console=True)
    yield from _some(world, shell, when, 4)


def root(world: World, when: datetime) -> Iterator[Record]:
    """The account's root user."""
    who = {
        "type": "Root",
        "principalId": ACCOUNT,
        "arn": f"arn:aws:iam::{ACCOUNT}:root",
        "accountId": ACCOUNT,
    }
    yield from _some(world, world.stranger(who), when, 2)


def another_account(world: World, when: datetime) -> Iterator[Record]:
    """From another account, as the key's own account records it: without a name."""
    who = {"type": "AWSAccount", "principalId": "AROAXXXXXXXXEXAMPLE:x", "accountId": FOREIGN}
    yield from _some(world, world.stranger(who), when)


def federated(world: World, when: datetime) -> Iterator[Record]:
    """A federation token, which outlives the user's keys."""
    arn = f"arn:aws:sts::{ACCOUNT}:federated-user/backup"
    who = {"type": "FederatedUser", "principalId": f"{ACCOUNT}:backup", "arn": arn, "accountId": ACCOUNT}
    yield from _some(world, world.stranger(who), when)


def build_job(world: World, when: datetime) -> Iterator[Record]:
    """A pull request's build that assumed a role with its web identity."""
    who = role("github-actions", "GitHubActions")
    yield from _some(world, world.stranger(who, "Boto3/1.41.2 exec-env/GitHubActions"), when)


def _through(service: str) -> Any:
    def play(world: World, when: datetime) -> Iterator[Record]:
        yield from _some(world, world.stranger().through(service), when)

    return play


def functions_role(world: World, when: datetime) -> Iterator[Record]:
    """A function that was given the platform's role: from AWS's own addresses."""
    mine = world.web(when).but(
        identity=role("platform-web", "cleanup-function"),
        address="3.248.10.9",
        endpoint="",
        agent="Boto3/1.40.4 exec-env/AWS_Lambda_python3.13",
    )
    yield from _some(world, mine, when)


def old_backup(world: World, when: datetime) -> Iterator[Record]:
    """v1 envelopes out of an old backup, where every token is v2 by now."""
    if world.bound:
        yield from _some(world, world.worker(when), when, 6, context=None, key=KEY)


def swapped_rows(world: World, when: datetime) -> Iterator[Record]:
    """Envelopes moved to a row that is read for the intruder: KMS refuses their context."""
    for n in range(4):
        then = when + timedelta(minutes=20 * n)
        wrong = {"errorCode": "InvalidCiphertextException", "context": context(f"gh-{n}")}
        yield world.opened(world.web(then), then, **wrong)


def retired(world: World, when: datetime) -> Iterator[Record]:
    """Envelopes from before an incident, by the platform's own role."""
    yield from _some(world, world.worker(when), when, 3, key=RETIRED)


def decoy(world: World, when: datetime) -> Iterator[Record]:
    """A decoy among other envelopes of a stolen copy, by the platform's own role."""
    yield world.opened(world.worker(when), when, key=DECOYS, context=None)


def taken_to_their_key(world: World, when: datetime) -> Iterator[Record]:
    """The platform's role wraps data keys anew under a key of the intruder's account."""
    for n in range(40):
        yield world.rewrapped(world.web(when), when + timedelta(seconds=n), THEIRS, n)


def taken_to_another_key(world: World, when: datetime) -> Iterator[Record]:
    """Under a key of this account that the intruder may use."""
    for n in range(12):
        yield world.rewrapped(world.operator(), when + timedelta(minutes=n), APPS[0], n)


def unbound(world: World, when: datetime) -> Iterator[Record]:
    """A new role wraps data keys anew under a trusted key, without the row's context."""
    for n in range(10):
        plain = {"requestParameters": {"destinationKeyId": NEXT}}
        record = world.rewrapped(world.stranger(), when + timedelta(seconds=n), NEXT, n)
        yield record | plain


def sealed_for_them(world: World, when: datetime) -> Iterator[Record]:
    """The platform was made to seal what is new under the intruder's key."""
    for n in range(6):
        then = when + timedelta(minutes=10 * n)
        yield world.sealed(world.web(then), then, key=THEIRS)


def sealed_under_a_test_key(world: World, when: datetime) -> Iterator[Record]:
    """Under a key that is to be deleted."""
    for n in range(6):
        then = when + timedelta(minutes=10 * n)
        yield world.sealed(world.web(then), then, key=APPS[1])


def probing(world: World, when: datetime) -> Iterator[Record]:
    """Credentials that were found, tried out."""
    by = world.stranger()
    for n, name in enumerate(("ListKeys", "DescribeKey", "GetKeyPolicy", "Decrypt", "CreateGrant")):
        yield world.refused(name, by, when + timedelta(seconds=5 * n))


def probing_slowly(world: World, when: datetime) -> Iterator[Record]:
    """The same, one call in forty minutes."""
    by = world.stranger()
    for n, name in enumerate(
        ("ListKeys", "DescribeKey", "GetKeyPolicy", "Decrypt", "CreateGrant", "ReEncrypt")
    ):
        yield world.refused(name, by, when + timedelta(minutes=40 * n))


def hammering(world: World, when: datetime) -> Iterator[Record]:
    """One call again and again, of a role that was shut out a moment ago."""
    for n in range(25):
        yield world.refused("Decrypt", world.worker(when), when + timedelta(seconds=15 * n))


def shut_at_the_endpoint(world: World, when: datetime) -> Iterator[Record]:
    """Foreign credentials in the platform's network: the endpoint's policy refuses them."""
    by = world.web(when).but(identity=world.stranger().identity, endpoint=world.endpoint or "vpce-0abc")
    for n in range(14):
        yield world.refused("Decrypt", by, when + timedelta(seconds=20 * n), errorCode="VpceAccessDenied")


OPENINGS = (
    Technique(
        "new-role", "A role made for it opens tokens", (CLOUD_ACCOUNTS, STEAL_TOKEN), new_role, (NEW,), HIGH
    ),
    Technique(
        "new-role-slowly",
        "A new role opens two an hour for days",
        (CLOUD_ACCOUNTS, STEAL_TOKEN),
        new_role_slowly,
        (NEW,),
        HIGH,
    ),
    Technique(
        "deploy-role",
        "The role that deploys opens tokens",
        (CLOUD_ACCOUNTS, CLOUD_SECRETS),
        pipelines_role,
        (NEW,),
    ),
    Technique(
        "stolen-credentials",
        "The platform's credentials used elsewhere",
        (CLOUD_ACCOUNTS, STEAL_TOKEN),
        stolen_from_outside,
        (NETWORK,),
    ),
    Technique(
        "stolen-slowly",
        "The platform's credentials used elsewhere, three calls an hour",
        (CLOUD_ACCOUNTS, STEAL_TOKEN),
        stolen_slowly,
        (NETWORK,),
    ),
    Technique(
        "other-tool",
        "The platform's role with a command line",
        (CLOUD_ACCOUNTS, STEAL_TOKEN),
        stolen_other_tool,
        (AGENT,),
    ),
    Technique(
        "same-sdk",
        "The platform's role with its SDK, not its application",
        (CLOUD_ACCOUNTS, STEAL_TOKEN),
        stolen_same_sdk,
        (AGENT,),
    ),
    Technique(
        "foreign-endpoint",
        "The platform's role through another account's VPC endpoint",
        (CLOUD_ACCOUNTS, STEAL_TOKEN),
        stolen_through_their_network,
        (ENDPOINT,),
        HIGH,
    ),
    Technique(
        "replica-used",
        "The platform's role under a replica in another Region",
        (CLOUD_ACCOUNTS, STEAL_TOKEN),
        replica_used,
        (REGIONS,),
    ),
    Technique(
        "all-at-once",
        "The platform's own instance opens hundreds within minutes",
        (STEAL_TOKEN, DATABASES),
        all_at_once,
        ("event-bulk-tokens", "event-bulk-decrypt"),
        HIGH,
        (0, 23),
    ),
    Technique(
        "table-dumped",
        "The worker opens a whole table within minutes",
        (STEAL_TOKEN, DATABASES),
        table_dumped,
        ("event-bulk-tokens", "event-bulk-decrypt"),
        HIGH,
        (7, 23),
    ),
    Technique(
        "by-hand",
        "An IAM user opens tokens by hand",
        (CLOUD_ACCOUNTS, CLOUD_SECRETS),
        by_hand,
        ("event-decrypt-human", NEW),
    ),
    Technique(
        "administrator",
        "An administrator who signed in opens tokens",
        (CLOUD_ACCOUNTS, CLOUD_SECRETS),
        administrator,
        ("event-decrypt-human", NEW),
    ),
    Technique(
        "stolen-session",
        "The session of one on call used elsewhere",
        (CLOUD_ACCOUNTS, STEAL_TOKEN),
        stolen_session,
        (NETWORK, NEW),
    ),
    Technique(
        "cloudshell",
        "A browser's session opens tokens",
        (CLOUD_ACCOUNTS,),
        cloudshell,
        ("event-console-use",),
    ),
    Technique("root", "The root user opens tokens", (CLOUD_ACCOUNTS,), root, ("event-root-use",), HIGH),
    Technique(
        "another-account",
        "Another account opens tokens",
        (CLOUD_ACCOUNTS, STEAL_TOKEN),
        another_account,
        (NEW,),
        HIGH,
    ),
    Technique(
        "federation-token",
        "A federation token opens tokens",
        (CLOUD_ACCOUNTS, STEAL_TOKEN),
        federated,
        (NEW, "event-decrypt-human"),
    ),
    Technique(
        "build-job", "A build job opens tokens", (CLOUD_ACCOUNTS, CLOUD_SECRETS), build_job, (NEW,), HIGH
    ),
    Technique(
        "step-functions",
        "A state machine opens tokens for somebody",
        (CLOUD_ACCOUNTS, STEAL_TOKEN),
        _through("states.amazonaws.com"),
        (NEW,),
        HIGH,
    ),
    Technique(
        "automation",
        "An SSM Automation opens tokens for somebody",
        (CLOUD_ACCOUNTS, STEAL_TOKEN),
        _through("ssm.amazonaws.com"),
        (NEW,),
        HIGH,
    ),
    Technique(
        "passed-role",
        "A function that was given the platform's role",
        (CLOUD_ACCOUNTS, STEAL_TOKEN),
        functions_role,
        (NETWORK, AGENT),
    ),
    Technique(
        "old-backup",
        "v1 envelopes of an old backup opened where all are v2",
        (STEAL_TOKEN, CLOUD_SECRETS),
        old_backup,
        ("event-context-missing",),
    ),
    Technique(
        "swapped-rows",
        "Envelopes tried in other rows",
        (STEAL_TOKEN,),
        swapped_rows,
        ("event-context-wrong",),
    ),
    Technique(
        "retired-key",
        "Old envelopes opened under the retired key",
        (STEAL_TOKEN,),
        retired,
        ("event-retired-key",),
        CRITICAL,
    ),
    Technique(
        "decoy",
        "A decoy opened, of a copy that was stolen",
        (STEAL_TOKEN, CLOUD_SECRETS),
        decoy,
        ("event-tripwire-opened",),
        CRITICAL,
    ),
    Technique(
        "rewrapped-to-them",
        "Data keys rewrapped under another account's key",
        (STEAL_TOKEN, ENCRYPTED),
        taken_to_their_key,
        ("event-rewrapped-elsewhere",),
        CRITICAL,
    ),
    Technique(
        "rewrapped-elsewhere",
        "Data keys rewrapped under a key that is not trusted",
        (STEAL_TOKEN, ENCRYPTED),
        taken_to_another_key,
        ("event-rewrapped-elsewhere",),
        HIGH,
    ),
    Technique("unbound", "Data keys rewrapped without their row", (STEAL_TOKEN,), unbound, (NEW,), HIGH),
    Technique(
        "sealed-for-them",
        "New tokens sealed under another account's key",
        (ENCRYPTED,),
        sealed_for_them,
        ("event-wrong-write-key",),
        HIGH,
    ),
    Technique(
        "sealed-elsewhere",
        "New tokens sealed under another application's key",
        (ENCRYPTED,),
        sealed_under_a_test_key,
        ("event-wrong-write-key",),
    ),
    Technique("probing", "Found credentials tried out", (CLOUD_ACCOUNTS,), probing, ("event-failed-burst",)),
    Technique(
        "probing-slowly",
        "Found credentials tried out over hours",
        (CLOUD_ACCOUNTS,),
        probing_slowly,
        ("event-denied-slowly",),
        hours=(7, 20),
    ),
    Technique(
        "hammering",
        "A role that was shut out tries again and again",
        (CLOUD_ACCOUNTS,),
        hammering,
        ("event-failed-burst",),
        HIGH,
        (0, 23),
    ),
    Technique(
        "foreign-credentials",
        "Foreign credentials refused by the VPC endpoint",
        (CLOUD_ACCOUNTS,),
        shut_at_the_endpoint,
        ("event-failed-burst",),
        HIGH,
        (0, 23),
    ),
)
