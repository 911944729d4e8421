"""keydeck tripwire: as text and as JSON, and what status and connections say of decoys then."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine

from console.container import Container
from console.sandbox.world import World
from crypto_core.forensics.tripwires import service
from tests.console.command_types import Keydeck
from tests.crypto_core.forensics.tripwires.conftest import let_add_rows


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "FRESH_SECONDS", 0)


@pytest.mark.deep
def test_a_tripwire_is_added_listed_and_removed_from_the_command_line(
    keydeck: Keydeck, services: Container, superuser: Engine
) -> None:
    let_add_rows(superuser)
    add = ("tripwire", "add", "--table", "gh_connection", "--new-key", "--set", "org_id=org-nobody")
    dry = keydeck(*add, "--dry-run")
    assert (dry.exit_code, 'org_id: "org-nobody"' in dry.stdout) == (0, True)
    assert keydeck("tripwire", "list").stdout.startswith("There is no tripwire.")
    assert keydeck(*add).exit_code == 2
    made = keydeck(*add, "--yes", "--json").json
    assert (made["tripwire"], made["state"]["stands"]) == (1, True)
    (ref,) = made["state"]["decoys"]

    listed = keydeck("tripwire", "list", "--json")
    assert listed.exit_code == 0
    assert listed.json["tripwires"] == [made["state"]]
    assert listed.json["list_key"].startswith("arn:aws:kms:")
    assert f"● 1: {ref}, as it was made" in keydeck("tripwire", "list").stdout
    assert "tripwires: 1 decoy of 1 tripwire, in no number here" in keydeck("status").stdout
    rows = keydeck("connections", "--json").json["connections"]
    assert {row["tripwire"] for row in rows if row["reference"] == ref} == {1}
    assert {row["tripwire"] for row in rows} == {None, 1}
    assert "nobody legitimate opens it" in keydeck("inspect", ref).stdout
    assert keydeck("verify", ref).exit_code != 0

    assert keydeck("tripwire", "reseal", "--yes").exit_code == 0
    assert keydeck("tripwire", "remove", "1", "--dry-run", "--json").json["rows"] == [ref]
    assert keydeck("tripwire", "remove", "1", "--yes", "--json").json["state"] is None
    assert keydeck("tripwire", "remove", "1", "--yes").exit_code == 2


@pytest.mark.deep
def test_the_list_goes_to_the_new_key_with_the_switch_and_no_key_is_taken_from_under_it(
    keydeck: Keydeck, services: Container, superuser: Engine, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = world.old_key.arn, world.current_key.arn
    monkeypatch.setenv("TOKEN_ENCRYPTION_KEY_ID", old)
    monkeypatch.setenv("KEYDECK_TRUSTED_KEYS", new)
    let_add_rows(superuser)
    add = ("tripwire", "add", "--table", "gh_connection", "--new-key", "--yes")
    assert keydeck(*add).exit_code == 0
    assert keydeck("reencrypt", "--from", old, "--to", new, "--yes").exit_code == 0
    refused = keydeck("keys", "disable", old, "--yes")
    assert (refused.exit_code, "(TOKEN_ENCRYPTION_KEY_ID)" in refused.stderr) == (2, True)

    monkeypatch.setenv("TOKEN_ENCRYPTION_KEY_ID", new)
    monkeypatch.setenv("KEYDECK_TRUSTED_KEYS", old)

    def switch() -> tuple[str, list[str]]:
        steps = keydeck("keys", "replace", old, "--by", new, "--json").json["steps"]
        (found,) = (step for step in steps if step["step"] == "switch")
        return found["state"], [one["text"] for one in found["do"]]

    assert switch() == ("now", ["keydeck tripwire reseal"])
    for taken in (("disable", old), ("schedule-deletion", old)):
        refused = keydeck("keys", *taken, "--yes")
        assert (refused.exit_code, "keydeck tripwire reseal" in refused.stderr) == (2, True)
    assert keydeck("tripwire", "reseal", "--yes").exit_code == 0
    assert switch() == ("done", [])
    assert keydeck("keys", "disable", old, "--yes").exit_code == 0
    listed = keydeck("tripwire", "list", "--json")
    assert (listed.exit_code, listed.json["list_key"]) == (0, new)


def test_a_value_without_its_column_is_wrong_usage(keydeck: Keydeck) -> None:
    ran = keydeck("tripwire", "add", "--table", "gh_connection", "--set", "org")
    assert (ran.exit_code, "--set COLUMN=VALUE" in ran.stderr) == (2, True)
