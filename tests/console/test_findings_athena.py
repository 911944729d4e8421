"""keydeck findings --engine athena: what it may cost is said, it takes a yes, and nothing is stored."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from console.sandbox.world import World
from crypto_core.trail.event import CLOUDTRAIL, KMS, S3
from crypto_core.trail.sources.engines.pushed_rules import RECORD_COLUMNS
from tests.conftest import Ran
from tests.crypto_core.trail.records import record, user
from tests.crypto_core.trail.sources.engine_server import serving
from tests.crypto_core.trail.sources.trino import TrinoServer, table_metadata

Keydeck = Callable[..., Ran]
HOSTILE = "\x1b]0;owned\x07[bold]OK[/]\u202e because nobody may"


def test_rules_are_asked_of_athena_after_a_yes(
    keydeck: Keydeck, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], world: World
) -> None:
    at = datetime.now(UTC) - timedelta(minutes=5)
    told = record(
        "DisableKey",
        key=world.current_key.arn,
        eventTime=at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        userAgent=HOSTILE,
        who=user(HOSTILE),
        requestParameters={"keyId": world.current_key.arn},
    )
    table = ("findings", "--engine", "athena", "audit.logs")
    with serving(TrinoServer([told], table_metadata())) as server:
        server.states = [("SUCCEEDED", 123_456)]
        server.prepare((KMS, CLOUDTRAIL, S3), RECORD_COLUMNS)
        monkeypatch.setenv("AWS_ENDPOINT_URL_ATHENA", server.url)
        monkeypatch.setenv("KEYDECK_ATHENA_OUTPUT", "s3://results/")
        asked = keydeck(*table)
        assert (asked.exit_code, asked.stdout) == (2, "")
        assert "at most 300 statements over the window and 30 days before it" in asked.stderr
        assert "Examined is audit.logs, events from 20" in asked.stderr
        assert "it needs --yes" in asked.stderr
        refused = keydeck("--read-only", *table, "--yes")
        assert (refused.exit_code, refused.stdout) == (2, "")
        again = keydeck(*table, "--yes", "--ocsf")
        assert (again.exit_code, "--ocsf asks for each" in again.stderr) == (2, True)
        assert server.named("StartQueryExecution") == []
        found = keydeck(*table, "--yes", "--json")
        assert found.exit_code == 1
        (mine,) = (one for one in found.json["findings"] if one["rule"] == "event-key-disabled")
        assert mine["events"] == [told["eventID"]]
        assert "\x1b" not in found.stdout + found.stderr
        assert "123,456 bytes" not in found.stderr
        number = len(server.named("StartQueryExecution"))
        assert f"Athena ran {number} statements and scanned {number * 123_456:,} bytes" in found.stderr
        assert found.json["coverage"]["reasons"][0].startswith("Examined are events alone")
        # Of so few statements none is left for most rules.
        few = keydeck(*table, "--yes", "--max-bytes", "1000000")
        assert few.exit_code == 3
        assert "was not examined: Athena is asked no more: 300 statements and 1.0 MB" in few.stderr
    assert not Path(environment["KEYDECK_EVENTS_FILE"]).exists()
