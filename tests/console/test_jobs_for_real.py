"""A job from its plan to its end over PostgreSQL and KMS, by one process and by several."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Engine, text

from console.sandbox.sandbox import Sandbox
from console.sandbox.world import World
from tests.console.command_types import Keydeck, NewKey


def remove_corrupt(superuser: Engine, world: World) -> None:
    """Leave only tokens that open."""
    with superuser.begin() as connection:
        for ref in world.corrupt:
            connection.execute(text(f"DELETE FROM {ref.table} WHERE id::text = :id"), {"id": ref.row_id})


def tokens_by_key(keydeck: Keydeck) -> Counter[str]:
    """How many tokens are under each key, all its materials together."""
    found = Counter[str]()
    for share in keydeck("status", "--json").json["keys"]:
        found[share["key_arn"]] += share["tokens"]
    return found


@contextmanager
def granted(sandbox: Sandbox, key: str, principal: str) -> Iterator[None]:
    """Let somebody decrypt under a key that other tests use too, for a while."""
    kms = sandbox.client("kms")
    made = kms.create_grant(KeyId=key, GranteePrincipal=principal, Operations=["Decrypt"])
    try:
        yield
    finally:
        kms.revoke_grant(KeyId=key, GrantId=made["GrantId"])


@pytest.mark.deep
@pytest.mark.parametrize(("processes", "rate"), [("1", "500"), ("2", "40")])
def test_a_job_empties_a_key_and_its_document_adds_up(
    keydeck: Keydeck, world: World, superuser: Engine, new_key: NewKey, processes: str, rate: str
) -> None:
    """So slow that another process finds work once it has started."""
    remove_corrupt(superuser, world)
    assert keydeck("init").exit_code == 0
    old, new = world.current_key.arn, new_key()
    under = tokens_by_key(keydeck)
    ran = keydeck(
        *("reencrypt", "--from", old, "--to", new, "--job", "--yes", "--json"),
        *("--processes", processes, "--rate", rate, "--verify", "kms", "--except", "*"),
    )
    assert ran.exit_code == 0, ran.stdout[-3000:]
    document = ran.json
    assert (document["done"], document["poisoned"], document["remaining"]) == (under[old], 0, 0)
    assert document["planned"] == under[old]
    assert document["kms_calls"] >= 3 * under[old]
    job = str(document["job"])
    after = tokens_by_key(keydeck)
    assert old not in after
    assert after[new] == under[old]
    shown = keydeck("jobs", "show", job, "--json")
    assert shown.exit_code == 0
    assert len(shown.json["runners"]) == int(processes)
    assert shown.json["census_before"]["tokens"] == shown.json["census_after"]["tokens"]
    assert keydeck("jobs", "list", "--json").json["jobs"][0]["job"] == int(job)
    verified = keydeck("verify", "--all", "--trust", new).stdout.splitlines()
    assert all("stored in" in line for line in verified if "not opened" in line), verified
    assert keydeck("jobs", "pause", job).exit_code == 2
    assert keydeck("jobs", "retry", job).stderr == f"Job {job} has no token that could not be written.\n"
    assert keydeck("jobs", "join", job).exit_code == 0


@pytest.mark.deep
def test_tokens_that_cant_be_written_are_told_with_their_reasons_and_the_rest_is_written(
    keydeck: Keydeck, world: World, new_key: NewKey
) -> None:
    assert keydeck("init").exit_code == 0
    ran = keydeck(
        *("reencrypt", "--from", world.current_key.arn, "--to", new_key(), "--job", "--yes", "--json"),
        *("--except", "*"),
    )
    assert ran.exit_code == 1
    assert ran.json["poisoned"] > 0
    assert ran.json["done"] + ran.json["poisoned"] == ran.json["planned"]
    job = str(ran.json["job"])
    shown = keydeck("jobs", "show", job, "--errors", "--json")
    assert shown.exit_code == 1
    told = shown.json["not_written"]
    assert len(told) == ran.json["poisoned"]
    assert {one["reference"] for one in told} <= {str(ref) for ref in world.corrupt}
    assert all(one["reason"] for one in told)
    assert keydeck("jobs", "retry", job).exit_code == 0
    assert keydeck("jobs", "join", job, "--json").json["poisoned"] == len(told)


@pytest.mark.deep
def test_a_dry_run_names_who_would_lose_access_and_yes_does_not_pass_it(
    keydeck: Keydeck, world: World, sandbox: Sandbox, new_key: NewKey
) -> None:
    assert keydeck("init").exit_code == 0
    old, new = world.current_key.arn, new_key()
    backup = "arn:aws:iam::123456789012:role/backup"
    with granted(sandbox, old, backup):
        arguments = ("reencrypt", "--from", old, "--to", new, "--job")
        plan = keydeck(*arguments, "--dry-run", "--json").json
        assert any(loss.startswith("role/backup") for loss in plan["losses"])
        assert plan["estimated_dollars"] > 0
        assert plan["quota"] == 100_000
        refused = keydeck(*arguments, "--yes")
        assert refused.exit_code == 2
        assert "role/backup" in refused.stderr
        assert keydeck("jobs", "list", "--json").json["jobs"] == []
        accepted = keydeck(*arguments, "--except", backup, "--dry-run", "--json").json
        assert not any(loss.startswith("role/backup") for loss in accepted["losses"])


@pytest.mark.deep
def test_a_job_is_undone_and_what_it_replaced_is_forgotten(
    keydeck: Keydeck, world: World, superuser: Engine, new_key: NewKey
) -> None:
    remove_corrupt(superuser, world)
    assert keydeck("init").exit_code == 0
    old, new = world.current_key.arn, new_key()
    before = tokens_by_key(keydeck)[old]
    moved = keydeck("reencrypt", "--from", old, "--to", new, "--job", "--yes", "--json", "--except", "*")
    job = str(moved.json["job"])
    assert keydeck("jobs", "restore", job).exit_code == 2
    plan = keydeck("jobs", "restore", job, "--dry-run", "--json").json
    assert plan == {"dry_run": True, "restores": int(job), "tokens": before, "keys": [old]}
    ran = keydeck("jobs", "restore", job, "--yes", "--json")
    assert (ran.exit_code, ran.json["done"], ran.json["restores"]) == (0, before, int(job)), ran.stdout
    assert tokens_by_key(keydeck)[old] == before
    assert keydeck("backups", "purge", "--dry-run", "--json").json["envelopes"] == 2 * before
    assert keydeck("backups", "purge").exit_code == 2
    assert keydeck("backups", "purge", "--job", job, "--yes", "--json").json["purged"] == before
    assert keydeck("jobs", "restore", job, "--yes").exit_code == 2
    assert keydeck("--read-only", "backups", "purge", "--yes").exit_code == 2


@pytest.mark.parametrize("few", [0, 200], ids=["a job", "no job"])
def test_what_is_selected_is_planned_once_and_journaled_once_as_a_dry_run(
    keydeck: Keydeck, world: World, new_key: NewKey, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    monkeypatch.setattr("console.commands.reencryption.FEW", few)
    assert keydeck("init").exit_code == 0
    ran = keydeck("reencrypt", "--from", world.old_key.arn, "--to", new_key(), "--dry-run", "--json")
    assert ("quota" in ran.json) == (few == 0)
    entries = keydeck("journal", "list", "--json").json["entries"]
    assert [entry["outcome"] for entry in entries if entry["action"] == "reencrypt"] == ["dry run"]
