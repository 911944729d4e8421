"""keydeck incident start by what leaked: what is found, what is told, and what is kept."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from pathlib import Path

import pytest
from sqlalchemy import Engine

from console.container import Container
from console.sandbox.world import World
from tests.console.test_incident_scope import NOWHERE, START, Keydeck, everything_stored, github


def test_an_incident_is_declared_about_the_rows_that_hold_the_tokens_of_a_file(
    services: Container, world: World, keydeck: Keydeck, tmp_path: Path, superuser: Engine
) -> None:
    first, second = github(world, 0), github(world, 1)
    tokens = [world.token_for(first), "", NOWHERE, f"  {world.token_for(second)}\r"]
    leaked = tmp_path / "leaked"
    leaked.touch(0o600)
    leaked.write_text("\n".join(tokens))
    declared = keydeck(*START, "--secret", str(leaked), "--json")
    assert declared.exit_code == 1
    assert set(declared.json["scope"]["references"]) == {str(first), str(second)}
    assert declared.json["scope"]["found_by"].startswith("a leaked token: 2 of 3 tokens found; ")
    assert [(t["line"], bool(t["found"])) for t in declared.json["search"]["tokens"]] == [
        (1, True),
        (3, False),
        (4, True),
    ]
    assert "Line 3 (github ghp, 36 characters): held by no row that could be looked at." in declared.stderr
    shown = keydeck("incident", "show", "1")
    assert "found by  a leaked token: 2 of 3 tokens found" in shown.stdout
    report = keydeck("incident", "report", "1")
    assert "Found by" in report.stdout
    told = "\n".join(
        (declared.stdout, declared.stderr, shown.stdout, report.stdout, everything_stored(superuser))
    )
    for token in filter(None, map(str.strip, tokens)):
        assert token not in told
        assert hashlib.sha256(token.encode()).hexdigest() not in told


def test_a_report_is_read_as_whose_reads_it(
    services: Container, world: World, keydeck: Keydeck, tmp_path: Path
) -> None:
    ref = github(world)
    digest = base64.b64encode(hashlib.sha256(world.token_for(ref).encode()).digest()).decode()
    leaked = tmp_path / "leaked"
    leaked.touch(0o600)
    for content, remark in (
        (f"{digest}\n{digest}\n".encode(), ""),
        (world.token_for(ref).encode("utf-16"), ""),
        (f'[{{"Secret": "{world.token_for(ref)}"}},\n{{}}]'.encode(), "1 line may hold a token"),
        (f"{world.token_for(ref)}\nshort".encode(), "1 line not looked for"),
    ):
        leaked.write_bytes(content)
        declared = keydeck(*START, "--secret", str(leaked), "--json")
        assert str(ref) in declared.json["scope"]["references"]
        assert declared.json["scope"]["found_by"].find("1 of 1 token found") > 0
        assert declared.json["search"]["lines_without_token"] == bool(remark)
        for kept in (declared.stderr, declared.json["scope"]["found_by"]):
            assert remark in kept
        assert ("1 line" in kept) is bool(remark)


def test_a_token_comes_by_standard_input_and_none_as_an_argument(
    services: Container, world: World, keydeck: Keydeck, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = github(world)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(world.token_for(ref).encode() + b"\n")))
    declared = keydeck(*START, "--secret", "-", "--json")
    assert (declared.exit_code, str(ref) in declared.json["scope"]["references"]) == (0, True)
    argument = keydeck(*START, "--secret", NOWHERE)
    assert argument.exit_code == 2
    assert len(json.loads(keydeck("incident", "list", "--json").stdout)["incidents"]) == 1


def test_without_a_row_no_incident_is_declared(services: Container, keydeck: Keydeck, tmp_path: Path) -> None:
    leaked = tmp_path / "leaked"
    leaked.touch(0o600)
    leaked.write_text(NOWHERE)
    nowhere = keydeck(*START, "--secret", str(leaked), "--json")
    assert (nowhere.exit_code, nowhere.json["incident"]) == (1, None)
    assert "No incident was declared." in nowhere.stderr
    assert NOWHERE not in nowhere.stdout + nowhere.stderr
    for hostile in (b"", b"\xff\xfe\x00", b"ghp_a b", b"x" * 10_000_000, b"[/red]\x1b[2J " * 9):
        leaked.write_bytes(hostile)
        refused = keydeck(*START, "--secret", str(leaked))
        assert refused.exit_code == 2
        assert all(letter == "\n" or letter.isprintable() for letter in refused.stderr)
        assert "xxxx" not in refused.stderr
    assert keydeck("incident", "list").stderr.startswith("No incidents.")


def test_githubs_hash_finds_the_row_and_one_way_is_enough(
    services: Container, world: World, keydeck: Keydeck, tmp_path: Path
) -> None:
    ref = github(world)
    digest = base64.b64encode(hashlib.sha256(world.token_for(ref).encode()).digest()).decode()
    declared = keydeck(*START, "--hashed-token", digest, "--everywhere", "--json")
    assert declared.exit_code == 0
    assert str(ref) in declared.json["scope"]["references"]
    assert declared.json["search"]["columns_left_out"] == []
    assert declared.json["scope"]["found_by"].startswith("GitHub's hashed_token: 1 of 1 token found")
    leaked = tmp_path / "leaked"
    leaked.touch(0o600)
    leaked.write_text(NOWHERE)
    for more in (("--token", str(ref)), ("--filter", "org:x"), ("--secret", str(leaked))):
        assert keydeck(*START, "--hashed-token", digest, *more).exit_code == 2
    assert keydeck(*START, "--hashed-token", "[/red]").exit_code == 2
