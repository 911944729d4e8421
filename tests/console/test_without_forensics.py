"""What the core says of tokens' other rows, of leaked ones and of their index where forensics is left out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from console import capabilities
from console.container import Container
from console.sandbox.world import World
from console.settings import load
from crypto_core.values.errors import SettingsError
from tests.console.command_types import Keydeck
from tests.console.test_incident_scope import NOWHERE, START, github

LEFT_OUT = "is not installed: this installation leaves the capability forensics out."
REFUSED = "token_index needs the capability forensics, which this installation leaves out."
SEARCH, INDEX = f"The search for leaked tokens {LEFT_OUT}", f"The index of tokens {LEFT_OUT}"


@pytest.fixture(autouse=True)
def without_forensics(monkeypatch: pytest.MonkeyPatch) -> None:
    here = tuple(one for one in capabilities.manifests() if one.name != "forensics")
    monkeypatch.setattr(capabilities, "manifests", lambda: here)


def test_providers_events_in_the_store_that_nothing_examines_are_a_gap(services: Container) -> None:
    now = datetime.now(UTC)

    def gaps() -> list[str]:
        reasons = services.trail.rules.examine_events(now - timedelta(days=1), now).coverage.reasons
        return [reason for reason in reasons if LEFT_OUT in reason]

    assert gaps() == []
    with services.trail.events.file.writing() as connection:
        connection.exec_driver_sql("CREATE TABLE provider_event (id INTEGER)")
    said = f"keydeck events provider {LEFT_OUT}"
    assert gaps() == [f"Providers' events are in the store, and not examined: {said}"]


def test_a_leak_declares_nothing_and_is_not_read(
    services: Container, keydeck: Keydeck, tmp_path: Path
) -> None:
    for option, value in (("--secret", str(tmp_path / "none")), ("--hashed-token", f"{'A' * 43}=")):
        refused = keydeck(*START, option, value, "--json")
        assert (refused.exit_code, refused.stdout) == (2, "")
        assert refused.stderr.splitlines()[-1] == f"Error: {SEARCH}"
    assert keydeck("incident", "list", "--json").json["incidents"] == []


def test_an_incident_by_references_does_not_know_whether_other_rows_hold_its_tokens(
    services: Container, world: World, keydeck: Keydeck
) -> None:
    assert keydeck(*START, "--token", str(github(world))).exit_code == 0
    checked = keydeck("incident", "check", "1", "scope")
    assert checked.exit_code == 0
    said = " ".join(checked.stdout.split())
    assert f"Not known: whether other rows hold the same tokens. {INDEX}" in said
    assert "No other row holds" not in said


def test_an_index_that_nothing_would_keep_up_is_refused(
    services: Container, keydeck: Keydeck, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = github(world)
    assert services.inspector.inspect_token(ref, ask_kms=False).shared_with is None
    monkeypatch.setenv("KEYDECK_TOKEN_INDEX", "1")
    with pytest.raises(SettingsError, match=REFUSED):
        Container(load().settings)
    before = services.store.read_token(ref).digest
    rewrap = ("rewrap", str(ref), "--to", world.current_key.arn, "--yes")
    for command in (("status",), ("--read-only", "status"), rewrap, ("doctor",), ("settings",)):
        ran = keydeck(*command)
        assert (ran.exit_code, REFUSED in ran.stdout + ran.stderr) == (2, True), command
    assert services.store.read_token(ref).digest == before


def test_the_command_says_so_and_repeats_no_token(keydeck: Keydeck) -> None:
    asked = keydeck("whose", NOWHERE)
    assert (asked.exit_code, NOWHERE in asked.stderr, LEFT_OUT in asked.stderr) == (2, False, True)
