"""Changes and uses since the record before: from CloudTrail's events and the journal, without a row's id."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from console.container import Container
from console.evidence.services import EvidenceServices
from console.sandbox.sandbox import Sandbox
from console.sandbox.world import World
from crypto_core.compliance import change_reader
from crypto_core.compliance.facts import (
    ChangeFact,
    ChangeFacts,
    FactKind,
    FindingFacts,
    GuardingKeyFacts,
    IncidentFacts,
    PartFacts,
    UseFacts,
)
from crypto_core.compliance.journal_changes import counted_by_column, without_rows
from crypto_core.compliance.measurement import materials_of
from crypto_core.compliance.snapshot import Snapshot, SnapshotPart
from crypto_core.compliance.snapshot_reader import SnapshotReader
from crypto_core.guard.guarded_change import Outcome
from crypto_core.incidents.model import IncidentScope
from crypto_core.keys.state import KeyMaterial
from crypto_core.values.clean_text import clean
from tests.console.command_types import Keydeck
from tests.crypto_core.checked import checked
from tests.crypto_core.compliance.snapshots import DAY, NOW
from tests.crypto_core.compliance.test_measurement import STATE, share, status

ANYBODY = {"Sid": "H", "Effect": "Allow", "Principal": "*", "Action": "kms:Decrypt", "Resource": "*"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("gh_connection.access_token:gh 42, and more", "gh_connection.access_token (a row)"),
        ("two rows: connectors.secret_json:7#bot", "two rows: connectors.secret_json (a row)"),
        ("Re-encrypt tenant_1.gh_connection:x", "Re-encrypt tenant_1.gh_connection (a row)"),
        ("event-key-policy about arn:aws:kms:eu-west-1:1:key/a", None),
        ("alias/tokens: kms:Decrypt; s3://b/k; https://h/x; incident INC-4; 12:30", None),
        ("session of ana.b@example.com, twice", "session of (address), twice"),
    ],
)
def test_texts_keep_columns_and_keys_and_lose_rows_and_addresses(text: str, told: str | None) -> None:
    assert without_rows(text) == (text if told is None else told)


def test_references_are_counted_by_column() -> None:
    assert counted_by_column(["a.t:1", "b.t:1", "a.t:2"]) == "a.t: 2 tokens, b.t: 1 token"


def test_the_state_of_a_material_follows_from_kms_and_from_incidents() -> None:
    def standings(**fields: Any) -> list[str]:
        compromised = fields.pop("compromised", ())
        return [one.standing for one in materials_of(replace(STATE, **fields), None, compromised)]

    assert standings() == ["deactivated", "deactivated", "active"]
    told = tuple(
        KeyMaterial(name, clean(state), NOW)
        for name, state in (("a", "NON_CURRENT"), ("b", "CURRENT"), ("c", "PENDING_ROTATION"))
    )
    assert standings(materials=told) == ["deactivated", "active", "pre-active"]
    for state in ("Disabled", "PendingDeletion", "PendingReplicaDeletion", "Unavailable"):
        assert set(standings(state=clean(state))) == {"suspended"}
    assert set(standings(state=clean("PendingImport"))) == {"pre-active"}
    assert set(standings(state=None)) == {""}
    gone = (KeyMaterial("a", None, NOW, import_state=clean("PENDING_IMPORT")),)
    assert standings(materials=gone) == ["destroyed"]
    assert standings(compromised=[NOW - 100 * DAY]) == ["compromised", "compromised", "active"]
    counted = materials_of(STATE, status(share("old", 3), share("new", 4)))
    assert [one.tokens for one in counted] == [3, 0, 4]


def assert_records_examine_since_the_one_before(reader: SnapshotReader) -> None:
    def since(*, record: bool, before: PartFacts | None = None) -> datetime | None:
        last = Snapshot(NOW - 3 * DAY, {SnapshotPart.EVENTS: before} if before else {})
        asked = replace(made, before=lambda: last, clock=lambda: NOW)
        found = asked.take([SnapshotPart.EVENTS], since_record=record).part(SnapshotPart.EVENTS)
        assert isinstance(found, FindingFacts)
        return found.since

    made = reader.take.__self__  # type: ignore[attr-defined]  # not what stands for it
    hour = timedelta(hours=1)
    looked = FindingFacts((), until=NOW - 3 * DAY)
    recent = FindingFacts((), until=NOW - hour)
    assert since(record=True, before=looked) == NOW - 3 * DAY - hour
    assert since(record=True, before=recent) == NOW - DAY
    assert since(record=True) == NOW - 4 * DAY - hour
    last_day = since(record=False, before=looked)
    assert last_day is not None
    assert timedelta(0) <= datetime.now(UTC) - DAY - last_day < timedelta(minutes=5)


def read(services: Container) -> tuple[ChangeFacts, UseFacts]:
    snapshot = services.of(EvidenceServices).snapshots.take([SnapshotPart.CHANGES, SnapshotPart.USES])
    changes, uses = snapshot.part(SnapshotPart.CHANGES), snapshot.part(SnapshotPart.USES)
    assert isinstance(changes, ChangeFacts)
    assert isinstance(uses, UseFacts)
    return changes, uses


@pytest.mark.deep
def test_changes_and_uses_are_read_from_events_and_journal_with_what_each_opened(
    keydeck: Keydeck,
    services: Container,
    sandbox: Sandbox,
    world: World,
    new_key: Callable[[], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    changes, uses = read(services)
    assert (changes.changes, uses.uses) == ((), ())
    assert all("nothing was fetched" in gap or "not fetched" in gap for gap in (*changes.gaps, *uses.gaps))
    assert changes.gaps
    (ref,) = world.sealed_under(world.old_key)[:1]
    key, kms = world.current_key.arn, sandbox.client("kms")
    assert keydeck("rewrap", str(ref), "--to", key, "--yes").exit_code == 0
    narrow = kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"]
    policy = json.loads(narrow)
    wide = json.dumps(policy | {"Statement": [*policy["Statement"], ANYBODY]})
    kms.put_key_policy(KeyId=key, PolicyName="default", Policy=wide, BypassPolicyLockoutSafetyCheck=True)
    kms.put_key_policy(KeyId=key, PolicyName="default", Policy=narrow)
    kms.create_grant(KeyId=key, GranteePrincipal="arn:aws:iam::999999999999:role/x", Operations=["Decrypt"])
    another = new_key()
    checked(services.journal, "approvals approve", f"Re-encrypt {ref}", {"request": "r-1"})
    services.journal.record("keys disable", "alias/x", Outcome.REFUSED)
    services.journal.record("keys retire-grant", "alias/x", Outcome.DONE)  # of an earlier version
    assert keydeck("events", "pull", "--yes").exit_code == 0

    assert_records_examine_since_the_one_before(services.of(EvidenceServices).snapshots)
    changes, uses = read(services)
    assert changes.gaps == ()
    told = [(one.kind, one.what, one.opens, one.closes) for one in changes.changes if one.subject == key]
    assert (FactKind.POLICY, "PutKeyPolicy", "open to everybody", False) in told
    assert (FactKind.POLICY, "PutKeyPolicy", "", True) in told
    granted = "granted arn:aws:iam::999999999999:role/x Decrypt"
    assert (FactKind.POLICY, "CreateGrant", granted, False) in told
    made = {one.subject for one in changes.changes if one.what == "CreateKey"}
    assert another in made
    journaled = [one for one in changes.changes if one.source == "journal"]
    assert [(one.kind, one.what, one.subject, one.outcome) for one in journaled] == [
        (FactKind.REENCRYPTION, "rewrap", f"{ref.table}.{ref.column} (a row)", "done"),
        (FactKind.APPROVAL, "approvals approve", f"Re-encrypt {ref.table}.{ref.column} (a row)", "done"),
        (FactKind.OPERATION, "keys retire-grant", "alias/x", "done"),
    ]
    assert journaled[0].detail == f"under {key}; done 1"
    assert f":{ref.row_id}" not in str(changes)
    digest = next(one.detail for one in changes.changes if one.closes)
    keys = services.of(EvidenceServices).snapshots.take([SnapshotPart.KEYS]).part(SnapshotPart.KEYS)
    assert isinstance(keys, GuardingKeyFacts)
    assert f"policy {next(one.policy_sha256 for one in keys.keys if one.arn == key)}" == digest
    assert {one.purpose for one in keys.keys if one.writes} == {"data keys of tokens"}
    # The same ids the next day, and what there is no room for is counted.
    monkeypatch.setattr(change_reader, "MOST_CHANGES", 3)
    few, _ = read(services)
    assert few.changes == changes.changes[:3]
    left = len(changes.changes) - len(journaled) - 3
    assert f"CloudTrail events: {left} more than a record has room for are left out" in few.gaps


def test_uses_are_counted_by_who_called_what_with_which_key(keydeck: Keydeck, services: Container) -> None:
    """The sandbox's traffic of the last days, up to an hour ago."""
    assert keydeck("events", "pull", "--yes").exit_code == 0
    _, uses = read(services)
    assert uses.until - uses.since == timedelta(days=1)
    assert uses.uses
    assert {one.action for one in uses.uses} <= {
        "Decrypt",
        "GenerateDataKey",
        "GenerateDataKeyWithoutPlaintext",
    }
    for one in uses.uses:
        assert one.calls >= one.denied >= 0
        assert one.key.startswith("arn:aws:kms:")


def test_a_run_is_one_change_by_the_entry_that_began_it(services: Container) -> None:
    def entry(outcome: Outcome, **detail: object) -> None:
        services.journal.record("reencrypt", "tokens of gh_connection.access_token", outcome, detail)

    decided = {"plan": "d", "decided_by": "arn:aws:iam::1:user/ben"}
    checked(services.journal, "approvals use", "x", decided)
    entry(Outcome.STARTED, run="r-1", plan="d", job=7)
    entry(Outcome.DONE, run="r-1", plan="d", job=7, references=["a.t:1", "a.t:2"])
    entry(Outcome.STARTED, run="r-2", plan="e")
    entry(Outcome.DONE, run="r-1", plan="d", job=7, run_ended=True, done=12)
    entry(Outcome.STARTED, run="r-3", plan="f")
    entry(Outcome.FAILED, run="r-3", plan="f", run_ended=True)
    changes, _ = read(services)
    assert [brief(one) for one in changes.changes] == [
        ("jobs", "7", "done", "arn:aws:iam::1:user/ben", "done 12"),
        ("journal", "4", "begun, its end is not on record", "", ""),
        ("journal", "6", "failed", "", ""),
    ]


def brief(one: ChangeFact) -> tuple[str, ...]:
    return one.source, one.id, one.outcome, one.approved_by, one.detail


def test_every_incident_is_read_however_many_there_are(
    services: Container, forge: Callable[..., None]
) -> None:
    scope = IncidentScope(references=("gh_connection.access_token:gh-1",))
    services.incident_response.incidents.declare("token-compromise", scope)
    forge(
        "CREATE TEMP TABLE more AS SELECT incident.* FROM keydeck.incident, generate_series(1, 200)",
        "UPDATE more SET id = nextval(pg_get_serial_sequence('keydeck.incident', 'id'))",
        "INSERT INTO keydeck.incident OVERRIDING SYSTEM VALUE SELECT * FROM more",
    )
    found = services.of(EvidenceServices).snapshots.take([SnapshotPart.INCIDENTS]).known(IncidentFacts)
    assert found is not None
    assert len(found.incidents) == 201
