"""keydeck abilities: what it prints, whom it asks, what it keeps, and in which order it puts tokens."""

from __future__ import annotations

import csv
import io
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from console.container import Container
from console.forensics.services import ForensicsServices
from console.sandbox.provider_abilities import truth_of
from console.sandbox.provider_tokens import MARKER
from console.sandbox.providers_control import ProviderControl
from console.sandbox.world import World
from crypto_core.values.references import TokenRef
from tests.console.command_types import Keydeck
from tests.console.shapes import assert_shape


def some(world: World, table: str, number: int) -> list[TokenRef]:
    whole = (ref for ref, token in sorted(world.tokens.items()) if token.corruption is None)
    return [ref for ref in whole if ref.table == table and ref.column != "refresh_token"][:number]


def test_tokens_are_asked_about_once_kept_for_the_operator_alone_and_put_in_order(
    keydeck: Keydeck, services: Container, world: World, providers: ProviderControl
) -> None:
    slack, wiki = some(world, "slack_connection", 2), some(world, "confluence_connection", 1)
    refs = [*slack, *wiki]
    texts = [str(ref) for ref in refs]
    refused = keydeck("abilities", *texts)
    assert refused.exit_code == 2
    assert "--yes" in refused.stderr
    nothing = keydeck("abilities", *texts, "--kept", "--json")
    assert (nothing.exit_code, nothing.json["abilities"]) == (1, [])
    assert not nothing.json["coverage"]["complete"]
    assert providers.calls() == ()

    providers.revoke(world.token_for(slack[0]))
    asked = keydeck("abilities", *texts, "--yes", "--json")
    assert asked.exit_code == 0, asked.stderr
    for row in asked.json["abilities"]:
        assert_shape("abilities", row)
    by_name = {row["reference"]: row for row in asked.json["abilities"]}
    assert by_name[texts[0]]["liveness"] == "dead"
    assert by_name[texts[1]]["scopes"] == list(truth_of(world.token_for(slack[1])).slack_scopes)
    calls = len(providers.calls())
    assert calls >= 4
    kept = services.of(ForensicsServices).abilities_file
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600

    again = keydeck("abilities", *texts, "--yes", "--order", "--json")
    assert len(providers.calls()) == calls
    order = again.json["order"]
    assert [row["rank"] for row in order] == [1, 2, 3]
    assert (order[-1]["reference"], order[-1]["dead"], order[-1]["score"]) == (texts[0], True, 0)
    for row in order:
        assert_shape("order", row)
        assert row["score"] == min(row["damage"], 100) * row["exposure"]
        assert all(reason["sentence"] and reason["certainty"] for reason in row["reasons"])
    rows = list(
        csv.DictReader(io.StringIO(keydeck("abilities", *texts, "--kept", "--order", "--csv").stdout))
    )
    assert [row["reference"] for row in rows] == [row["reference"] for row in order]
    shown = keydeck("abilities", texts[1], "--kept").stdout
    assert "Scopes:" in shown
    text = keydeck("abilities", *texts, "--kept", "--order")
    assert "Worst first" in text.stdout
    assert MARKER not in asked.stdout + asked.stderr + again.stdout + shown + text.stdout
    assert MARKER.encode() not in kept.read_bytes()


def test_the_tokens_of_an_incident_are_ordered_by_what_its_suspects_did(
    keydeck: Keydeck, services: Container, world: World
) -> None:
    assert keydeck("init").exit_code == 0
    refs = [str(ref) for ref in some(world, "slack_connection", 2)]
    declared = keydeck(
        *("incident", "start", "token-compromise", "--token", refs[0], "--token", refs[1], "--json")
    )
    name = f"INC-{declared.json['incident']}"
    ran = keydeck("abilities", "--incident", name, "--kept", "--order", "--json")
    assert {row["reference"] for row in ran.json["order"]} == set(refs)
    assert ran.exit_code == 1  # nobody was asked
    reasons = [reason["sentence"] for reason in ran.json["order"][0]["reasons"]]
    assert any("counted as everything" in reason for reason in reasons)


@pytest.mark.deep
def test_a_run_that_was_killed_goes_on_where_it_was(
    keydeck: Keydeck, services: Container, world: World, providers: ProviderControl
) -> None:
    arguments = ("abilities", "--filter", "provider:slack", "--yes")
    refs, asking = some(world, "slack_connection", 100), services.of(ForensicsServices).abilities
    killed = subprocess.Popen(
        [sys.executable, "-m", "console", *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    until = time.monotonic() + 60
    while len(asking.kept(refs)) < 3 and time.monotonic() < until:
        time.sleep(0.05)
    killed.kill()
    killed.wait()
    kept = asking.kept(refs)
    assert 3 <= len(kept) < len(refs)
    asked = len([call for call in providers.calls() if call.path == "/api/auth.test"])
    ran = keydeck(*arguments, "--json")
    assert {row["reference"] for row in ran.json["abilities"]} == set(map(str, refs))
    again = len([call for call in providers.calls() if call.path == "/api/auth.test"]) - asked
    assert again == len(refs) - len(kept)
    assert asking.kept(refs).items() >= kept.items()


@pytest.mark.parametrize(
    "arguments", [(), ("gh_connection:1", "--incident", "INC-1"), ("--incident", "x"), ("--incident", "-7")]
)
def test_what_names_no_tokens_is_wrong_usage(keydeck: Keydeck, arguments: tuple[str, ...]) -> None:
    assert keydeck("abilities", *arguments).exit_code == 2


def test_a_file_that_is_not_the_operators_is_not_used(
    keydeck: Keydeck, services: Container, world: World, tmp_path: Path
) -> None:
    kept = services.of(ForensicsServices).abilities_file
    kept.parent.mkdir(parents=True, exist_ok=True)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.touch()
    kept.unlink(missing_ok=True)
    kept.symlink_to(elsewhere)
    ran = keydeck("abilities", str(some(world, "slack_connection", 1)[0]), "--kept")
    kept.unlink()
    assert ran.exit_code == 3
    assert "is not a plain file of yours" in ran.stderr
    assert elsewhere.read_bytes() == b""
