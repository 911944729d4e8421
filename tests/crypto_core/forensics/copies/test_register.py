"""Copies are registered once, journaled, and tell which keys they need; without any nothing is known."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine, text

from console.container import Container
from console.forensics.services import ForensicsServices
from console.sandbox.sandbox import Sandbox
from console.sandbox.world import World
from crypto_core.forensics.copies.register import NewCopy
from crypto_core.forensics.copies.report import CopyReport, KeyEvidence, KeyNeed
from crypto_core.keys.changes.change import ChangeKind, KeyChange
from crypto_core.values.errors import RefusedError
from tests.crypto_core.forensics.copies.test_scan_reader import COPY, NEED, UNKNOWN

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)


def holding(*needs: KeyNeed) -> CopyReport:
    return replace(COPY, needs=needs)


def under(key_arn: str, envelopes: int) -> KeyNeed:
    return replace(NEED, key_arn=key_arn, envelopes=envelopes, distinct=1, by_format={"v1": envelopes})


def test_copies_are_registered_named_taken_out_and_journaled(services: Container, world: World) -> None:
    register = services.of(ForensicsServices).copy_register
    old, new = world.old_key.arn, world.current_key.arn
    assert "not known" in next(register.needing(old).lines)

    dated = {"taken_at": datetime(2026, 11, 1, tzinfo=UTC), "kept_until": datetime(2027, 5, 1, tzinfo=UTC)}
    register.add(NewCopy("weekly", holding(under(old, 12), under(new, 3)), NOW, "s3://vault", **dated))
    register.add(NewCopy("nightly", holding(under(new, 4), replace(UNKNOWN, edk_prefix="")), NOW))
    needing = register.needing(old)
    assert [(copy.name, copy.envelopes) for copy in needing.needing] == [("weekly", 12)]
    assert [(copy.name, copy.doubtful) for copy in needing.doubtful] == [("nightly", 2)]
    lines = list(needing.lines)
    assert lines[0] == (
        "Copy weekly: 12 envelopes can't be opened without the key "
        "(taken 2026-11-01, kept until 2027-05-01, s3://vault)."
    )
    assert "nightly" in lines[1]

    with pytest.raises(RefusedError, match="registered already"):
        register.add(NewCopy("weekly", holding(), NOW))
    with pytest.raises(RefusedError, match="can't be named"):
        register.add(NewCopy("[/red]\x1b", holding(), NOW))
    register.remove("nightly")
    with pytest.raises(RefusedError, match="No copy nightly"):
        register.remove("nightly")
    register.add(NewCopy("nightly", holding(under(new, 1)), NOW))
    assert [copy.name for copy in register.copies()] == ["nightly", "weekly"]
    entries = [(e.action, e.outcome) for e in services.journal.entries() if e.action.startswith("copies")]
    assert entries == [
        ("copies add", "done"),
        ("copies add", "done"),
        ("copies add", "refused"),
        ("copies add", "refused"),
        ("copies remove", "done"),
        ("copies remove", "refused"),
        ("copies add", "done"),
    ]


def test_a_key_that_the_scan_did_not_know_is_told_once_it_is_known(services: Container, world: World) -> None:
    services.status.take_census()
    known = services.answers.known_groups()
    prefix, ((arn, material),) = next((p, w) for p, w in known.items() if len(w) == 1)
    need = KeyNeed(None, None, 5, 5, {"v1": 5}, KeyEvidence.UNKNOWN, prefix.hex(), note="KMS was not asked")
    services.of(ForensicsServices).copy_register.add(NewCopy("offline", holding(need), NOW))
    (told,) = services.of(ForensicsServices).copy_register.show("offline").holds.needs
    assert (told.key_arn, told.key_material_id, told.key_state) == (arn, material, "Enabled")


def test_a_deletion_names_the_copies_that_need_the_key(
    services: Container, sandbox: Sandbox, world: World
) -> None:
    arn = sandbox.client("kms").create_key(Description="of the test")["KeyMetadata"]["Arn"]
    change = KeyChange(ChangeKind.SCHEDULE_DELETION, key=arn)
    plan = services.key_management.changes.plan_change(change)
    assert any(w.startswith("No copies are registered") for w in plan.warnings)
    assert plan.as_json()["tokens"]["copies"]["needing"] == []

    services.of(ForensicsServices).copy_register.add(NewCopy("weekly", holding(under(arn, 12)), NOW))
    plan = services.key_management.changes.plan_change(change)
    assert any("Copy weekly" in w and "12 envelopes" in w for w in plan.warnings)
    assert not any("No copies are registered" in w for w in plan.warnings)

    other = services.key_management.changes.plan_change(replace(change, key=world.old_key.arn))
    assert any("None of the registered copies (1) needs the key" in w for w in other.warnings)


def test_a_register_that_can_t_be_read_says_that_nothing_is_known(
    services: Container, superuser: Engine, world: World
) -> None:
    with superuser.begin() as connection:
        connection.execute(text("DROP TABLE keydeck.registered_copy"))
    needing = services.of(ForensicsServices).copy_register.needing(world.old_key.arn)
    assert needing.unknown
    assert [line for line in needing.lines if "not known" in line] == list(needing.lines)
