"""What is kept of use: facts for v2, what could have been for v1, and what none of it covers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine

from console.sandbox.endpoint import Denial
from console.sandbox.sandbox import Sandbox
from console.sandbox.world import World
from crypto_core.envelope import Format
from crypto_core.incidents.runbooks.catalogue import CaptureKind
from crypto_core.keyring.cipher import TokenCipher
from crypto_core.lists.paging import Query
from crypto_core.values.errors import RefusedError
from crypto_core.values.references import TokenRef
from tests.crypto_core.incidents.tokens.staging import Stage
from tests.crypto_core.trail.records import NOW, event, user
from tests.platform_rows import put

HOSTILE = "[/red]\x1b]0;x\x07\u202e"


def test_who_opened_a_token_is_told_apart_from_who_could_have(
    stage: Stage, world: World, platform: Engine
) -> None:
    v1, v2 = [r for r in world.sealed_under(world.current_key) if r.table == "gh_connection"][:2]
    cipher = TokenCipher(stage.container.keyring, write_format=Format.V2)
    put(platform, v2, cipher.encrypt("ghp_" + "b" * 36, ref=v2).stored)
    key, material = world.tokens[v1].key_arn, world.tokens[v1].key_material_id
    used = {"key": key, "additionalEventData": {"keyMaterialId": material}}
    context = {"keydeck:table": v2.table, "keydeck:column": v2.column, "keydeck:id": v2.row_id}
    stage.container.trail.events.add(
        [
            event(ago=60, who=user("stranger"), context=context, userAgent=HOSTILE, **used),
            event(ago=50, who=user("stranger"), **used),
            event(ago=40, who=user("ana"), **used),
            event(ago=timedelta(days=3), who=user("stranger"), context=context, **used),
        ]
    )
    stage.about(v1, v2, since=NOW - timedelta(hours=1))
    told = stage.capture(CaptureKind.BLAST_RADIUS)
    assert [(o["principal"].rpartition("/")[2], o["tokens"], o["calls"]) for o in told["opened"]] == [
        ("stranger", 1, 2)
    ]
    could = {o["principal"].rpartition("/")[2]: (o["tokens"], o["calls"]) for o in told["could_have_opened"]}
    assert could == {"ana": (1, 1), "stranger": (1, 1)}
    assert not told["coverage"]["complete"]
    assert [t["reference"] for t in told["by_token"]] == sorted(map(str, (v1, v2)))
    events = stage.capture(CaptureKind.EVENTS)
    (opened,) = [one for one in events["events"] if one["name"] == "Decrypt"]
    assert opened["principal"].endswith("stranger")
    assert {one["name"] for one in events["events"]} <= {"Decrypt", "GenerateDataKey"}
    assert any("v1" in reason for reason in events["coverage"]["reasons"])
    assert not [c for c in str(opened["user_agent"]) if not c.isprintable()]
    of_key = stage.about(key=key, since=NOW - timedelta(hours=1)).capture(CaptureKind.EVENTS)
    users = [one["principal"].rpartition("/")[2] for one in of_key["events"]]
    assert sorted(user for user in users if user in ("ana", "stranger")) == ["ana", "stranger", "stranger"]
    assert stage.capture(CaptureKind.BLAST_RADIUS)["events"] == of_key["number"]


def test_the_rows_are_kept_without_a_token_or_an_envelope(
    stage: Stage, world: World, platform: Engine
) -> None:
    of = {t.column: r for r, t in world.tokens.items() if t.corruption is None and t.format is Format.V1}
    github, jira = of["gh_connection.access_token"], of["jira_connection.access_token"]
    plain = world.plaintext_refs[0]
    stage.about(github, jira, plain)
    told = stage.capture(CaptureKind.TOKENS)
    assert (told["number"], told["whole"], told["gaps"]) == (3, True, [])
    assert {row["reference"]: row["format"] for row in told["rows"]}[str(plain)] == "plaintext"
    assert len({row["stored"] for row in told["tokens"]} | {row["token"] for row in told["tokens"]}) == 6
    with pytest.raises(RefusedError, match="no liveness to keep yet"):
        stage.capture(CaptureKind.LIVENESS)
    with platform.connect() as connection:
        envelope = connection.exec_driver_sql(
            "SELECT access_token FROM gh_connection WHERE id = %s", (github.row_id,)
        ).scalar()
    kept = stage.everything_kept()
    for secret in (str(envelope), *(world.token_for(ref) for ref in (github, jira, plain))):
        assert secret not in kept


def test_a_token_is_marked_the_same_only_within_its_incident(stage: Stage, world: World) -> None:
    ref: TokenRef = world.sealed_under(world.current_key)[0]
    first = stage.about(ref).capture(CaptureKind.TOKENS)["tokens"][0]
    assert first == stage.again().capture(CaptureKind.TOKENS)["tokens"][0]
    stage.incident = stage.another(8)
    other = stage.capture(CaptureKind.TOKENS)["tokens"][0]
    assert not {first["stored"], first["token"]} & {other["stored"], other["token"]}


def test_the_events_about_the_tokens_keys_are_fetched_before_they_are_kept(
    stage: Stage, world: World, sandbox: Sandbox
) -> None:
    kms = sandbox.client("kms")
    blob = kms.encrypt(KeyId=world.current_key.arn, Plaintext=b"x")["CiphertextBlob"]
    kms.decrypt(CiphertextBlob=blob, KeyId=world.current_key.arn)
    (ref,) = [r for r in world.sealed_under(world.current_key) if r.table == "gh_connection"][:1]
    stage.about(ref, since=datetime.now(UTC) - timedelta(hours=1))
    assert stage.container.trail.events.count(Query("")) == 0
    told = stage.capture(CaptureKind.EVENTS)
    assert told["not_fetched"] == []
    assert stage.container.trail.events.count(Query("name:Decrypt")) > 0
    radius = stage.capture(CaptureKind.BLAST_RADIUS)
    assert radius["could_have_opened"]


def test_events_that_can_not_be_fetched_are_a_gap_of_what_is_kept(
    stage: Stage, world: World, sandbox: Sandbox
) -> None:
    (ref,) = [r for r in world.sealed_under(world.current_key) if r.table == "gh_connection"][:1]
    stage.about(ref, since=datetime.now(UTC) - timedelta(hours=1))
    sandbox.control.add_denial(Denial("*", "cloudtrail:LookupEvents", "*"))
    try:
        denied = stage.capture(CaptureKind.EVENTS)
    finally:
        sandbox.control.clear()
    assert "cloudtrail:LookupEvents" in " ".join(denied["not_fetched"])
    assert set(denied["not_fetched"]) <= set(denied["coverage"]["reasons"])


def test_tokens_whose_key_kms_does_not_tell_are_a_gap_of_the_events(
    stage: Stage, world: World, sandbox: Sandbox
) -> None:
    refs = [r for r in world.sealed_under(world.old_key) if r.table == "gh_connection"][:2]
    stage.about(*refs, since=datetime.now(UTC) - timedelta(hours=1))
    sandbox.control.add_denial(Denial("*", "kms:Decrypt", "*"))
    try:
        told = stage.capture(CaptureKind.EVENTS)
    finally:
        sandbox.control.clear()
    assert told["not_fetched"] == [
        f"The key of {len(refs)} tokens is not known: events about it were not fetched."
    ]
