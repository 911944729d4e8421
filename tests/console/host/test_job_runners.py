"""Further processes for a job: the settings they find, what their command line shows, and how they end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from console.host import runners as module
from console.host.runners import RunnerProcess, command, environment_of, processes_for, runners
from console.settings import Settings, load
from tests.conftest import use_settings

SETTINGS = """
database_url = "postgresql://ana:geheim@pg-1:5432/tokens"
trusted_keys = ["alias/tokens-old"]
rotation_days = 180
read_only = true
environment = "prod"
administrators = ["arn:aws:iam::123456789012:role/admin"]
[databases]
archive = "postgresql://ana:geheim@pg-2/archive"
[refresh]
status = 10.0
[keys]
"connections.verify" = "V"
[[tables]]
name = "asana_connection"
id_kind = "integer"
token_columns = ["access_token"]
organisation = "org_id"
[[tables]]
name = "gh_connection"
schema = "tenant_*"
"""
END = datetime(2026, 11, 28, 12, 0, 1, 250_000, tzinfo=UTC)
ALIVE = "import sys; print('ready', file=sys.stderr, flush=True); sys.stdin.read()"
STUBBORN = "import time, sys; print('stays', file=sys.stderr, flush=True); time.sleep(600)"


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Settings:
    """Settings of every kind, from a file and from the environment."""
    path = tmp_path / "settings.toml"
    path.write_text(SETTINGS)
    of_aws = {"KEYDECK_REGIONS": "eu-west-1,us-east-1", "AWS_ENDPOINT_URL": "http://127.0.0.1:1"}
    use_settings(of_aws | {"KEYDECK_SETTINGS": str(path)}, monkeypatch)
    return load().settings


def found_by_a_child(environment: dict[str, str]) -> object:
    script = "from console.settings import load; print(load().settings.model_dump_json())"
    ran = subprocess.run(
        [sys.executable, "-P", "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    return json.loads(ran.stdout)


@pytest.mark.parametrize("former", [{}, {"alias/signing-2025": END, "alias/signing-2026": END}])
def test_a_further_process_finds_the_settings_as_they_are_now(
    settings: Settings, former: dict[str, datetime]
) -> None:
    changed = {"database_url": "postgresql://ana:geheim@pg-2/archive", "former_signing_keys": former}
    chosen = settings.model_copy(update=changed)
    environment = environment_of(chosen)
    assert found_by_a_child(environment) == json.loads(chosen.model_dump_json())
    assert environment["AWS_ENDPOINT_URL"] == "http://127.0.0.1:1"


def test_what_is_trusted_for_one_command_is_trusted_by_its_processes(settings: Settings) -> None:
    assert environment_of(settings, ["alias/x"])["KEYDECK_TRUSTED_KEYS"] == "alias/tokens-old,alias/x"


def test_a_setting_that_was_in_the_environment_and_is_no_longer_is_gone(settings: Settings) -> None:
    inherited = {"AWS_PROFILE": "old", "KEYDECK_STATE_URL": "postgresql://x", "HOME": "/root"}
    environment = environment_of(settings, inherited=inherited)
    assert "AWS_PROFILE" not in environment
    assert "KEYDECK_STATE_URL" not in environment
    assert environment["HOME"] == "/root"


def test_no_command_line_has_a_secret() -> None:
    assert command(31)[1:] == ["-P", "-m", "console", "jobs", "join", "31", "--runner"]


@pytest.mark.parametrize(
    ("rate", "cores", "number"),
    [(5_000, 8, 1), (5_001, 8, 2), (50_000, 8, 7), (50_000, 2, 1), (50_000, 1, 1), (1e9, 512, 64)],
)
def test_as_many_processes_as_the_rate_and_the_cores_take(rate: float, cores: int, number: int) -> None:
    assert processes_for(rate, cores) == number


def test_processes_end_with_the_block_and_their_last_words_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "command", lambda _job: [sys.executable, "-c", ALIVE])
    with runners(31, 2, os.environ) as started:
        assert [one.code for one in started] == [None, None]
        assert len({one.pid for one in started}) == 2
    assert [(one.code, one.said) for one in started] == [(0, "ready")] * 2


def test_one_that_does_not_end_is_made_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "command", lambda _job: [sys.executable, "-c", STUBBORN])
    one = RunnerProcess(31, os.environ)
    assert one.end(0.1) != 0
    assert one.code is not None


def test_where_one_cant_be_started_those_before_it_end(monkeypatch: pytest.MonkeyPatch) -> None:
    commands = [[sys.executable, "-c", ALIVE], ["/nowhere/python"]]
    monkeypatch.setattr(module, "command", lambda _job: commands.pop(0))
    kept: list[RunnerProcess] = []
    init = RunnerProcess.__init__

    def remember(self: RunnerProcess, *arguments: object) -> None:
        init(self, *arguments)  # type: ignore[arg-type]
        kept.append(self)

    monkeypatch.setattr(RunnerProcess, "__init__", remember)
    with pytest.raises(FileNotFoundError), runners(31, 2, os.environ):
        pass
    assert [one.code for one in kept] == [0]


def test_a_process_notices_that_the_one_that_started_it_is_gone() -> None:
    script = (
        "from threading import Event; from console.host.children import when_parent_ends; "
        "gone = Event(); when_parent_ends(gone.set); print('waits', flush=True); gone.wait(60); print('ends')"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "waits\n"
        process.stdin.close()
        assert process.stdout.read() == "ends\n"
    assert process.returncode == 0
