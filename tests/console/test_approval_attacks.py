"""Four eyes under attack by whoever asks: SQL into the table, invented events, a false STS."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from botocore.exceptions import ClientError
from sqlalchemy import make_url, text

from console.container import Container
from console.sandbox.endpoint import Denial
from console.sandbox.sandbox import Sandbox
from console.sandbox.world import World
from crypto_core.guard.approval_proof import context_of
from crypto_core.guard.approval_purpose import Purpose
from crypto_core.guard.approvals import ADVISORY, parts_of, request_digest
from crypto_core.guard.guarded_change import Outcome
from crypto_core.guard.iam_policy import iam_policy
from crypto_core.guard.operations import KeydeckRole
from crypto_core.values.errors import KeydeckError
from tests.conftest import Databases
from tests.http_answers import answering

Keydeck = Callable[..., Any]
ANA, BEN = "ASIATESTOFATTACKSANA", "ASIATESTOFATTACKSBEN"
BENS_ARN = "arn:aws:sts::123456789012:assumed-role/keydeck-approver/ben"
ADMINISTRATOR = "arn:aws:iam::123456789012:role/keydeck-oncall"
ANAS_ARN = "arn:aws:sts::123456789012:assumed-role/keydeck-operator/ana"
WAITS = "Waiting for CloudTrail:"
ANYBODY = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::123456789012:root"}, "Action": "kms:*"}
        | {"Resource": "*"}
    ],
}


@dataclass(slots=True)
class Attack:
    """Ana, who asks and writes SQL as the operator role, and Ben, who approves."""

    keydeck: Keydeck
    services: Container
    monkeypatch: pytest.MonkeyPatch

    def sit(self, key: str) -> None:
        self.monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)

    def ask(self, *command: str) -> str:
        """Run what needs a second person; returns the request's id."""
        self.sit(ANA)
        ran = self.keydeck(*command)
        assert ran.exit_code == 1, ran.stderr
        return str(self.listed()[0]["id"])

    def approve(self, request: str) -> Any:
        self.sit(BEN)
        ran = self.keydeck("approvals", "approve", request, "--yes", "--json")
        self.sit(ANA)
        return ran

    def again(self, *command: str) -> Any:
        self.sit(ANA)
        return self.keydeck(*command)

    def sql(self, statement: str, **values: Any) -> None:
        with self.services.state_engine.begin() as connection:
            connection.execute(text("SET TRANSACTION READ WRITE"))
            assert connection.execute(text(statement), values).rowcount == 1

    def row(self, request: str) -> dict[str, Any]:
        with self.services.state_engine.connect() as connection:
            row = connection.execute(text("SELECT * FROM keydeck.approval WHERE id = :id"), {"id": request})
            return dict(row.mappings().one())

    def reseal(self, request: str, *, decided: bool = False) -> None:
        """Make the digests fit what the row holds now, as whoever knows how can."""
        parts = parts_of(self.services.approvals.read(UUID(request)))
        both = ", decided_parts = :parts" if decided else ""
        self.sql(
            f"UPDATE keydeck.approval SET parts = :parts, request_digest = :digest{both} WHERE id = :id",
            parts=json.dumps(parts),
            digest=request_digest(parts),
            id=request,
        )

    def listed(self, *more: str) -> list[dict[str, Any]]:
        return list(self.keydeck("approvals", "list", "--json", *more).json["approvals"])

    def entries(self, action: str, *more: str) -> list[dict[str, Any]]:
        return list(self.keydeck("journal", "list", "--json", "--action", action, *more).json["entries"])

    def refusals(self, action: str) -> list[str]:
        return [json.loads(one["detail"])["reason"] for one in self.entries(action, "--outcome", "refused")]


@pytest.fixture
def attack(
    sandbox: Sandbox, services: Container, keydeck: Keydeck, monkeypatch: pytest.MonkeyPatch
) -> Attack:
    sandbox.control.add_principal(ANA, "keydeck-operator", "role", "ana")
    sandbox.control.add_principal(BEN, "keydeck-approver", "role", "ben")
    monkeypatch.setenv("KEYDECK_APPROVALS", "reencrypt,keys disable")
    return Attack(keydeck, services, monkeypatch)


@pytest.fixture
def approvals_key(sandbox: Sandbox, attack: Attack) -> str:
    """The approvals key, with which each role may do what `keydeck grants` prints for it and no more."""
    kms = sandbox.client("kms")
    key = str(kms.create_key()["KeyMetadata"]["Arn"])
    policy = json.loads(kms.get_key_policy(KeyId=key)["Policy"])
    administers = {"Action": ["kms:DescribeKey", "kms:PutKeyPolicy"], "Principal": {"AWS": ADMINISTRATOR}}
    statements = [policy["Statement"][0] | administers]
    for role in (KeydeckRole.OPERATOR, KeydeckRole.APPROVER):
        allowed = iam_policy(role, [], approvals_key=key)["Statement"]
        (granted,) = [one for one in allowed if one["Resource"] == key]
        who = {"AWS": f"arn:aws:iam::123456789012:role/keydeck-{role.value}"}
        statements.append(granted | {"Sid": role.value, "Principal": who})
    kms.put_key_policy(KeyId=key, Policy=json.dumps({"Version": "2012-10-17", "Statement": statements}))
    sandbox.control.set_lookup_throttle(None)
    attack.monkeypatch.setenv("KEYDECK_APPROVALS_KEY", key)
    return key


def small_and_large(world: World) -> tuple[tuple[str, ...], tuple[str, ...]]:
    old, new = world.old_key.arn, world.current_key.arn
    one = str(world.sealed_under(world.old_key)[0])
    return ("reencrypt", one, "--to", new, "--yes"), ("reencrypt", "--from", old, "--to", new, "--yes")


def as_one_token(attack: Attack, world: World) -> tuple[tuple[str, ...], str, dict[str, Any]]:
    """Ask for every token under a key, and let the request look like one for a single token."""
    small, large = small_and_large(world)
    modest, asked = attack.ask(*small), attack.ask(*large)
    was = attack.row(asked)
    assert "19 tokens" in was["summary"]
    attack.sql(
        "UPDATE keydeck.approval a SET summary = b.summary, plan = b.plan FROM keydeck.approval b"
        " WHERE a.id = :id AND b.id = :other",
        id=asked,
        other=modest,
    )
    assert "1 token" in attack.row(asked)["summary"]
    return large, asked, was


def restore(attack: Attack, asked: str, was: dict[str, Any]) -> None:
    attack.sql(
        "UPDATE keydeck.approval SET summary = :summary, plan = :plan, parts = :parts,"
        " request_digest = :digest WHERE id = :id",
        summary=was["summary"],
        plan=json.dumps(was["plan"]),
        parts=json.dumps(was["parts"]),
        digest=was["request_digest"],
        id=asked,
    )


def left(services: Container, world: World) -> int:
    return services.status.prove().tokens_under(world.old_key.arn)


@pytest.mark.deep
def test_a_rewritten_plan_is_neither_shown_for_approval_nor_approved(
    attack: Attack, services: Container, world: World
) -> None:
    large, asked, _ = as_one_token(attack, world)
    attack.sit(BEN)
    shown = attack.keydeck("approvals", "show", asked)
    problem = "Changed in the database after it was made: its summary and plan."
    told = f"Request {asked} is refused. {problem}"
    assert (shown.exit_code, shown.stdout, told in shown.stderr) == (2, "", True)
    (listed,) = [a for a in attack.listed() if a["id"] == asked]
    assert (listed["decision"], listed["problem"]) == ("changed", problem)
    approved = attack.approve(asked)
    assert (approved.exit_code, told in approved.stderr) == (2, True)
    assert attack.row(asked)["decision"] == "pending"
    assert set(attack.refusals("approvals show")) == {told}
    # Whoever asked sees it, too, and can withdraw it and ask again.
    again = attack.again(*large)
    assert (again.exit_code, told in again.stderr, told in attack.refusals("reencrypt")[-1]) == (
        2,
        True,
        True,
    )
    assert attack.keydeck("approvals", "deny", asked, "--yes").exit_code == 0
    anew = attack.ask(*large)
    assert anew != asked
    assert attack.approve(anew).exit_code == 0
    assert attack.again(*large).exit_code == 0
    assert left(services, world) < 19


@pytest.mark.deep
@pytest.mark.parametrize("signed", [False, True])
def test_what_was_approved_as_one_token_lets_nothing_else_run(
    attack: Attack, services: Container, world: World, request: pytest.FixtureRequest, signed: bool
) -> None:
    if signed:
        request.getfixturevalue("approvals_key")
    large, asked, was = as_one_token(attack, world)
    attack.reseal(asked)
    assert attack.approve(asked).json["decision"] == "approved"
    before = left(services, world)
    ran = attack.again(*large)
    assert (ran.exit_code, f"The approval of request {asked} does not hold" in ran.stderr) == (1, True)
    assert "differs in its summary and plan (by_column" in ran.stderr
    # The true plan is put back, once it was approved.
    restore(attack, asked, was)
    attack.sql(
        "DELETE FROM keydeck.approval WHERE requested_at > (SELECT requested_at FROM keydeck.approval"
        " WHERE id = :id)",
        id=asked,
    )
    ran = attack.again(*large)
    told = f"Request {asked} is refused. Changed after {BENS_ARN} approved it: its summary and plan."
    assert (ran.exit_code, told in ran.stderr) == (2, True)
    assert told in attack.refusals("reencrypt")[-1]
    if signed:
        attack.reseal(asked, decided=True)
        ran = attack.again(*large)
        assert (ran.exit_code, WAITS in ran.stderr) == (1, True)
    assert left(services, world) == before


@pytest.mark.quick(3)
@pytest.mark.parametrize(
    ("change", "part"),
    [
        ("expires_at = expires_at + interval '30 days'", "expiry"),
        ("expires_at = 'infinity'", "expiry"),
        ("decision = 'perhaps'", "decision"),
        ("requested_by = replace(requested_by, '/ana', '/eve')", "requester"),
        ("requested_at = requested_at - interval '1 minute'", "time of the request"),
        ("action = 'keys disable'", "action"),
        ("digest = repeat('0', 64)", "plan's digest"),
        ("database = 'another'", "database"),
        ("plan = plan || '{\"warnings\": []}'", "plan"),
    ],
)
def test_each_part_that_is_changed_is_named(attack: Attack, world: World, change: str, part: str) -> None:
    small, _ = small_and_large(world)
    asked = attack.ask(*small)
    attack.sql(f"UPDATE keydeck.approval SET {change} WHERE id = :id", id=asked)
    told = f"Request {asked} is refused. Changed in the database after it was made: its {part}."
    approved = attack.approve(asked)
    assert (approved.exit_code, told in approved.stderr) == (2, True)
    assert told in attack.refusals("approvals show")


def test_an_approval_whose_time_is_pushed_out_after_it_was_given_is_refused(
    attack: Attack, world: World
) -> None:
    small, _ = small_and_large(world)
    asked = attack.ask(*small)
    assert attack.approve(asked).exit_code == 0
    attack.sql(
        "UPDATE keydeck.approval SET expires_at = expires_at + interval '1 day' WHERE id = :id", id=asked
    )
    ran = attack.again(*small)
    assert (ran.exit_code, "its expiry." in ran.stderr) == (2, True)
    attack.reseal(asked)
    ran = attack.again(*small)
    assert (ran.exit_code, f"Changed after {BENS_ARN} approved it: its expiry." in ran.stderr) == (2, True)


def test_a_request_that_changes_while_it_is_read_is_not_approved(attack: Attack, world: World) -> None:
    small, large = small_and_large(world)
    modest, asked = attack.ask(*small), attack.ask(*large)
    attack.sit(BEN)
    read = attack.keydeck("approvals", "show", modest, "--json").json["request_digest"]
    approved = attack.keydeck("approvals", "approve", asked, "--digest", read, "--yes")
    assert (approved.exit_code, "is not the one that was shown" in approved.stderr) == (2, True)
    assert attack.keydeck("approvals", "approve", modest, "--digest", read.upper(), "--yes").exit_code == 0


@pytest.fixture
def shared_state(
    attack: Attack, sandbox: Sandbox, databases: Databases, database_url: str
) -> Iterator[Callable[[str], None]]:
    """Staging and production, whose journal and approvals are in one database; returns what goes to one."""
    name = str(make_url(database_url).database)
    databases.copy("installed", f"{name}_production")
    urls = {
        place: make_url(database_url).set(database=base).render_as_string(hide_password=False)
        for place, base in (("staging", name), ("production", f"{name}_production"))
    }
    attack.monkeypatch.setenv("KEYDECK_STATE_URL", database_url)

    def go(place: str) -> None:
        attack.monkeypatch.setenv("DATABASE_URL", urls[place])

    go("staging")
    yield go
    databases.drop(f"{name}_production")


@pytest.mark.deep
def test_an_approval_for_staging_is_none_for_production(
    attack: Attack, shared_state: Callable[[str], None], sandbox: Sandbox, new_key: Callable[[], str]
) -> None:
    key = new_key()
    command = ("keys", "disable", key, "--yes")
    asked = attack.ask(*command)
    digest = attack.row(asked)["digest"]
    assert attack.approve(asked).exit_code == 0
    shared_state("production")
    ran = attack.again(*command)
    assert (ran.exit_code, f"The approval of request {asked} does not hold here" in ran.stderr) == (1, True)
    state = sandbox.client("kms").describe_key(KeyId=key)["KeyMetadata"]["KeyState"]
    assert state == "Enabled"
    (waits,) = attack.listed()
    assert (waits["digest"], "_production (oid " in waits["database"]) == (digest, True)
    assert attack.row(asked)["decision"] == "approved"
    # From staging nobody approves what is about production's tokens.
    shared_state("staging")
    approved = attack.approve(waits["id"])
    assert (approved.exit_code, f"It is for the tokens in {waits['database']}" in approved.stderr) == (
        2,
        True,
    )
    assert attack.again(*command).exit_code == 0


@pytest.fixture
def false_sts() -> Iterator[str]:
    """The address of a server that calls everybody Ben."""
    body = (
        '<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">'
        f"<GetCallerIdentityResult><Arn>{BENS_ARN}</Arn><UserId>AROA:ben</UserId>"
        "<Account>123456789012</Account></GetCallerIdentityResult></GetCallerIdentityResponse>"
    )
    with answering(lambda _: (200, {"Content-Type": "text/xml"}, body.encode())) as url:
        yield url


@dataclass(slots=True)
class Disabling:
    """A key that Ana wants to disable, which a second person has to approve."""

    attack: Attack
    sandbox: Sandbox
    key: str
    approvals_key: str

    @property
    def command(self) -> tuple[str, ...]:
        return ("keys", "disable", self.key, "--yes")

    @property
    def state(self) -> str:
        return str(self.sandbox.client("kms").describe_key(KeyId=self.key)["KeyMetadata"]["KeyState"])

    def ask(self) -> str:
        return self.attack.ask(*self.command)

    def claim(self, request: str, at: str = "now()") -> None:
        """Write into the table that Ben approved a request, as whoever may write to it can."""
        self.attack.sql(
            "UPDATE keydeck.approval SET decision = 'approved', decided_by = :ben,"
            f" decided_at = {at}, decided_parts = parts WHERE id = :id",
            ben=BENS_ARN,
            id=request,
        )

    def context(self, request: str, purpose: Purpose = Purpose.APPROVE) -> dict[str, str]:
        return context_of(purpose, self.attack.services.approvals.read(UUID(request)))

    def call(self, who: str, context: dict[str, str], key: str = "") -> None:
        self.sandbox.client("kms", who).generate_data_key_without_plaintext(
            KeyId=key or self.approvals_key, KeySpec="AES_256", EncryptionContext=context
        )

    def refused(self, *parts: str, code: int = 1) -> None:
        ran = self.attack.again(*self.command)
        assert (ran.exit_code, self.state) == (code, "Enabled"), ran.stderr
        assert all(part in ran.stderr for part in parts), ran.stderr

    def done(self) -> None:
        ran = self.attack.again(*self.command)
        assert (ran.exit_code, self.state) == (0, "Disabled"), ran.stderr

    def true_approval_goes_through(self, request: str) -> None:
        self.attack.sql(
            "UPDATE keydeck.approval SET decision = 'pending', decided_by = '', decided_at = NULL,"
            " decided_parts = NULL WHERE id = :id",
            id=request,
        )
        approved = self.attack.approve(request)
        assert approved.exit_code == 0, approved.stderr
        self.done()


@pytest.fixture
def disabling(attack: Attack, sandbox: Sandbox, approvals_key: str, new_key: Callable[[], str]) -> Disabling:
    return Disabling(attack, sandbox, new_key(), approvals_key)


def event_of(disabling: Disabling, request: str, **changes: Any) -> dict[str, Any]:
    issuer = {"type": "Role", "arn": "arn:aws:iam::123456789012:role/keydeck-approver"}
    return {
        "eventVersion": "1.11",
        "userIdentity": {
            "type": "AssumedRole",
            "principalId": "AROA:ben",
            "arn": BENS_ARN,
            "accountId": "123456789012",
            "accessKeyId": BEN,
            "sessionContext": {"sessionIssuer": issuer},
        },
        "eventTime": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "eventSource": "kms.amazonaws.com",
        "eventName": "GenerateDataKeyWithoutPlaintext",
        "awsRegion": disabling.sandbox.region,
        "sourceIPAddress": "10.1.2.3",
        "userAgent": "keydeck",
        "requestParameters": {
            "keyId": disabling.approvals_key,
            "keySpec": "AES_256",
            "encryptionContext": disabling.context(request),
        },
        "responseElements": None,
        "requestID": str(uuid4()),
        "eventID": str(uuid4()),
        "readOnly": True,
        "resources": [{"accountId": "123456789012", "type": "AWS::KMS::Key", "ARN": disabling.approvals_key}],
        "eventType": "AwsApiCall",
        "managementEvent": True,
        "recipientAccountId": "123456789012",
        "eventCategory": "Management",
    } | changes


def imported(disabling: Disabling, folder: Path, *records: dict[str, Any]) -> None:
    file = folder / "events.json"
    file.write_text(json.dumps({"Records": records}))
    assert disabling.attack.keydeck("events", "import", str(file)).exit_code == 0


def test_a_true_approval_waits_for_cloudtrail_and_is_used_once_it_is_delivered(
    disabling: Disabling, sandbox: Sandbox
) -> None:
    request = disabling.ask()
    sandbox.control.delay_delivery(900)
    approved = disabling.attack.approve(request)
    assert (approved.exit_code, ADVISORY in approved.stderr) == (0, False)
    shown = disabling.attack.keydeck("approvals", "show", request, "--json").json
    assert (shown["decision"], shown["confirmed"], WAITS in shown["cloudtrail"]) == ("approved", False, True)
    disabling.refused(WAITS, "usually within 5 to 15 minutes", "Do the same again in a few minutes")
    sandbox.control.delay_delivery(0)
    shown = disabling.attack.keydeck("approvals", "show", request).stdout
    assert f"Confirmed by CloudTrail: {BENS_ARN}" in shown
    disabling.done()
    (use,) = disabling.attack.entries("approvals use")
    assert BENS_ARN in json.loads(use["detail"])["cloudtrail"]


@pytest.mark.deep
def test_a_moment_at_which_ben_signed_something_else_approves_nothing(
    disabling: Disabling, sandbox: Sandbox
) -> None:
    signing = sandbox.client("kms").create_key(KeyUsage="SIGN_VERIFY", KeySpec="ECC_NIST_P256")
    sandbox.client("kms", BEN).sign(
        KeyId=signing["KeyMetadata"]["Arn"], Message=b"a checkpoint", SigningAlgorithm="ECDSA_SHA_256"
    )
    request = disabling.ask()
    for at in ("now()", "now() - interval '5 months'"):
        disabling.claim(request, at)
        disabling.refused(WAITS)
    disabling.true_approval_goes_through(request)


@pytest.mark.deep
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {
            "eventName": "Sign",
            "requestParameters": {"keyId": "k", "messageType": "DIGEST", "signingAlgorithm": "ECDSA_SHA_256"},
        },
    ],
)
def test_an_imported_file_with_an_invented_event_turns_nothing(
    disabling: Disabling, tmp_path: Path, changes: dict[str, Any]
) -> None:
    request = disabling.ask()
    disabling.claim(request)
    disabling.refused(WAITS)
    imported(disabling, tmp_path, event_of(disabling, request, **changes))
    disabling.refused(WAITS)
    shown = disabling.attack.keydeck("approvals", "show", request, "--json").json
    assert (shown["confirmed"], WAITS in shown["cloudtrail"]) == (False, True)
    disabling.true_approval_goes_through(request)


@pytest.mark.deep
def test_an_import_over_a_delivered_event_takes_no_approval_away(
    disabling: Disabling, sandbox: Sandbox, tmp_path: Path
) -> None:
    request = disabling.ask()
    assert disabling.attack.approve(request).exit_code == 0
    found = sandbox.client("cloudtrail").lookup_events(
        LookupAttributes=[{"AttributeKey": "EventName", "AttributeValue": "GenerateDataKeyWithoutPlaintext"}],
        MaxResults=1,
    )["Events"][0]
    true = json.loads(found["CloudTrailEvent"])
    assert true["requestParameters"]["encryptionContext"] == disabling.context(request)
    ana = true["userIdentity"] | {"arn": ANAS_ARN}
    imported(disabling, tmp_path, true | {"userIdentity": ana})
    disabling.done()


def test_a_forged_use_in_the_journal_stops_no_true_approval(
    disabling: Disabling, services: Container
) -> None:
    request = disabling.ask()
    assert disabling.attack.approve(request).exit_code == 0
    with suppress(KeydeckError):  # the function may refuse it already
        services.journal.record("approvals use", "Disable it", Outcome.DONE, {"request": request})
    disabling.done()


@pytest.mark.deep
def test_whoever_asks_approves_nothing_by_another_role_of_theirs(
    disabling: Disabling, sandbox: Sandbox
) -> None:
    request = disabling.ask()
    disabling.claim(request)
    # As an operator she may not make the call at all.
    with pytest.raises(ClientError, match="AccessDenied"):
        disabling.call(ANA, disabling.context(request))
    disabling.refused(WAITS)
    for number, name in enumerate(("ana", "Ana", "botocore-session-1764144000")):
        sandbox.control.add_principal(f"ASIAANASOTHERROLE{number}", "keydeck-approver", "role", name)
        disabling.call(f"ASIAANASOTHERROLE{number}", disabling.context(request))
        disabling.refused("approved it, and is who asked for it", ANAS_ARN, code=2)
    disabling.true_approval_goes_through(request)


def test_who_asks_in_anothers_name_has_no_request(
    disabling: Disabling, sandbox: Sandbox, false_sts: str
) -> None:
    """Eve, who may approve, asks as Ben by a false STS, and approves that herself."""
    for role in ("operator", "approver"):
        sandbox.control.add_principal(f"ASIAATTACKSEVE{role}", f"keydeck-{role}", "role", "eve")
    attack = disabling.attack
    attack.monkeypatch.setenv("AWS_ENDPOINT_URL_STS", false_sts)
    attack.sit("ASIAATTACKSEVEoperator")
    assert attack.keydeck(*disabling.command).exit_code == 1
    request = str(attack.listed()[0]["id"])
    attack.monkeypatch.delenv("AWS_ENDPOINT_URL_STS")
    attack.sit("ASIAATTACKSEVEapprover")
    assert attack.keydeck("approvals", "approve", request, "--yes").exit_code == 0
    attack.monkeypatch.setenv("AWS_ENDPOINT_URL_STS", false_sts)
    attack.sit("ASIAATTACKSEVEoperator")
    ran = attack.keydeck(*disabling.command)
    assert (ran.exit_code, disabling.state) == (1, "Enabled")
    assert f"{BENS_ARN}'s request is not delivered yet" in ran.stderr


@pytest.mark.deep
@pytest.mark.parametrize("other", ["request", "digest", "database", "purpose", "more", "key"])
def test_a_call_for_anything_else_approves_nothing(
    disabling: Disabling, new_key: Callable[[], str], other: str
) -> None:
    request = disabling.ask()
    context, key = disabling.context(request), ""
    match other:
        case "request":
            another = Disabling(disabling.attack, disabling.sandbox, new_key(), disabling.approvals_key).ask()
            assert disabling.attack.approve(another).exit_code == 0
            context = disabling.context(another)
        case "key":
            key = new_key()
        case "purpose":
            context = disabling.context(request, Purpose.ASK)
        case "more":
            context["keydeck:more"] = "x"
        case _:
            context[f"keydeck:{other}"] = str(uuid4())
    # Ana's administrator lets Ben use the key as he likes: it is the call that doesn't fit.
    disabling.sandbox.client("kms").put_key_policy(KeyId=disabling.approvals_key, Policy=json.dumps(ANYBODY))
    disabling.call(BEN, context, key)
    disabling.claim(request)
    disabling.refused(WAITS)
    disabling.true_approval_goes_through(request)


@pytest.mark.deep
def test_an_approval_that_was_denied_or_used_is_not_brought_back_by_sql(disabling: Disabling) -> None:
    request = disabling.ask()
    assert disabling.attack.approve(request).exit_code == 0
    disabling.attack.sit(BEN)
    assert disabling.attack.keydeck("approvals", "deny", request, "--yes").exit_code == 0
    disabling.claim(request)
    disabling.refused(f"By CloudTrail: {BENS_ARN} denied it", code=2)
    disabling.attack.sql("DELETE FROM keydeck.approval WHERE id = :id", id=request)
    request = disabling.ask()
    assert disabling.attack.approve(request).exit_code == 0
    disabling.done()
    disabling.sandbox.client("kms").enable_key(KeyId=disabling.key)
    disabling.claim(request)
    disabling.refused("By CloudTrail: It was used before", code=2)


@pytest.mark.deep
def test_a_clock_that_goes_back_makes_no_approval_last_longer(disabling: Disabling, sandbox: Sandbox) -> None:
    request = disabling.ask()
    assert disabling.attack.approve(request).exit_code == 0
    # PostgreSQL's clock has been put back: by AWS's it is two hours later.
    sandbox.control.move_clock(datetime.now(UTC) + timedelta(hours=2))
    try:
        ran = disabling.attack.again(*disabling.command)
    finally:
        sandbox.control.move_clock(None)
    assert (ran.exit_code, disabling.state) == (2, "Enabled")
    assert "By CloudTrail: By AWS's clock it expired at" in ran.stderr


@pytest.mark.deep
def test_a_false_sts_makes_nobody_a_second_person(disabling: Disabling, false_sts: str) -> None:
    request = disabling.ask()
    attack = disabling.attack
    attack.monkeypatch.setenv("AWS_ENDPOINT_URL_STS", false_sts)
    alone = attack.keydeck("approvals", "approve", request, "--yes")
    assert (alone.exit_code, "kms:GenerateDataKeyWithoutPlaintext" in alone.stderr) == (3, True)
    assert attack.row(request)["decision"] == "pending"
    told = attack.entries("approvals approve")
    assert [e["outcome"] for e in told] == ["failed"]
    # Without an approvals key in her own settings she writes the decision alone.
    attack.monkeypatch.delenv("KEYDECK_APPROVALS_KEY")
    assert attack.keydeck("approvals", "approve", request, "--yes").exit_code == 0
    attack.monkeypatch.delenv("AWS_ENDPOINT_URL_STS")
    attack.monkeypatch.setenv("KEYDECK_APPROVALS_KEY", disabling.approvals_key)
    disabling.refused(WAITS)
    disabling.true_approval_goes_through(request)


@pytest.mark.deep
def test_where_cloudtrail_cannot_be_asked_nothing_is_done_and_the_permission_is_named(
    disabling: Disabling, sandbox: Sandbox
) -> None:
    request = disabling.ask()
    assert disabling.attack.approve(request).exit_code == 0
    sandbox.control.add_denial(Denial("*", "cloudtrail:LookupEvents"))
    shown = disabling.attack.keydeck("approvals", "show", request).stdout
    assert "CloudTrail can't be asked" in shown
    disabling.refused("cloudtrail:LookupEvents", code=3)


def test_a_request_of_the_former_form_is_over(attack: Attack, world: World) -> None:
    small, _ = small_and_large(world)
    asked = attack.ask(*small)
    attack.sql(
        "UPDATE keydeck.approval SET request_digest = '', database = '', parts = NULL, decision = 'approved',"
        " decided_by = :ben WHERE id = :id",
        ben=BENS_ARN,
        id=asked,
    )
    anew = attack.ask(*small)
    assert anew != asked
    (row,) = [a for a in attack.listed("--all") if a["id"] == asked]
    assert (row["decision"], "made by an earlier version" in row["problem"]) == ("expired", True)


def test_without_an_approvals_key_four_eyes_are_said_to_be_advisory(attack: Attack, world: World) -> None:
    small, _ = small_and_large(world)
    attack.sit(ANA)
    asking = attack.keydeck(*small)
    assert asking.stderr.count(ADVISORY) >= 1
    asked = attack.listed()[0]["id"]
    attack.sit(BEN)
    for command in (("show", asked), ("approve", asked, "--yes")):
        assert ADVISORY in attack.keydeck("approvals", *command).stderr
    used = attack.again(*small)
    assert (used.exit_code, ADVISORY in used.stderr) == (0, True)
    (use,) = attack.entries("approvals use")
    assert json.loads(use["detail"])["advisory"] is True


@pytest.mark.deep
def test_a_denial_is_in_cloudtrail_and_holds_without_it_too(disabling: Disabling) -> None:
    attack = disabling.attack
    request = disabling.ask()
    withdrawn = attack.keydeck("approvals", "deny", request, "--yes", "--json").json
    assert withdrawn["decision"] == "denied"
    (entry,) = attack.entries("approvals deny")
    assert "kms:GenerateDataKeyWithoutPlaintext" in json.loads(entry["detail"])["not_in_cloudtrail"]
    request = disabling.ask()
    attack.sit(BEN)
    denied = attack.keydeck("approvals", "deny", request, "--yes", "--json").json
    assert denied["decision"] == "denied"
    disabling.refused(f"denied by {BENS_ARN}", code=2)
