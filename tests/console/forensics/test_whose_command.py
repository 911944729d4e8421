"""keydeck whose: which rows hold a token, what that is worth, and that the token itself is nowhere."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from console.container import Container
from console.sandbox.world import World
from crypto_core.envelope import Format
from crypto_core.values.references import TokenRef
from tests.console.command_types import Keydeck
from tests.console.shapes import assert_shape
from tests.console.test_start import below, loaded_by

NOWHERE = "ghp_" + "NoWhere9" * 4


@pytest.fixture
def leak(tmp_path: Path) -> Callable[[str], str]:
    """Write a file that only its owner may read; returns its path."""

    def write(content: str) -> str:
        path = tmp_path / "leak"
        path.touch(mode=0o600)
        path.write_text(content)
        return str(path)

    return write


def enter(monkeypatch: pytest.MonkeyPatch, content: str) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content.encode())))


def github(world: World, number: int = 0) -> TokenRef:
    refs = world.sealed_under(world.current_key)
    return [r for r in refs if (r.table, r.column) == ("gh_connection", "access_token")][number]


def empty_what_does_not_open(world: World, platform: Engine) -> None:
    with platform.begin() as connection:
        for ref, token in world.tokens.items():
            if token.corruption is not None or token.format is Format.UNRECOGNISED:
                statement = text(f"UPDATE {ref.table} SET {ref.column} = '' WHERE id::text = :id")
                connection.execute(statement, {"id": ref.row_id})


def test_rows_are_named_and_the_answer_says_whether_it_is_certain(
    services: Container,
    world: World,
    keydeck: Keydeck,
    platform: Engine,
    leak: Callable[[str], str],
    monkeypatch: pytest.MonkeyPatch,
    superuser: Engine,
) -> None:
    first, second = github(world, 0), github(world, 1)
    plain = next(r for r in world.plaintext_refs if r.table == "slack_connection")
    report = [{"RuleID": "x", "Secret": world.token_for(ref)} for ref in (first, plain, second)]
    report.append({"RuleID": "[/red]\x1b[2J\u202e", "Secret": NOWHERE})
    file = leak("[\n" + ",\n".join(map(json.dumps, report)) + "\n]")
    ran = keydeck("whose", "--file", file, "--json")
    assert (ran.exit_code, ran.json["held"], ran.json["certain"]) == (1, 3, False)
    assert ran.json["lines_without_token"] == 2
    found = {tuple(token["lines"]): token["found"] for token in ran.json["tokens"]}
    assert found == {(2,): [str(first)], (3,): [str(plain)], (4,): [str(second)], (5,): []}
    assert not ran.json["coverage"]["complete"]
    for token in ran.json["tokens"]:
        assert_shape("whose", token)
    written = keydeck("whose", "--file", file)
    assert f"Line 2 (github ghs, 40 characters): held by 1 row: {first}" in written.stdout
    assert "Line 5 (github ghp, 36 characters): held by no row that could be looked at." in written.stdout
    assert "The answer is not complete" in written.stderr
    assert "4 lines may hold a token that was not recognised" in written.stdout
    empty_what_does_not_open(world, platform)
    enter(monkeypatch, NOWHERE)
    proved = keydeck("whose")
    assert (proved.exit_code, proved.stdout.splitlines()[0]) == (0, "The token: held by no row.")
    enter(monkeypatch, f"GITHUB_TOKEN={world.token_for(first)}\nDEBUG=1\n")
    settings = keydeck("whose", "--json")
    assert (settings.exit_code, settings.json["tokens"][0]["found"]) == (0, [str(first)])
    enter(monkeypatch, f"TOKEN={world.token_for(first)}\nOTHER='{NOWHERE[4:]}'\n")
    partly = keydeck("whose")
    assert partly.exit_code == 1
    assert "2 lines may hold a token that was not recognised" in partly.stdout
    enter(monkeypatch, base64.b64encode(hashlib.sha256(world.token_for(first).encode()).digest()).decode())
    hashed = keydeck("whose", "--json")
    assert (hashed.exit_code, hashed.json["tokens"][0]["found"]) == (0, [str(first)])
    outputs = "\n".join(r.stdout + r.stderr for r in (ran, written, proved, settings, partly, hashed))
    assert "\x1b" not in outputs
    for token in (NOWHERE, *map(world.token_for, (first, second, plain))):
        assert token not in outputs
        assert token[4:16] not in outputs
    with superuser.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM keydeck.journal")) == 0


def test_an_incident_is_declared_about_the_rows_that_were_found(
    services: Container,
    world: World,
    keydeck: Keydeck,
    leak: Callable[[str], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ref = github(world)
    file = leak(f"{NOWHERE}\n{world.token_for(ref)}\n")
    declared = keydeck("whose", "--file", file, "--declare", "--title", "leak", "--json")
    assert (declared.exit_code, declared.json["incident"]) == (1, 1)
    shown = keydeck("incident", "show", "1", "--json")
    assert shown.json["scope"]["references"] == [str(ref)]
    assert (shown.json["title"], shown.json["runbook"]["id"]) == ("leak", "token-compromise")
    assert shown.json["scope"]["found_by"].startswith("a leaked token: 1 of 2 tokens found")
    assert NOWHERE not in shown.stdout + declared.stdout + declared.stderr
    enter(monkeypatch, NOWHERE)
    nothing = keydeck("whose", "--declare", "--json")
    assert (nothing.exit_code, nothing.json["incident"]) == (1, None)
    assert "No incident was declared" in nothing.stderr
    monkeypatch.setenv("KEYDECK_READ_ONLY", "1")
    refused = keydeck("whose", "--file", file, "--declare")
    assert refused.exit_code == 2
    assert len(keydeck("incident", "list", "--json").json["incidents"]) == 1


def test_what_is_no_safe_way_to_give_a_token_is_refused_and_not_repeated(
    services: Container, keydeck: Keydeck, leak: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for arguments in ((NOWHERE,), ("--file", NOWHERE), ("index", NOWHERE)):
        refused = keydeck("whose", *arguments)
        assert refused.exit_code == 2
        assert "have it issued again" in refused.stderr
        assert NOWHERE not in refused.stdout + refused.stderr
    file = leak(NOWHERE)
    Path(file).chmod(0o640)
    assert keydeck("whose", "--file", file).exit_code == 2
    assert "chmod 600" in keydeck("whose", "--file", file).stderr
    assert keydeck("whose", "--title", "x").exit_code == 2
    for hostile in ("", "[/red]\x1b[2J", "x y " * 2_000_000, "\x00\ufffe"):
        enter(monkeypatch, hostile)
        refused = keydeck("whose")
        assert (refused.exit_code, len(refused.stderr) < 1_000) == (1, True)
        assert "\x1b" not in refused.stderr


def test_the_command_draws_in_no_screen(tmp_path: Path) -> None:
    assert not below("textual", loaded_by("import console.forensics.whose", tmp_path))
