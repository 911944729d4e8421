"""The intruder, and what key policies and grants let it do, on a key of the test's own."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from console.practice.game_day.deeds import CallOutcome
from console.practice.game_day.game import begins, past_calls
from console.practice.game_day.intruder import Intruder
from console.practice.game_day.scenario import SCENARIOS, Act, End, Move, Past, Persona, Scenario
from console.practice.game_day.stage import Stage, client_of
from console.sandbox import access_keys
from console.sandbox.endpoint import ACCOUNT
from console.sandbox.sandbox import Sandbox
from console.sandbox.stored_values import Stored
from crypto_core.envelope import EnvelopeV1
from crypto_core.values.errors import DatabaseUnreachableError
from crypto_core.values.references import TokenRef
from crypto_core.values.secret import DataKey, Secret

FAST = 10_000.0
THIEF = Persona("thief", "AKIATESTTHIEF0000001", "user", "198.51.100.66", "evil/1.0", database=True)
FRIEND = Persona("friend", "AKIATESTFRIEND000001", "user", "198.51.100.67", "evil/1.0", database=True)
STORY = Scenario(
    id="test",
    title="A test",
    runbook="key-compromise",
    briefing=(),
    first=(),
    personas=(THIEF, FRIEND),
    moves=(
        Move(0, Act.LOOK, "thief"),
        Move(1, Act.READ, "thief"),
        Move(2, Act.OPEN, "thief", times=6, every=0.1),
        Move(3, Act.GRANT, "thief", to="friend"),
    ),
    aim=(Act.OPEN,),
    again=100,
    ends=(End.SHUT_OUT,),
    findings=(),
    detect_seconds=60,
    keeps_tokens=True,
)
CLOSED = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Sid": "Others",
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:role/keydeck-deployment"},
            "Action": "kms:*",
            "Resource": "*",
        }
    ],
}


class NoProviders:
    """Nobody says whether a token works."""

    def takes(self, ref: TokenRef, token: Secret) -> bool | None:
        return None


@pytest.fixture
def key(sandbox: Sandbox, new_key: Callable[[], str]) -> Iterator[str]:
    for persona in STORY.personas:
        sandbox.control.add_principal(persona.access_key, persona.name, persona.kind)
        sandbox.control.set_address(persona.access_key, persona.address)
    yield new_key()
    sandbox.control.clear()


def stage(sandbox: Sandbox, key: str, tokens: int = 5) -> Stage:
    stored = []
    for number, made in enumerate(sandbox.control.data_keys(key, tokens)):
        ref = TokenRef("gh_connection", "access_token", f"gh-{number}")
        with Secret.of(f"ghp_KEYDECKDEMO{number}") as token, DataKey(made.plaintext) as data_key:
            envelope = EnvelopeV1.seal(token, data_key, made.ciphertext_blob, key_arn=key, ref=None)
        stored.append(Stored(ref, "org", envelope))

    return Stage(key, partial(client_of, sandbox), lambda: tuple(stored), NoProviders())


def put(sandbox: Sandbox, key: str, policy: dict[str, Any]) -> None:
    kms = sandbox.client("kms", access_keys.DEPLOYMENT)
    kms.put_key_policy(KeyId=key, PolicyName="default", Policy=json.dumps(policy))


def until(condition: Callable[[], bool]) -> None:
    ticking = threading.Event()
    for _ in range(600):
        if condition():
            return
        ticking.wait(0.05)
    pytest.fail("It did not come to that.")


def test_the_intruder_goes_on_through_the_grant_that_was_left_and_gives_up_once_all_is_refused(
    sandbox: Sandbox, key: str
) -> None:
    intruder = Intruder(STORY, stage(sandbox, key), pace=FAST)
    intruder.start()
    try:
        assert intruder.played.wait(60)
        assert {(d.act, d.came) for d in intruder.deeds.all()} >= {
            (Act.LOOK, CallOutcome.DONE),
            (Act.READ, CallOutcome.DONE),
            (Act.OPEN, CallOutcome.DONE),
            (Act.GRANT, CallOutcome.DONE),
        }
        put(sandbox, key, CLOSED)
        until(lambda: any(d.persona == "friend" and d.came is CallOutcome.DONE for d in intruder.deeds.all()))
        assert not intruder.gave_up.is_set()
        kms = sandbox.client("kms", access_keys.DEPLOYMENT)
        for grant in kms.list_grants(KeyId=key)["Grants"]:
            kms.revoke_grant(KeyId=key, GrantId=grant["GrantId"])
        assert intruder.gave_up.wait(60)
    finally:
        intruder.stop()
    assert intruder.try_every_way() is False
    assert sorted(str(ref) for ref in intruder.tokens) == [
        f"gh_connection.access_token:gh-{n}" for n in range(5)
    ]
    assert "KEYDECKDEMO" not in repr((intruder.tokens, intruder.deeds.all(), intruder.__dict__))
    # CloudTrail has it as the story tells it.
    events = sandbox.client("cloudtrail", access_keys.DEPLOYMENT).lookup_events(
        LookupAttributes=[{"AttributeKey": "AccessKeyId", "AttributeValue": THIEF.access_key}]
    )["Events"]
    record = json.loads(events[0]["CloudTrailEvent"])
    assert (record["sourceIPAddress"], record["userAgent"]) == (THIEF.address, THIEF.agent)
    assert record["userIdentity"]["arn"] == THIEF.arn


def test_trouble_is_no_refusal_and_ends_nothing() -> None:
    class Broken:
        def __getattr__(self, name: str) -> Any:
            def fail(**_: Any) -> Any:
                if name == "list_keys":
                    raise EndpointConnectionError(endpoint_url="http://127.0.0.1:1")
                raise ClientError({"Error": {"Code": "ThrottlingException"}}, name)

            return fail

    def unreachable() -> tuple[Stored, ...]:
        raise DatabaseUnreachableError("Gone.")

    intruder = Intruder(STORY, Stage("k", lambda *_: Broken(), unreachable, NoProviders()), pace=FAST)
    intruder.start()
    assert intruder.played.wait(60)
    intruder.stop()
    assert {d.came for d in intruder.deeds.all()} == {CallOutcome.LOST}
    assert not intruder.tokens
    assert intruder.try_every_way() is None


def test_the_same_seed_steals_the_same_tokens_and_stopping_ends_the_thread(
    sandbox: Sandbox, key: str
) -> None:
    on_stage, taken = stage(sandbox, key, tokens=12), []
    for seed in (1, 1, 2):
        intruder = Intruder(STORY, on_stage, pace=FAST, seed=seed)
        intruder.start()
        assert intruder.played.wait(60)
        intruder.stop()
        assert not any(thread.name == "intruder" for thread in threading.enumerate())
        taken.append([d.ref for d in intruder.deeds.all() if d.act is Act.OPEN][:6])
    assert taken[0] == taken[1] != taken[2]


@pytest.mark.parametrize(
    ("statement", "let_in"),
    [
        ({"Principal": {"AWS": THIEF.arn}}, True),
        ({"Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}}, True),
        ({"Principal": "*"}, True),
        ({"Principal": {"AWS": FRIEND.arn}}, False),
        ({"Principal": {"AWS": THIEF.arn}, "Action": "kms:DescribeKey"}, False),
        ({"Principal": "*", "Condition": {"StringEquals": {"kms:CallerAccount": ACCOUNT}}}, True),
        ({"Principal": "*", "Condition": {"StringEquals": {"kms:ViaService": "s3.amazonaws.com"}}}, False),
        ({"Principal": "*", "Condition": {"StringNotEquals": {"aws:PrincipalArn": THIEF.arn}}}, False),
    ],
)
def test_a_policy_decides_for_everyone(
    sandbox: Sandbox, key: str, statement: dict[str, Any], let_in: bool
) -> None:
    allow = {"Effect": "Allow", "Action": "kms:Decrypt", "Resource": "*", **statement}
    put(sandbox, key, {**CLOSED, "Statement": [*CLOSED["Statement"], allow]})
    assert may_open(sandbox, key) is let_in
    deny = {"Effect": "Deny", "Principal": {"AWS": THIEF.arn}, "Action": "kms:*", "Resource": "*"}
    put(sandbox, key, {**CLOSED, "Statement": [*CLOSED["Statement"], allow, deny]})
    assert not may_open(sandbox, key)


def may_open(sandbox: Sandbox, key: str) -> bool:
    (made,) = sandbox.control.data_keys(key, 1)
    try:
        sandbox.client("kms", THIEF.access_key).decrypt(CiphertextBlob=made.ciphertext_blob)
    except ClientError as error:
        if error.response["Error"]["Code"] != "AccessDeniedException":
            raise
        return False
    return True


@pytest.mark.parametrize("hour", range(24))
def test_last_night_is_over_and_within_a_day_at_every_hour(hour: int) -> None:
    from datetime import UTC, datetime, timedelta

    now = datetime(2026, 3, 4, hour, 31, tzinfo=UTC)
    calls = list(past_calls(SCENARIOS["insider"], "k", now))
    night = [call for call in calls if call.time > now - timedelta(days=1)]
    assert len(night) == 240
    assert all(call.time < now for call in calls)
    earlier = Past("x", "Decrypt", 3, 10, 20, 2, 95)
    assert timedelta(days=2) < now - begins(earlier, now) < timedelta(days=5)
