"""keydeck events provider: in by file and API, out as a list, with no token where it could be seen."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from console.sandbox.audit_logs import ATLASSIAN_ORG, AUDIT_TOKEN
from console.sandbox.provider_traffic import provider_uses
from console.sandbox.sandbox import Sandbox

_NASTY = "[/red]\x1b[31m\u202eevil"

Keydeck = Callable[..., Any]


@pytest.fixture
def store(environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store of the test's own."""
    monkeypatch.setenv("KEYDECK_EVENTS_FILE", str(tmp_path / "events.sqlite"))
    return tmp_path / "events.sqlite"


def test_logs_are_pulled_imported_listed_shown_and_forgotten(
    store: Path, keydeck: Keydeck, sandbox: Sandbox, tmp_path: Path
) -> None:
    uses = provider_uses(sandbox.world)
    pulled = keydeck(
        "events", "provider", "pull", "atlassian", "--org", ATLASSIAN_ORG, "--since", "8d", "--json"
    )
    assert pulled.exit_code == 0, pulled.stderr
    assert pulled.json["new"] == sum(use.provider == "atlassian" for use in uses)
    exported = tmp_path / "github.json"
    exported.write_text(json.dumps(sandbox.providers.exported("github")))
    imported = keydeck(
        "events", "provider", "import", str(exported), "--since", "8d", "--until", "0d", "--json"
    )
    assert imported.exit_code == 0, imported.stderr
    assert imported.json["by_provider"] == {"github": sum(use.provider == "github" for use in uses)}
    cover = keydeck("events", "provider", "cover", "--json").json
    assert {one["origin"] for one in cover["covered"]} == {"pulled", "stated by the operator"}
    listed = keydeck("events", "provider", "list", "--provider", "github", "--limit", "5", "--json").json
    assert len(listed["events"]) == 5
    assert listed["number"] == imported.json["events"]
    shown = keydeck("events", "provider", "show", "github", listed["events"][0]["id"], "--json").json
    assert shown["record"]["_document_id"] == listed["events"][0]["id"]
    text = keydeck("events", "provider", "show", "github", listed["events"][0]["id"]).stdout
    assert listed["events"][0]["action"] in text
    vacuum = keydeck("events", "vacuum", "--days", "1", "--yes", "--json")
    assert vacuum.json["forgotten_of_providers"] > 0
    left = keydeck("events", "provider", "list", "--json").json["number"]
    assert left == pulled.json["new"] + imported.json["new"] - vacuum.json["forgotten_of_providers"]


def test_damage_is_named_by_file_and_line_and_hostile_text_is_harmless(
    store: Path, keydeck: Keydeck, tmp_path: Path
) -> None:
    good = {"@timestamp": 1_790_000_000_000, "action": _NASTY, "actor": _NASTY, "_document_id": "x1"}
    hostile = tmp_path / "logs" / "[red]a.jsonl"
    hostile.parent.mkdir()
    hostile.write_text(json.dumps(good) + "\n{broken\n")
    done = keydeck("events", "provider", "import", str(hostile.parent))
    assert done.exit_code == 1
    assert f"Not read: {hostile}:2: not JSON" in done.stderr
    for shown in (
        done,
        keydeck("events", "provider", "list"),
        keydeck("events", "provider", "show", "github", "x1"),
    ):
        assert "\x1b[31m" not in shown.stdout + shown.stderr
        assert "\u202e" not in shown.stdout + shown.stderr
    assert "[/red][31mevil" in keydeck("events", "provider", "list").stdout
    assert keydeck("events", "provider", "import", str(tmp_path / "gone")).exit_code == 2
    assert keydeck("events", "provider", "import", str(hostile), "--since", "2d").exit_code == 2
    assert keydeck("events", "provider", "show", "github", _NASTY).exit_code == 2


def test_the_logs_token_comes_from_a_file_or_the_settings_and_is_shown_nowhere(
    store: Path, keydeck: Keydeck, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    debug = io.StringIO()
    handler, root = logging.StreamHandler(debug), logging.getLogger()
    monkeypatch.setattr(root, "handlers", [*root.handlers, handler])
    monkeypatch.setattr(root, "level", logging.DEBUG)
    for name in ("httpx", "httpcore"):
        monkeypatch.setattr(logging.getLogger(name), "level", logging.DEBUG)
    root.debug("audit/v1/logs: what any logger says is heard")
    assert AUDIT_TOKEN not in keydeck("settings").stdout
    monkeypatch.delenv("KEYDECK_SLACK_AUDIT_TOKEN")
    without = keydeck("events", "provider", "pull", "slack")
    assert without.exit_code == 2
    assert "KEYDECK_SLACK_AUDIT_TOKEN" in without.stderr
    assert "auditlogs:read" in without.stderr
    secret = tmp_path / "token"
    secret.touch(0o600)
    secret.write_text("KEYDECKCANARY-wrong\n")
    wrong = keydeck("events", "provider", "pull", "slack", "--token-file", str(secret))
    assert wrong.exit_code == 1
    assert "Stopped" in wrong.stderr
    secret.write_text(AUDIT_TOKEN + "\n")
    right = keydeck("events", "provider", "pull", "slack", "--token-file", str(secret), "--since", "8d")
    assert right.exit_code == 0, right.stderr
    assert "audit/v1/logs" in debug.getvalue()
    assert AUDIT_TOKEN not in debug.getvalue()
    for run in (without, wrong, right):
        assert "KEYDECKCANARY" not in run.stdout + run.stderr
        assert AUDIT_TOKEN not in run.stdout + run.stderr
    for file in tmp_path.glob("events.sqlite*"):
        assert AUDIT_TOKEN.encode() not in file.read_bytes()


def test_a_tokens_timeline_has_its_uses_once_its_hash_is_known(
    store: Path, keydeck: Keydeck, sandbox: Sandbox
) -> None:
    use = next(
        one for one in provider_uses(sandbox.world) if one.by == "platform" and one.provider == "github"
    )
    pull = ("events", "provider", "pull", "github", "--org", "all", "--since", "8d")
    assert keydeck(*pull).exit_code == 0
    before = keydeck("events", "token", use.ref, "--json").json["use"]
    assert before["used"] == 0
    assert any("events provider hash" in reason for reason in before["coverage"]["reasons"])
    unasked = keydeck("events", "provider", "hash", use.ref)
    assert unasked.exit_code == 2
    noted = keydeck("events", "provider", "hash", use.ref, "--yes", "--json")
    assert (noted.exit_code, noted.json["noted"], noted.json["new"]) == (0, [use.ref], 1)
    after = keydeck("events", "token", use.ref, "--json").json["use"]
    wanted = sum(one.ref == use.ref and one.programmatic for one in provider_uses(sandbox.world))
    assert after["used"] == wanted
    assert {one["certainty"] for one in after["timeline"] if one["doing"] == "used"} == {"fact"}
    text = keydeck("events", "token", use.ref).stdout
    assert f"used {wanted} time" in text
    assert use.token not in text + json.dumps(after) + noted.stdout
    for file in store.parent.glob("events.sqlite*"):
        assert use.token.encode() not in file.read_bytes()
    slack = next(one for one in provider_uses(sandbox.world) if one.provider == "slack")
    other = keydeck("events", "provider", "hash", slack.ref, "--yes")
    assert other.exit_code == 1
    assert "none of GitHub's" in other.stderr
