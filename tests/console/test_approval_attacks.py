"""Four eyes under attack by whoever asks: SQL into the table, a shared state database, a false STS."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import make_url, text

from console.container import Container
from console.sandbox.endpoint import Denial
from console.sandbox.sandbox import Sandbox
from console.sandbox.world import World
from crypto_core.guard.approval_digest import parts_of, request_digest
from crypto_core.guard.approvals import ADVISORY
from tests.conftest import Databases

Keydeck = Callable[..., Any]
ANA, BEN = "ASIATESTOFATTACKSANA", "ASIATESTOFATTACKSBEN"
BENS_ARN = "arn:aws:sts::123456789012:assumed-role/keydeck-approver/ben"


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
        return str(self.keydeck("approvals", "list", "--json").json["approvals"][0]["id"])

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

    def refusals(self, action: str) -> list[str]:
        told = self.keydeck("journal", "list", "--json", "--outcome", "refused", "--action", action).json
        return [json.loads(entry["detail"])["reason"] for entry in told["entries"]]


@pytest.fixture
def attack(
    sandbox: Sandbox,
    services: Container,
    keydeck: Keydeck,
    monkeypatch: pytest.MonkeyPatch,
) -> Attack:
    sandbox.control.add_principal(ANA, "keydeck-operator", "role", "ana")
    sandbox.control.add_principal(BEN, "keydeck-approver", "role", "ben")
    monkeypatch.setenv("KEYDECK_APPROVALS", "reencrypt,keys disable")
    return Attack(keydeck, services, monkeypatch)


@pytest.fixture
def signing_key(sandbox: Sandbox, attack: Attack) -> str:
    """The configured signing key, with which Ana's role may not sign; her approvers' may."""
    made = sandbox.client("kms").create_key(KeyUsage="SIGN_VERIFY", KeySpec="ECC_NIST_P256")
    key = str(made["KeyMetadata"]["Arn"])
    attack.monkeypatch.setenv("KEYDECK_SIGNING_KEY", key)
    sandbox.control.add_denial(Denial("*keydeck-operator*", "kms:Sign"))
    return key


def small_and_large(world: World) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """A command about one token, and one about all under the old key."""
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


def test_a_rewritten_plan_is_neither_shown_for_approval_nor_approved(
    attack: Attack, services: Container, world: World
) -> None:
    large, asked, _ = as_one_token(attack, world)
    attack.sit(BEN)
    shown = attack.keydeck("approvals", "show", asked)
    problem = "Changed in the database after it was made: its summary and plan."
    told = f"Request {asked} is refused. {problem}"
    assert (shown.exit_code, shown.stdout, told in shown.stderr) == (2, "", True)
    (listed,) = [
        a for a in attack.keydeck("approvals", "list", "--json").json["approvals"] if a["id"] == asked
    ]
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


@pytest.mark.parametrize("signed", [False, True])
def test_what_was_approved_as_one_token_lets_nothing_else_run(
    attack: Attack, services: Container, world: World, request: pytest.FixtureRequest, signed: bool
) -> None:
    if signed:
        request.getfixturevalue("signing_key")
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
        assert (ran.exit_code, "has no valid signature" in ran.stderr) == (2, True)
        assert "has no valid signature" in attack.refusals("reencrypt")[-1]
    assert left(services, world) == before


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
    assert (ran.exit_code, f"Changed after {BENS_ARN} approved it: its expiry." in ran.stderr) == (
        2,
        True,
    )


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


def test_an_approval_for_staging_is_none_for_production(
    attack: Attack,
    shared_state: Callable[[str], None],
    sandbox: Sandbox,
    new_key: Callable[[], str],
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
    (waits,) = attack.keydeck("approvals", "list", "--json").json["approvals"]
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


class _FalseSts(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        body = (
            '<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">'
            f"<GetCallerIdentityResult><Arn>{BENS_ARN}</Arn><UserId>AROA:ben</UserId>"
            "<Account>123456789012</Account></GetCallerIdentityResult></GetCallerIdentityResponse>"
        ).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing on stderr."""


@pytest.fixture
def false_sts() -> Iterator[str]:
    """The address of a server that calls everybody Ben."""
    server = HTTPServer(("127.0.0.1", 0), _FalseSts)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_false_sts_makes_nobody_a_second_person_where_approvals_are_signed(
    attack: Attack, signing_key: str, false_sts: str, sandbox: Sandbox, new_key: Callable[[], str]
) -> None:
    key = new_key()
    command = ("keys", "disable", key, "--yes")

    def state() -> str:
        return str(sandbox.client("kms").describe_key(KeyId=key)["KeyMetadata"]["KeyState"])

    asked = attack.ask(*command)
    attack.monkeypatch.setenv("AWS_ENDPOINT_URL_STS", false_sts)
    alone = attack.keydeck("approvals", "approve", asked, "--yes")
    assert (alone.exit_code, "kms:Sign" in alone.stderr) == (3, True)
    assert attack.row(asked)["decision"] == "pending"
    told = attack.keydeck("journal", "list", "--json", "--action", "approvals approve").json["entries"]
    assert [(e["outcome"], "kms:Sign" in e["detail"]) for e in told] == [("failed", True)]
    # Without a signing key in her own settings she writes the decision, unsigned.
    attack.monkeypatch.delenv("KEYDECK_SIGNING_KEY")
    assert attack.keydeck("approvals", "approve", asked, "--yes").exit_code == 0
    attack.monkeypatch.delenv("AWS_ENDPOINT_URL_STS")
    attack.monkeypatch.setenv("KEYDECK_SIGNING_KEY", signing_key)
    used = attack.again(*command)
    assert (used.exit_code, "is not signed" in used.stderr, state()) == (2, True, "Enabled")
    assert "is not signed" in attack.refusals("keys disable")[-1]
    # Another request's signature is none for this one.
    assert attack.keydeck("approvals", "deny", asked, "--yes").exit_code == 0
    other = attack.ask("keys", "disable", new_key(), "--yes")
    assert attack.approve(other).json["signed_with"] == signing_key
    asked = attack.ask(*command)
    attack.sql(
        "UPDATE keydeck.approval a SET decision = b.decision, decided_by = b.decided_by,"
        " decided_at = b.decided_at, decided_parts = a.parts, key_arn = b.key_arn,"
        " algorithm = b.algorithm, signature = b.signature FROM keydeck.approval b"
        " WHERE a.id = :id AND b.id = :other",
        id=asked,
        other=other,
    )
    used = attack.again(*command)
    assert (used.exit_code, "has no valid signature" in used.stderr, state()) == (2, True, "Enabled")
    # Ben himself approves, and it runs.
    assert attack.keydeck("approvals", "deny", asked, "--yes").exit_code == 0
    asked = attack.ask(*command)
    approved = attack.approve(asked)
    assert (approved.exit_code, ADVISORY in approved.stderr) == (0, False)
    assert (attack.again(*command).exit_code, state()) == (0, "Disabled")


def test_an_approval_that_was_used_is_not_made_unused_by_sql_nor_copied(
    attack: Attack, signing_key: str, sandbox: Sandbox, new_key: Callable[[], str]
) -> None:
    key = new_key()
    command = ("keys", "disable", key, "--yes")
    asked = attack.ask(*command)
    assert attack.approve(asked).exit_code == 0
    assert attack.again(*command).exit_code == 0
    sandbox.client("kms").enable_key(KeyId=key)
    attack.sql("UPDATE keydeck.approval SET decision = 'approved' WHERE id = :id", id=asked)
    ran = attack.again(*command)
    assert (ran.exit_code, "was used before, as the journal has it" in ran.stderr) == (2, True)
    columns = ", ".join(name for name in attack.row(asked) if name != "id")
    attack.sql(
        f"INSERT INTO keydeck.approval (id, {columns}) SELECT gen_random_uuid(), {columns}"
        " FROM keydeck.approval WHERE id = :id",
        id=asked,
    )
    attack.sql("DELETE FROM keydeck.approval WHERE id = :id", id=asked)
    ran = attack.again(*command)
    assert (ran.exit_code, "its number." in ran.stderr) == (2, True)
    (copy,) = attack.keydeck("approvals", "list", "--all", "--json").json["approvals"]
    attack.reseal(copy["id"], decided=True)
    ran = attack.again(*command)
    assert (ran.exit_code, "has no valid signature" in ran.stderr) == (2, True)


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
    (row,) = [
        a
        for a in attack.keydeck("approvals", "list", "--all", "--json").json["approvals"]
        if a["id"] == asked
    ]
    assert (row["decision"], "made by an earlier version" in row["problem"]) == ("expired", True)


def test_without_a_signing_key_four_eyes_are_said_to_be_advisory(attack: Attack, world: World) -> None:
    small, _ = small_and_large(world)
    attack.sit(ANA)
    asking = attack.keydeck(*small)
    assert asking.stderr.count(ADVISORY) >= 1
    asked = attack.keydeck("approvals", "list", "--json").json["approvals"][0]["id"]
    attack.sit(BEN)
    for command in (("show", asked), ("approve", asked, "--yes")):
        assert ADVISORY in attack.keydeck("approvals", *command).stderr
    used = attack.again(*small)
    assert (used.exit_code, ADVISORY in used.stderr) == (0, True)
    (use,) = attack.keydeck("journal", "list", "--json", "--action", "approvals use").json["entries"]
    assert json.loads(use["detail"])["advisory"] is True


@pytest.fixture
def fetched(attack: Attack, sandbox: Sandbox) -> Callable[[], None]:
    """Fetch CloudTrail's events, as an operator does."""

    def fetch() -> None:
        sandbox.control.set_lookup_throttle(None)
        assert attack.keydeck("events", "pull", "--since", "1h").exit_code == 0

    return fetch


def test_who_may_sign_and_forges_an_approval_is_told_by_cloudtrail(
    attack: Attack,
    signing_key: str,
    false_sts: str,
    fetched: Callable[[], None],
    sandbox: Sandbox,
    new_key: Callable[[], str],
) -> None:
    sandbox.control.clear()  # Ana's role may sign, too.
    key = new_key()
    command = ("keys", "disable", key, "--yes")
    asked = attack.ask(*command)
    attack.monkeypatch.setenv("AWS_ENDPOINT_URL_STS", false_sts)
    forged = attack.keydeck("approvals", "approve", asked, "--yes", "--json")
    assert (forged.json["decision"], forged.json["decided_by"]) == ("approved", BENS_ARN)
    attack.monkeypatch.delenv("AWS_ENDPOINT_URL_STS")
    shown = attack.keydeck("approvals", "show", asked).stdout
    assert "Not yet confirmed by CloudTrail" in shown
    fetched()
    anas_arn = BENS_ARN.replace("keydeck-approver/ben", "keydeck-operator/ana")
    told = f"By CloudTrail {anas_arn} signed at that time, not {BENS_ARN}."
    assert told in attack.keydeck("approvals", "show", asked, "--json").json["problem"]
    ran = attack.again(*command)
    assert (ran.exit_code, told in ran.stderr, told in attack.refusals("keys disable")[-1]) == (2, True, True)
    assert sandbox.client("kms").describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "Enabled"


def test_events_that_cannot_be_read_keep_nothing_from_being_done(
    attack: Attack, signing_key: str, new_key: Callable[[], str], tmp_path: Path
) -> None:
    command = ("keys", "disable", new_key(), "--yes")
    asked = attack.ask(*command)
    assert attack.approve(asked).exit_code == 0
    (tmp_path / "notes").write_bytes(b"my notes " * 500)
    attack.monkeypatch.setenv("KEYDECK_EVENTS_FILE", str(tmp_path / "notes"))
    assert "Not confirmed by CloudTrail: " in attack.keydeck("approvals", "show", asked).stdout
    assert attack.again(*command).exit_code == 0


@pytest.mark.parametrize("known", [False, True])
def test_a_true_approval_is_confirmed_by_cloudtrail_once_it_is_fetched(
    attack: Attack,
    signing_key: str,
    fetched: Callable[[], None],
    new_key: Callable[[], str],
    known: bool,
) -> None:
    command = ("keys", "disable", new_key(), "--yes")
    asked = attack.ask(*command)
    assert attack.approve(asked).json["signed_with"] == signing_key
    if known:
        fetched()
    words = "Confirmed by CloudTrail." if known else "Not yet confirmed by CloudTrail"
    assert words in attack.keydeck("approvals", "show", asked).stdout
    assert attack.again(*command).exit_code == 0
    (use,) = attack.keydeck("journal", "list", "--json", "--action", "approvals use").json["entries"]
    assert json.loads(use["detail"])["cloudtrail"].startswith(words)


def test_a_denial_is_signed_and_holds_without_a_signature_too(
    attack: Attack, signing_key: str, new_key: Callable[[], str]
) -> None:
    command = ("keys", "disable", new_key(), "--yes")
    asked = attack.ask(*command)
    withdrawn = attack.keydeck("approvals", "deny", asked, "--yes", "--json").json
    assert (withdrawn["decision"], withdrawn["signed_with"]) == ("denied", None)
    (entry,) = attack.keydeck("journal", "list", "--json", "--action", "approvals deny").json["entries"]
    assert "kms:Sign" in json.loads(entry["detail"])["unsigned"]
    asked = attack.ask(*command)
    attack.sit(BEN)
    denied = attack.keydeck("approvals", "deny", asked, "--yes", "--json").json
    assert (denied["decision"], denied["signed_with"]) == ("denied", signing_key)
    ran = attack.again(*command)
    assert (ran.exit_code, f"denied by {BENS_ARN}" in ran.stderr) == (2, True)
