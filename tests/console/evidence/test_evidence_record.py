"""keydeck evidence record: the sandbox measured, kept, and read again as it was."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import time_machine
from sqlalchemy import Engine, text

from console.checks.diagnosis import connection_areas
from console.container import Container
from console.evidence.services import EvidenceServices
from console.sandbox.world import World
from console.settings import LoadedSettings
from crypto_core.compliance.assessment import assess
from crypto_core.compliance.facts import UseFacts
from crypto_core.compliance.snapshot import SnapshotPart
from crypto_core.diagnosis.check import Check, CheckOutcome
from crypto_core.guard.guarded_change import Outcome
from crypto_core.proof.forms import canonical
from tests.console.command_types import Keydeck
from tests.console.shapes import assert_shape
from tests.crypto_core.compliance.records.recorded import move_clock, records_of, signer_of

HOSTILE = "quarter\x1b[31m [/red] \u202e of gh_connection.access_token:gh-42 by ana@example.com"


@pytest.mark.deep
def test_a_review_shows_who_may_and_who_did_and_is_noted_with_its_digest(
    keydeck: Keydeck, services: Container, world: World
) -> None:
    assert keydeck("events", "pull", "--yes").exit_code == 0

    def answered() -> dict[str, str]:
        judged = services.of(EvidenceServices).compliance.assess_now("soc2").judgements
        (one,) = (j for j in judged if j.control.number == "CC6.1")
        return {name: str(answer.status) for name, answer in one.answers}

    assert answered()["accesses-reviewed"] == "not met"
    refused = keydeck("evidence", "review", "--reason", "x")
    assert refused.exit_code == 2
    shown = keydeck("evidence", "review", "--reason", "x", "--dry-run")
    assert "role/keydeck-platform" in shown.stdout
    assert "Decrypt" in shown.stdout
    empty = keydeck("evidence", "review", "--reason", " ", "--yes")
    assert "A review needs a reason" in empty.stderr

    ran = keydeck("evidence", "review", "--reason", HOSTILE, "--yes", "--json")
    looked = ran.json
    assert looked["recorded"] is True
    body = {name: looked[name] for name in ("keys", "accesses", "uses", "since", "until", "gaps")}
    assert hashlib.sha256(canonical(body).encode()).hexdigest() == looked["sha256"]
    assert world.current_key.arn in looked["keys"]
    assert any("Decrypt" in one["actions"] for one in looked["accesses"])
    (entry,) = [
        e for e in services.journal.entries() if e.action == "evidence review" and e.outcome == "done"
    ]
    assert json.loads(entry.detail)["accesses"] == looked["sha256"]
    for hidden in ("gh-42", "ana@", "\\u001b", "\\u202e"):
        assert hidden not in entry.detail

    uses = services.of(EvidenceServices).snapshots.take([SnapshotPart.USES]).part(SnapshotPart.USES)
    assert isinstance(uses, UseFacts)
    (review,) = uses.reviews
    assert (review.id, review.accesses, set(review.keys)) == (
        str(entry.seq),
        looked["sha256"],
        set(looked["keys"]),
    )
    assert review.reason == "quarter [/red]  of gh_connection.access_token (a row)"
    assert answered()["accesses-reviewed"] == "met"
    # The next one begins where this one ended.
    again = keydeck("evidence", "review", "--reason", "x", "--dry-run", "--json").json
    assert again["since"] >= looked["until"][:16]


def test_a_watch_records_once_a_day_and_doctor_tells_days_without_a_record(
    services: Container, superuser: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look() -> Check:
        (database, *_) = connection_areas(LoadedSettings(settings=services.settings, origins={}))
        return next(one for one in database.find(Event()) if one.name == "records of evidence")

    assert (look().outcome, "None was made yet" in look().said) == (CheckOutcome.OK, True)
    of_service = pytest.importorskip("console.service.duties")
    (duty,) = (one for one in of_service.DUTIES if one.name == "evidence")
    work = of_service.DutyWork(services, None, None, Event(), telling=False)
    assert duty.run(work).startswith("record 1, unsigned")
    assert duty.run(work) == ""
    assert "1 record of the last 30 days unsigned" in look().said

    signed = records_of(services, signer_of(services)).recorder
    for days in (1, 4):
        move_clock(superuser, f"{days} days")
        with time_machine.travel(datetime.now(UTC) + timedelta(days=days)):
            if days == 4:
                assert "None since." in look().said
            signed.record_day()
    with time_machine.travel(datetime.now(UTC) + timedelta(days=4)):
        assert ": 2 days." in look().said


def test_what_is_printed_runs_daily_by_one_at_a_time_and_holds_no_secret(
    keydeck: Keydeck, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:canary-secret@h/d")
    command = tmp_path / "100% x" / "keydeck"
    command.parent.mkdir()
    command.write_text("#!/bin/sh\n")
    command.chmod(0o755)
    monkeypatch.setattr(sys, "argv", [str(command)])
    cron = keydeck("evidence", "schedule")
    assert re.search(r"^[1-5]?[0-9] 2 \* \* \* ", cron.stdout, re.MULTILINE)
    assert "keydeck' evidence record --yes" in cron.stdout
    assert r"100\% x" in cron.stdout
    assert "keydeck grants operator" in cron.stderr
    assert "canary" not in cron.stdout + cron.stderr


def test_a_record_holds_what_was_measured_and_is_kept_once_it_is_agreed_to(
    keydeck: Keydeck, services: Container, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = keydeck("evidence", "record")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "Without a terminal it needs --yes; --dry-run only looks." in refused.stderr
    drafted = keydeck("evidence", "record", "--dry-run", "--json")
    assert (drafted.exit_code, drafted.json["written"], drafted.json["number"]) == (0, False, 1)
    assert services.of(EvidenceServices).record_book.last() is None
    assert_shape("evidence-record", drafted.json)

    ran = keydeck("evidence", "record", "--yes", "--json")
    made = services.of(EvidenceServices).record_book.last()
    assert made is not None
    assert_shape("evidence-record", ran.json)
    assert (ran.exit_code, ran.json["sha256"], ran.json["number"]) == (0, made.digest.hex(), 1)
    assert "no signing key is configured" in ran.json["unsigned_because"]
    told = json.loads(made.document)
    assert set(told["snapshot"]["parts"]) == {part.value for part in SnapshotPart}
    assert {one["id"] for one in told["catalogues"]} >= {"soc2-tsc", "pci-dss"}
    assert ran.json["bytes"] == len(made.document) < 40_000
    # It comes to what controls come to now, also after it was kept.
    now = {j.control.id: j.status for j in services.of(EvidenceServices).compliance.assess_now().judgements}
    then = assess(services.of(EvidenceServices).controls.read(), made.snapshot)
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
    kept = services.of(EvidenceServices).record_book.records(made.day, made.day + timedelta(days=1))
    assert [one.number for one in kept] == [1, 2, 3]
    assert services.of(EvidenceServices).record_book.check(kept).problems == ()


@pytest.mark.deep
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
    first = services.of(EvidenceServices).record_book.last()
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
    kept = services.of(EvidenceServices).record_book.records(first.day, first.day + timedelta(days=1))
    assert [one.number for one in kept] == [1, 2]
    assert services.of(EvidenceServices).record_book.check(kept).problems == ()
