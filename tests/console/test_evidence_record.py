"""keydeck evidence record: the sandbox measured, kept, and read again as it was."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from sqlalchemy import Engine, text

from console.container import Container
from console.sandbox.world import World
from crypto_core.compliance.assessment import assess
from crypto_core.compliance.snapshot import SnapshotPart
from crypto_core.guard.outcome import Outcome
from tests.console.command_types import Keydeck
from tests.console.shapes import assert_shape


def test_a_record_holds_what_was_measured_and_is_kept_once_it_is_agreed_to(
    keydeck: Keydeck, services: Container, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = keydeck("evidence", "record")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "Without a terminal it needs --yes; --dry-run only looks." in refused.stderr
    drafted = keydeck("evidence", "record", "--dry-run", "--json")
    assert (drafted.exit_code, drafted.json["written"], drafted.json["number"]) == (0, False, 1)
    assert services.record_book.last() is None
    assert_shape("evidence-record", drafted.json)

    ran = keydeck("evidence", "record", "--yes", "--json")
    made = services.record_book.last()
    assert made is not None
    assert_shape("evidence-record", ran.json)
    assert (ran.exit_code, ran.json["sha256"], ran.json["number"]) == (0, made.digest.hex(), 1)
    assert "no signing key is configured" in ran.json["unsigned_because"]
    told = json.loads(made.document)
    assert set(told["snapshot"]["parts"]) == {part.value for part in SnapshotPart}
    assert {one["id"] for one in told["catalogues"]} >= {"soc2-tsc", "pci-dss"}
    assert ran.json["bytes"] == len(made.document) < 40_000
    # It comes to what controls come to now, also after it was kept.
    now = {j.control.id: j.status for j in services.compliance.assess_now().judgements}
    then = assess(services.controls.read(), made.snapshot)
    assert {j.control.id: j.status for j in then.judgements} == now

    key = services.kms.call("CreateKey", KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")
    arn = str(key["KeyMetadata"]["Arn"])
    monkeypatch.setenv("KEYDECK_SIGNING_KEY", arn)
    signed = keydeck("evidence", "record", "--yes")
    assert signed.exit_code == 0
    assert f"Signed by ECDSA_SHA_256 of {arn}." in signed.stdout
    assert "Record 2 of" in signed.stdout
    # A key that is set and can't sign: kept all the same, and it is said.
    services.kms.call("DisableKey", KeyId=arn)
    broken = keydeck("evidence", "record", "--yes")
    assert broken.exit_code == 3
    assert "Not signed:" in broken.stderr
    kept = services.record_book.records(made.day, made.day + timedelta(days=1))
    assert [one.number for one in kept] == [1, 2, 3]
    assert services.record_book.check(kept).problems == ()


def test_a_record_names_no_token_row_organisation_or_address_and_outlives_their_rows(
    keydeck: Keydeck, services: Container, world: World, superuser: Engine
) -> None:
    github = [ref for ref in world.sealed_under(world.old_key) if ref.table == "gh_connection"]
    with superuser.begin() as connection:
        # Rows that findings and operations name: one envelope in two rows, a row in plaintext, one rewrapped.
        connection.execute(text("UPDATE gh_connection SET org_id = 'canary-org', user_id = 'canary-user'"))
        connection.execute(text("UPDATE confluence_connection SET email = 'canary@example.com'"))
        connection.execute(
            text("UPDATE gh_connection SET refresh_token = access_token WHERE id = :id"),
            {"id": github[1].row_id},
        )
        ids = connection.scalars(text("SELECT id FROM gh_connection")).all()
    assert keydeck("rewrap", str(github[0]), "--to", world.current_key.arn, "--yes").exit_code == 0
    services.journal.record(
        "findings suppress", f"some-rule about {github[0]}", Outcome.DONE, {"reason": "x"}
    )
    assert keydeck("evidence", "record", "--yes").exit_code == 0
    first = services.record_book.last()
    assert first is not None
    tokens = {world.token_for(ref) for ref in world.tokens}
    held = [one for one in (*ids, *tokens, "canary-org", "canary-user", "canary@") if len(one) > 4]
    assert len(held) > 100
    assert [one for one in held if one in first.document] == []
    assert "gh_connection.access_token (a row)" in first.document

    with superuser.begin() as connection:
        for table in ("gh_connection", "jira_connection", "slack_connection", "confluence_connection"):
            connection.execute(text(f"DELETE FROM {table}"))
    assert keydeck("evidence", "record", "--yes").exit_code in (0, 3)
    kept = services.record_book.records(first.day, first.day + timedelta(days=1))
    assert [one.number for one in kept] == [1, 2]
    assert services.record_book.check(kept).problems == ()
