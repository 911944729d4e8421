"""keydeck doctor: whatever is missing or dead, it says so in time, with what to do, and shows no secret."""

from __future__ import annotations

import json
import os
import pty
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url

from console.checks.diagnosis import all_areas
from console.checks.machine import Terminal, look_at_machine
from console.checks.settings_check import look_at_settings
from console.commands.doctor import lines
from console.container import Container
from console.sandbox.endpoint.control import Denial, Fault
from console.sandbox.sandbox import Sandbox
from console.settings import load
from crypto_core.diagnosis import Check, CheckOutcome, examine
from crypto_core.guard.approvals import ADVISORY
from crypto_core.guard.guarded_change import Outcome
from crypto_core.log.redaction import redacted
from crypto_core.proof.journal import NOT_ANCHORED
from crypto_core.values.errors import SettingsError
from tests.left_out import needs

Keydeck = Callable[..., Any]
SECRET = "correct-horse"

DOCTOR = [sys.executable, "-m", "console", "doctor"]


@pytest.fixture
def bare(tmp_path: Path) -> dict[str, str]:
    """An environment with no setting at all, and an empty home."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "LANG": "C.UTF-8",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


@pytest.fixture
def mute_port() -> Iterator[int]:
    """A port that takes connections and never says anything."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(100)
        yield listener.getsockname()[1]


def doctor(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*DOCTOR, *arguments],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def by_name(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, str]]:
    return {(c["area"], c["name"]): c for c in document["checks"]}


def test_where_all_is_well_it_exits_0_and_says_so_last(keydeck: Keydeck) -> None:
    keydeck("init")
    ran = keydeck("doctor")
    assert ran.exit_code == 0, ran.stdout
    assert ran.stderr == ""
    assert ran.stdout.splitlines()[-1].startswith("well: ")
    headings = [line for line in ran.stdout.splitlines()[:-1] if line and not line.startswith(" ")]
    assert headings[:4] == ["this machine", "settings", "database", "AWS"]
    assert headings[-1] == "CloudTrail's events"
    assert "✖" not in ran.stdout


@needs("evidence")
def test_connections_to_aws_are_looked_at(keydeck: Keydeck) -> None:
    checks = keydeck("doctor", "--json").json["checks"]
    told = [one for one in checks if one["name"].startswith("TLS")]
    assert told
    assert not [one for one in told if "leaves the capability" in one["said"]]


def test_json_is_one_document_whose_summary_adds_up(keydeck: Keydeck) -> None:
    ran = keydeck("doctor", "--json")
    document = ran.json
    assert set(document) == {"checks", "summary"}
    assert set(document["summary"]) == {"well", "ok", "warning", "failed", "unknown", "skipped"}
    assert sum(document["summary"][o.value] for o in CheckOutcome) == len(document["checks"]) > 40
    assert document["summary"]["well"] is True
    # Keydeck's schema is not there yet: a warning.
    assert by_name(document)["database", "schema keydeck"]["outcome"] == "warning"
    assert ran.exit_code == 0


def test_the_store_of_events_is_looked_at_where_the_settings_say(
    keydeck: Keydeck, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mine.sqlite"
    monkeypatch.setenv("KEYDECK_EVENTS_FILE", str(path))
    area = "CloudTrail's events"
    absent = by_name(keydeck("doctor", "--json").json)[area, "file"]
    assert (absent["outcome"], str(path) in absent["said"]) == ("skipped", True)
    assert keydeck("events", "pull", "--since", "2h").exit_code == 0
    checks = by_name(keydeck("doctor", "--json").json)
    assert checks[area, "events"]["outcome"] == "ok"
    assert "without a gap" in checks[area, f"fetched from 123456789012 {sandbox.region}"]["said"]
    path.write_bytes(b"my notes " * 500)
    ran = keydeck("doctor")
    assert ran.exit_code == 1
    assert "Move it away" in ran.stdout


def test_the_signing_key_is_looked_at(
    keydeck: Keydeck, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = sandbox.client("kms").create_key(KeyUsage="SIGN_VERIFY", KeySpec="ECC_NIST_P256")
    monkeypatch.setenv("KEYDECK_SIGNING_KEY", made["KeyMetadata"]["Arn"])
    keydeck("init")
    ran = keydeck("doctor", "--json")
    assert ran.exit_code == 0
    found = {c["name"]: c["outcome"] for c in ran.json["checks"] if c["area"].startswith("signing key")}
    assert found == dict.fromkeys(("kms:DescribeKey", "kms:Sign", "kms:Verify"), "ok")


def test_whether_anchors_are_configured_and_how_old_the_last_is(
    sandbox: Sandbox, services: Container, keydeck: Keydeck, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def told() -> tuple[str, str]:
        checks = keydeck("doctor", "--json").json["checks"]
        (found,) = [one for one in checks if one["name"] == "anchors"]
        return found["outcome"], found["said"]

    made = sandbox.client("kms").create_key(KeyUsage="SIGN_VERIFY", KeySpec="ECC_NIST_P256")
    assert not [one for one in keydeck("doctor", "--json").json["checks"] if one["name"] == "anchors"]
    monkeypatch.setenv("KEYDECK_SIGNING_KEY", made["KeyMetadata"]["Arn"])
    assert told() == ("warning", NOT_ANCHORED)
    services.journal.record("rewrap", "token", Outcome.DONE)
    file = tmp_path / "anchors"
    monkeypatch.setenv("KEYDECK_ANCHOR_FILE", str(file))
    assert told() == ("warning", f"Configured are {file}; nothing is anchored there yet.")
    assert keydeck("journal", "checkpoint").exit_code == 0
    assert told() == ("ok", f"The last is 0 hours old, in {file}.")
    monkeypatch.setenv("KEYDECK_TSA_URL", "http://127.0.0.1:9/tsr")
    failed = keydeck("journal", "checkpoint")
    assert (failed.exit_code, "Not anchored in http://127.0.0.1:9/tsr" in failed.stderr) == (3, True)
    assert f"Anchored in {file}." in failed.stdout
    outcome, said = told()
    assert outcome == "warning"
    assert "Not everywhere: http://127.0.0.1:9/tsr: Without KEYDECK_TSA_CERTIFICATES" in said
    assert keydeck("journal", "verify").exit_code == 0


def test_four_eyes_without_an_approvals_key_are_warned_of(
    keydeck: Keydeck, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    keydeck("init")
    assert ("settings", "four eyes") not in by_name(keydeck("doctor", "--json").json)
    monkeypatch.setenv("KEYDECK_APPROVALS", "reencrypt")
    check = by_name(keydeck("doctor", "--json").json)["settings", "four eyes"]
    assert (check["outcome"], check["said"]) == ("warning", ADVISORY)
    made = sandbox.client("kms").create_key()
    monkeypatch.setenv("KEYDECK_APPROVALS_KEY", made["KeyMetadata"]["Arn"])
    assert by_name(keydeck("doctor", "--json").json)["settings", "four eyes"]["outcome"] == "ok"


def test_what_failed_makes_it_exit_1_with_the_remedy_below(keydeck: Keydeck, sandbox: Sandbox) -> None:
    sandbox.control.add_denial(Denial("*", "kms:Decrypt"))
    try:
        ran = keydeck("doctor")
    finally:
        sandbox.control.clear()
    assert ran.exit_code == 1
    shown = ran.stdout.splitlines()
    at = next(i for i, line in enumerate(shown) if "✖ failed" in line)
    assert "kms:Decrypt" in shown[at]
    assert shown[at + 1].strip().startswith("→ Allow kms:Decrypt")
    assert shown[-1].startswith("not well: ")


@pytest.mark.deep
def test_with_nothing_configured_every_section_says_what_to_do(bare: dict[str, str]) -> None:
    ran = doctor(bare, "--json")
    assert ran.returncode == 1, ran.stderr
    checks = by_name(json.loads(ran.stdout))
    assert "DATABASE_URL" in checks["database", "address"]["remedy"]
    assert "AWS_REGION" in checks["AWS", "configuration"]["remedy"]
    assert checks["settings", "write key"]["outcome"] == "warning"
    assert not list(Path(bare["HOME"]).rglob("*keydeck*"))


@pytest.mark.deep
def test_without_credentials_and_offline_it_says_so(bare: dict[str, str]) -> None:
    key = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
    environment = bare | {
        "AWS_REGION": "eu-west-1",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "DATABASE_URL": f"postgresql://operator:{SECRET}@127.0.0.1:1/tokens",
        "TOKEN_ENCRYPTION_KEY_ID": key,
    }
    ran = doctor(environment)
    assert ran.returncode == 1
    assert SECRET not in ran.stdout + ran.stderr
    assert "boto3 finds no credentials" in ran.stdout
    assert "No connection to the database" in ran.stdout
    credentials = {"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": SECRET}
    offline = doctor(environment | credentials, "--json")
    assert offline.returncode == 1
    assert SECRET not in offline.stdout + offline.stderr
    checks = by_name(json.loads(offline.stdout))
    assert checks["AWS", "kms:ListKeys in eu-west-1"]["outcome"] == "failed"
    assert checks["write key …90ab", "the rest"]["outcome"] == "skipped"


@pytest.mark.deep
def test_when_everything_hangs_it_ends_within_seconds(bare: dict[str, str], mute_port: int) -> None:
    key = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890a"
    hanging = bare | {
        "AWS_REGION": "eu-west-1",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{mute_port}",
        "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "DATABASE_URL": f"postgresql://operator:{SECRET}@127.0.0.1:{mute_port}/tokens",
        "KEYDECK_STATE_URL": f"postgresql://operator:{SECRET}@127.0.0.1:{mute_port}/journal",
        "KEYDECK_REGIONS": "eu-west-1,eu-central-1,us-east-1,us-west-2",
        "TOKEN_ENCRYPTION_KEY_ID": f"{key}0",
        "KEYDECK_TRUSTED_KEYS": ",".join(f"{key}{n}" for n in range(1, 9)),
    }
    ran = doctor(hanging)  # which has a limit of its own: one after the other, each key would wait
    assert ran.returncode == 1
    assert SECRET not in ran.stdout + ran.stderr
    for area in ("database", "journal's database", "AWS", "write key …90a0", "trusted key …90a8"):
        assert f"\n{area}\n" in ran.stdout


@pytest.mark.quick(1)
@pytest.mark.parametrize(
    ("name", "value"),
    [("DEV_ENCRYPTION_KEY", SECRET), ("KEYDECK_WRITE_FORMAT", "v9"), ("TOKEN_ENCRYPTION_KEY_ID", "x" * 30)],
)
def test_settings_that_cannot_be_used_exit_2_and_the_rest_is_still_looked_at(
    bare: dict[str, str], name: str, value: str
) -> None:
    ran = doctor(bare | {name: value}, "--json")
    assert ran.returncode == 2
    checks = by_name(json.loads(ran.stdout))
    assert checks["settings", "settings"]["outcome"] == "failed"
    assert checks["database", "all"]["outcome"] == "skipped"
    assert checks["this machine", "Python"]["outcome"] == "ok"
    assert value not in ran.stdout or name != "DEV_ENCRYPTION_KEY"


def test_hostile_text_and_secrets_reach_no_output(
    keydeck: Keydeck, environment: dict[str, str], sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    hostile = "[/red]\x1b]52;c;aGk=\x07\u202e\nghp_CANARYcanary0123456789"
    sandbox.control.add_fault(Fault("*", "ValidationException", message=hostile))
    password = str(make_url(environment["DATABASE_URL"]).password)
    url = make_url(environment["DATABASE_URL"]).set(database="x[/red]\x1b[2J\ny")
    monkeypatch.setenv("DATABASE_URL", url.render_as_string(hide_password=False))
    monkeypatch.setenv("TERM", "x\x1b[2J[/red]")
    try:
        for arguments in (("doctor",), ("doctor", "--json")):
            ran = keydeck(*arguments)
            assert ran.exit_code == 1
            assert "\x1b" not in ran.stdout
            assert "\u202e" not in ran.stdout
            assert "CANARY" not in ran.stdout + ran.stderr
            assert password not in ran.stdout + ran.stderr
            assert environment["AWS_SECRET_ACCESS_KEY"] not in ran.stdout + ran.stderr
    finally:
        sandbox.control.clear()


def test_lines_are_aligned_and_folded_only_on_a_terminal() -> None:
    check = Check("a", "name", CheckOutcome.FAILED, "word " * 60, "do " * 60)
    for plain in lines(check):
        assert len(plain) > 150
    folded = lines(check, 80)
    assert len(folded) > 5
    assert all(len(line) <= 80 for line in folded)
    assert folded[0].startswith("  ✖ failed   name")
    starts = {lines(Check("a", "x" * n, o, "said"))[0].index("said") for n in (1, 9) for o in CheckOutcome}
    assert len(starts) == 1


def test_a_screen_gets_checks_as_they_come_under_the_promised_headings(environment: dict[str, str]) -> None:
    areas = all_areas(load())
    found = list(examine(areas))
    assert {area.title for area in areas} == {c.area for c in found}
    assert len(areas) == 8
    assert isinstance(found[0], Check)


def terminal(
    size: tuple[int, int] | None = (120, 40), encoding: str = "utf-8", **environment: str
) -> Terminal:
    return Terminal({"TERM": "xterm-256color", **environment}, size, encoding)


def machine(told: Terminal) -> dict[str, Check]:
    return {c.name: c for c in look_at_machine("m", told)}


@pytest.mark.parametrize(
    ("told", "name", "outcome", "said"),
    [
        (terminal(), "size", CheckOutcome.OK, "120 × 40"),
        (terminal((79, 40)), "size", CheckOutcome.WARNING, "79 × 40"),
        (terminal((80, 23)), "size", CheckOutcome.WARNING, "80 × 23"),
        (terminal(None), "terminal", CheckOutcome.SKIPPED, "commands work"),
        (terminal(TERM="dumb"), "terminal", CheckOutcome.FAILED, "dumb"),
        (terminal(TERM=""), "terminal", CheckOutcome.FAILED, "not set"),
        (terminal(TERM_PROGRAM="WezTerm"), "terminal", CheckOutcome.OK, "WezTerm"),
        (terminal(encoding="ANSI_X3.4-1968"), "characters", CheckOutcome.WARNING, "ANSI_X3.4-1968"),
        (terminal(encoding="UTF8"), "characters", CheckOutcome.OK, "UTF-8"),
        (terminal(COLORTERM="truecolor"), "colours", CheckOutcome.OK, "16 million"),
        (terminal(), "colours", CheckOutcome.OK, "256"),
        (terminal(TERM="xterm"), "colours", CheckOutcome.WARNING, "16"),
        (terminal(NO_COLOR="1"), "colours", CheckOutcome.OK, "NO_COLOR"),
    ],
)
def test_the_terminal_is_told_as_it_is(told: Terminal, name: str, outcome: CheckOutcome, said: str) -> None:
    check = machine(told)[name]
    assert check.outcome is outcome
    assert said in check.said
    assert bool(check.remedy) or outcome not in (CheckOutcome.WARNING, CheckOutcome.FAILED)


def test_hostile_variables_reach_no_output() -> None:
    hostile = "[/red]\x1b[2J\u202e\nx"
    told = terminal(TERM=hostile, TERM_PROGRAM=hostile, encoding=hostile)
    assert all(c.said.isprintable() for c in machine(told).values())


def test_python_and_the_libraries_are_told() -> None:
    checks = machine(terminal())
    assert checks["Python"].outcome is CheckOutcome.OK
    assert "textual 8" in checks["libraries"].said


def test_a_library_older_than_keydeck_asks_for_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.version", lambda name: "2.9.9" if "psycopg2" in name else "99")
    check = machine(terminal())["libraries"]
    assert (check.outcome, check.said) == (
        *(CheckOutcome.WARNING, "Too old: psycopg2-binary 2.9.9 (needed: 2.9.10)."),
    )


def settings_checks() -> dict[str, Check]:
    try:
        loaded: Any = load()
    except SettingsError as error:
        loaded = error
    return {c.name: c for c in look_at_settings("s", loaded)}


@pytest.mark.parametrize(
    ("content", "mode", "outcome"),
    [
        (f'database_url = "postgresql://u:{SECRET}@h/d"', 0o644, CheckOutcome.WARNING),
        (f'database_url = "postgresql://u:{SECRET}@h/d"', 0o600, CheckOutcome.OK),
        (f'[databases.other]\nurl = "postgresql://u:{SECRET}@h/d"', 0o640, CheckOutcome.WARNING),
        (f'database_url = "postgresql://u@h/d?password={SECRET}"', 0o644, CheckOutcome.WARNING),
        ('database_url = "postgresql://u@h/d"', 0o644, CheckOutcome.OK),
        ('database_url = "postgresql://u@h/d"', 0o666, CheckOutcome.WARNING),
    ],
)
def test_a_settings_file_with_a_password_must_be_private(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str, mode: int, outcome: CheckOutcome
) -> None:
    path = tmp_path / "settings.toml"
    path.write_text(content)
    path.chmod(mode)
    monkeypatch.setenv("KEYDECK_SETTINGS", str(path))
    monkeypatch.delenv("DATABASE_URL", raising=False)
    checks = settings_checks()
    assert checks["file's mode"].outcome is outcome
    assert checks["settings"].outcome is CheckOutcome.OK
    assert SECRET not in str(checks)


def test_a_settings_file_that_is_broken_fails_with_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "settings.toml"
    path.write_text(f'database_url = "postgresql://u:{SECRET}@h/d')
    monkeypatch.setenv("KEYDECK_SETTINGS", str(path))
    checks = settings_checks()
    assert checks["settings"].outcome is CheckOutcome.FAILED
    assert str(path) in checks["settings"].said
    assert SECRET not in str(checks)


def test_a_log_that_cannot_be_written_is_a_warning_and_looking_makes_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "new" / "keydeck.log"
    monkeypatch.setenv("KEYDECK_LOG_FILE", str(log))
    assert settings_checks()["log file"].outcome is CheckOutcome.OK
    assert not log.parent.exists()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "file").touch()
    for trap in (tmp_path / "link", tmp_path, tmp_path / "file" / "keydeck.log"):
        monkeypatch.setenv("KEYDECK_LOG_FILE", str(trap))
        check = settings_checks()["log file"]
        assert check.outcome is CheckOutcome.WARNING, trap
        assert "KEYDECK_LOG_FILE" in check.remedy
    monkeypatch.setenv("KEYDECK_LOG_FILE", "none")
    assert settings_checks()["log file"].outcome is CheckOutcome.SKIPPED


@pytest.mark.parametrize(
    ("text", "outcome", "says"),
    [
        ("", CheckOutcome.OK, "None is configured (KEYDECK_BINDING)."),
        ('write_format = "v2"', CheckOutcome.OK, "new v2 envelopes name no database"),
        ('binding = "acme"', CheckOutcome.WARNING, "New envelopes are v1 and name none."),
        ('binding = "acme"\nwrite_format = "v2"', CheckOutcome.OK, "those that name none still open"),
        (
            'binding = "acme"\nwrite_format = "v2"\nleast_format = "v2-bound"',
            CheckOutcome.OK,
            "the platform refuses those that name none",
        ),
    ],
)
def test_the_binding_in_force_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, outcome: CheckOutcome, says: str
) -> None:
    path = tmp_path / "settings.toml"
    path.write_text(text)
    monkeypatch.setenv("KEYDECK_SETTINGS", str(path))
    check = settings_checks()["binding"]
    assert check.outcome is outcome
    assert says in check.said
    if "binding" in text:
        assert check.said.startswith(f'"acme", from {path}')


def test_an_estate_whose_settings_are_wrong_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "settings.toml"
    colours = {"pink": "pink", "well": "red"}
    estate = '[estates.{}]\ndatabase_url = "postgresql://db.example/x"\nenvironment_colour = "{}"\n'
    path.write_text("".join(estate.format(*one) for one in colours.items()))
    monkeypatch.setenv("KEYDECK_SETTINGS", str(path))
    checks = settings_checks()
    assert [name for name in checks if name.startswith("estate")] == ["estate pink"]
    assert checks["estate pink"].outcome is CheckOutcome.FAILED
    assert "environment_colour" in checks["estate pink"].said


@pytest.mark.deep
def test_on_a_terminal_it_tells_the_terminal(bare: dict[str, str]) -> None:
    controller, worker = pty.openpty()
    process = subprocess.Popen(
        DOCTOR, env=bare | {"TERM": "xterm", "COLUMNS": "80"}, stdin=worker, stdout=worker, stderr=worker
    )
    os.close(worker)
    shown = b""
    try:
        while chunk := os.read(controller, 65_536):
            shown += chunk
    except OSError:
        pass  # the other side is closed
    assert process.wait(30) == 1
    assert b"\x1b[32m" in shown
    text = re.sub(r"\x1b\[\d*m", "", shown.decode())
    assert "xterm." in text
    assert "16: the themes' colours" in text
    # A path is left whole, so that it can be copied.
    assert all(len(line) <= 80 or "/" in line for line in text.splitlines())
    assert len([line for line in text.splitlines() if line.startswith(" " * 13)]) > 3
    os.close(controller)


def test_masked_addresses_stay_masked_when_redacted_again() -> None:
    assert redacted("postgresql://u:***@h/d") == "postgresql://u:[hidden-password]@h/d"
