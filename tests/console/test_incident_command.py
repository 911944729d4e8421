"""keydeck incident: exit codes, documents, what is refused, and what is asked for without a terminal."""

from __future__ import annotations

import json
import os
import shlex
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest

from console.capabilities import not_installed
from console.commands import incident_scope
from console.commands.incident_steps import asked
from console.container import Container
from console.sandbox.sandbox import Sandbox
from console.sandbox.world import World
from crypto_core.findings.finding import Finding, Severity
from crypto_core.incidents.runbooks.library import RunbookLibrary
from crypto_core.incidents.runbooks.placeholders import PLACEHOLDERS, commands_in
from crypto_core.incidents.steps.step_contracts import InputField
from crypto_core.values.references import TokenRef, parse_reference
from tests.console.shapes import assert_shape
from tests.crypto_core.trail import records

Keydeck = Callable[..., Any]

HOSTILE = "[/red]\x1b[31m\u202eevil" + "x" * 9_000
TEAM = """
id = "partner"
version = 1
title = "A partner's token"
subject = "tokens"
summary = "When a partner says so."
[[phase]]
kind = "contain"
title = "Contain"
[[phase.step]]
id = "told"
title = "Told?"
purpose = "To know."
choices = ["yes", "no"]
[[phase.step]]
id = "enter"
title = "Enter the new token"
purpose = "The old one is known."
action = "enter-token"
check = "tokens-replaced"
[[phase.step]]
id = "talk"
title = "Talk about it"
purpose = "To learn."
"""
NEW_TOKEN = "ghp_" + "Zq7" * 12


@pytest.fixture
def runbooks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "runbooks"
    folder.mkdir()
    (folder / "partner.toml").write_text(TEAM)
    monkeypatch.setenv("KEYDECK_RUNBOOKS", str(folder))
    return folder


def github(world: World) -> str:
    return str(
        next(r for r in sorted(world.tokens) if r.table == "gh_connection" and r.column == "access_token")
    )


def clean_of(text: str) -> bool:
    return all(letter == "\n" or letter.isprintable() for letter in text)


def test_an_incident_is_worked_through_and_every_ending_has_its_exit_code(
    services: Container, world: World, runbooks: Path, keydeck: Keydeck, tmp_path: Path
) -> None:
    ref = github(world)
    assert keydeck("incident", "list").stderr.startswith("No incidents.")
    start = ("incident", "start", "partner", "--token", ref, "--title", HOSTILE, "--json")
    refused = keydeck(*start, "--suspect", HOSTILE)
    assert (refused.exit_code, "is not an IAM role" in refused.stderr) == (2, True)
    assert clean_of(refused.stderr)
    bot = "arn:aws:iam::123456789012:user/build-bot"
    started = keydeck(*start, "--suspect", bot)
    assert (started.exit_code, started.json["incident"], started.json["current"]) == (0, 1, "told")
    assert clean_of(started.json["title"])
    assert len(started.json["title"]) <= 200

    asked = keydeck("incident", "next", "1")
    assert (asked.exit_code, "--answer: yes, no" in asked.stderr) == (2, True)
    assert keydeck("incident", "next", "1", "--answer", "perhaps").exit_code == 2
    told = keydeck("incident", "next", "1", "--answer", "no", "--json")
    assert (told.exit_code, told.json["answer"], told.json["state"]) == (0, "no", "done")

    unproved = keydeck("incident", "check", "1", "--json")
    assert (unproved.exit_code, unproved.json["step"]) == (1, "enter")
    assert unproved.json["check"]["state"] != "passed"
    assert keydeck("incident", "next", "1", "--check-only").exit_code == 1
    shown = keydeck("incident", "show", "1")
    assert (shown.exit_code, clean_of(shown.stdout)) == (1, True)
    assert "Enter the new token" in shown.stdout

    assert keydeck("incident", "note", "1", HOSTILE, "--step", "enter").exit_code == 0
    assert keydeck("incident", "skip", "1", "enter", "--reason", HOSTILE).exit_code == 0
    taken_up = keydeck("incident", "reopen", "1", "enter", "--reason", "once more", "--json")
    assert (taken_up.exit_code, taken_up.json["step"], taken_up.json["state"]) == (0, "enter", "to do")
    early = keydeck("incident", "close", "1", "--outcome", "Too early.")
    assert (early.exit_code, "not ended: enter, talk" in early.stderr) == (2, True)
    skipped = keydeck("incident", "skip", "1", "enter", "--reason", HOSTILE, "--json")
    assert (skipped.exit_code, skipped.json["state"]) == (0, "skipped")
    assert "[/red]" in skipped.json["reason"]
    noted = keydeck("incident", "note", "1", "Told support.", "--json")
    assert (noted.exit_code, noted.json["timeline"][-1]["text"]) == (0, "Told support.")
    assert keydeck("incident", "next", "1", "--json").json["step"] == "talk"
    ended = keydeck("incident", "next", "1")
    assert (ended.exit_code, "keydeck incident close 1" in ended.stderr) == (2, True)
    closed = keydeck("incident", "close", "1", "--outcome", HOSTILE, "--json")
    assert (closed.exit_code, closed.json["state"]) == (0, "closed")

    whole = keydeck("incident", "show", "1", "--json")
    assert whole.exit_code == 0
    for shaped in (
        noted.json,
        closed.json,
        whole.json,
        *keydeck("incident", "list", "--json").json["incidents"],
    ):
        assert_shape("incident", shaped)
    assert whole.json["scope"]["principal"] == bot
    assert [one["principal"] for one in whole.json["suspects"]] == [bot]
    assert not whole.json["suspects_coverage"]["complete"]
    kinds = {entry["kind"] for entry in whole.json["timeline"]}
    assert {"declared", "note", "closed"} <= kinds
    told, entering, _ = whole.json["steps"]
    assert told["performs"] is None
    assert entering["performs"] == {
        "operations": ["enter token"],
        "changes": ["tokens"],
        "danger": "confirm",
        "second_person": True,
        "iam": ["kms:GenerateDataKey", "kms:Decrypt"],
    }
    for words in (keydeck("incident", "list"), keydeck("incident", "show", "1")):
        assert clean_of(words.stdout)
        assert "[/red]" in words.stdout
    assert keydeck("incident", "list", "--open", "--json").json["incidents"] == []

    report = tmp_path / "inc.html"
    report.write_text("mine")
    taken = keydeck("incident", "report", "1", "--output", str(report))
    assert (taken.exit_code, "already exists" in taken.stderr) == (2, True)
    assert report.read_text() == "mine"
    no_form = keydeck("incident", "report", "1", "--output", str(tmp_path / "inc.pdf"))
    assert (no_form.exit_code, "must end in .html" in no_form.stderr) == (2, True)
    assert not (tmp_path / "inc.pdf").exists()
    for form in ("markdown", "html", "json"):
        text = keydeck("incident", "report", "1", "--format", form).stdout
        assert clean_of(text)


@pytest.mark.deep
def test_roles_follow_ups_and_handover_are_given_and_told(
    services: Container, world: World, runbooks: Path, keydeck: Keydeck
) -> None:
    keydeck("incident", "start", "partner", "--token", github(world))
    taken = keydeck("incident", "assign", "1", "lead")
    assert "INC-1, A partner's token: open" in taken.stdout
    assert "Lead of INC-1: " in taken.stderr
    given = keydeck("incident", "assign", "1", "communications", HOSTILE, "--json").json
    assert [one["role"] for one in given["roles"]] == ["lead", "communications"]
    assert keydeck("incident", "assign", "1", "king").exit_code == 2
    stood = keydeck("incident", "handover", "1")
    assert "Now at step 1 of 3, Told?" in stood.stdout
    assert "Roles: lead " in stood.stdout
    assert clean_of(stood.stdout)
    added = keydeck(
        "incident", "follow-up", "add", "1", "Look again", "--owner", "dana", "--due", "2026-01-31"
    )
    assert "Follow-up 1: Look again (dana, due 2026-01-31), overdue." in added.stderr
    assert keydeck("incident", "follow-up", "add", "1", "x", "--due", "soon").exit_code == 2
    listed = keydeck("incident", "follow-up", "list", "--output", "jsonl")
    assert listed.exit_code == 1
    assert json.loads(listed.stdout)["state"] == "overdue"
    shown = keydeck("incident", "show", "1", "--json").json
    assert_shape("incident", shown)
    assert [one["text"] for one in shown["follow_ups"]] == ["Look again"]
    assert "follow-up 1  Look again" in keydeck("incident", "show", "1").stdout
    assert keydeck("incident", "follow-up", "done", "1", "2", "--outcome", "Looked.").exit_code == 2
    assert keydeck("incident", "follow-up", "done", "1", "1", "--outcome", "Looked.").exit_code == 0
    assert keydeck("incident", "follow-up", "list", "1", "--open").exit_code == 0


def test_nothing_is_done_for_what_is_not_there_and_a_broken_runbook_hides_no_other(
    services: Container, world: World, runbooks: Path, keydeck: Keydeck
) -> None:
    assert keydeck("incident", "runbooks").exit_code == 0
    (runbooks / "broken.toml").write_text(
        TEAM.replace("enter-token", "[/red]").replace("partner", "broken", 1)
    )
    listed = keydeck("incident", "runbooks", "--json")
    assert listed.exit_code == 1
    assert {"key-compromise", "partner"} <= {book["id"] for book in listed.json["runbooks"]}
    assert "broken" not in {book["id"] for book in listed.json["runbooks"]}
    [trouble] = listed.json["not_read"]
    assert "broken.toml" in trouble
    assert "broken.toml" in listed.stderr

    unknown = keydeck("incident", "start", HOSTILE, "--token", github(world))
    assert (unknown.exit_code, clean_of(unknown.stderr)) == (2, True)
    assert keydeck("incident", "start", "partner").exit_code == 2
    assert keydeck("incident", "start", "partner", "--key", world.current_key.arn).exit_code == 2
    assert keydeck("--read-only", "incident", "start", "partner", "--token", github(world)).exit_code == 2
    for command in (("show", "7"), ("next", "7"), ("report", "7"), ("note", "7", "x"), ("evidence", "7")):
        missing = keydeck("incident", *command)
        assert (missing.exit_code, missing.stdout) == (2, ""), command
    assert services.services.incidents is not None
    assert services.services.incidents.incidents() == ()

    keydeck("incident", "start", "partner", "--token", github(world))
    step = keydeck("incident", "next", "1", "--step", "[/red]\x1b")
    assert (step.exit_code, "told, enter, talk" in step.stderr, clean_of(step.stderr)) == (2, True, True)
    assert keydeck("incident", "skip", "1", "nothing", "--reason", "x").exit_code == 2


def test_a_secret_comes_from_a_file_alone_and_a_dry_run_changes_nothing(
    services: Container,
    world: World,
    runbooks: Path,
    keydeck: Keydeck,
    stored: Callable[[TokenRef], str],
    tmp_path: Path,
) -> None:
    ref = parse_reference(github(world))
    assert isinstance(ref, TokenRef)
    before = stored(ref)
    keydeck("incident", "start", "partner", "--token", str(ref))
    keydeck("incident", "next", "1", "--answer", "no")
    fields = services.services.incidents.fields(1, "enter")  # type: ignore[union-attr]
    secret = next(field.name for field in fields if field.secret)

    on_line = keydeck("incident", "next", "1", "--set", f"{secret}={NEW_TOKEN}", "--yes")
    assert (on_line.exit_code, f"--secret {secret}=FILE" in on_line.stderr) == (2, True)
    assert NEW_TOKEN not in on_line.stderr + on_line.stdout
    unasked = keydeck("incident", "next", "1", "--yes")
    assert (unasked.exit_code, f"--secret {secret}=FILE" in unasked.stderr) == (2, True)
    assert keydeck("incident", "next", "1", "--set", "nothing=1").exit_code == 2
    assert keydeck("incident", "next", "1", "--set", "nothing").exit_code == 2
    assert keydeck("incident", "next", "1", "--secret", f"{secret}={tmp_path}/none").exit_code == 2

    file = tmp_path / "token"
    file.write_text(NEW_TOKEN + "\n")
    readable = keydeck("incident", "next", "1", "--secret", f"{secret}={file}")
    assert (readable.exit_code, "may be read or written by others" in readable.stderr) == (2, True)
    assert "such as a Kubernetes secret, use - for standard input" in readable.stderr
    os.mkfifo(pipe := tmp_path / "pipe")
    refused = keydeck("incident", "next", "1", "--secret", f"{secret}={pipe}")
    assert (refused.exit_code, "use - for standard input" in refused.stderr) == (2, True)
    file.chmod(0o600)
    given = ("incident", "next", "1", "--secret", f"{secret}={file}")
    dry = keydeck(*given, "--dry-run", "--json")
    assert dry.exit_code == 0, dry.stderr
    assert dry.json["does"]
    bare = keydeck(*given)
    assert (bare.exit_code, "--yes" in bare.stderr) == (2, True)
    wrong = keydeck(*given, "--confirm", "[/red]\x1b[31m")
    assert (wrong.exit_code, clean_of(wrong.stderr)) == (2, True)
    for ran in (dry, bare, wrong):
        assert NEW_TOKEN not in ran.stdout + ran.stderr
    assert stored(ref) == before
    view = services.services.incidents.show(1)  # type: ignore[union-attr]
    assert not view.step("enter").state.ended
    told = json.dumps([(e.action, e.subject, e.detail) for e in services.journal.entries()], default=str)
    assert NEW_TOKEN not in told


KEY_TEAM = """
id = "our-key"
version = 1
title = "Our key"
subject = "key"
summary = "When the key is gone."
[[phase]]
kind = "contain"
title = "Contain"
[[phase.step]]
id = "switch"
title = "Switch"
purpose = "To write under another key."
do = ["If it is configured by an alias: `keydeck keys alias {alias} {key}`"]
"""


@pytest.mark.deep
def test_a_command_with_the_keys_alias_is_whole_also_once_another_key_has_it(
    keydeck: Keydeck, services: Container, sandbox: Sandbox, runbooks: Path
) -> None:
    (runbooks / "our-key.toml").write_text(KEY_TEAM)
    kms = sandbox.client("kms")
    old, new, nameless = (kms.create_key()["KeyMetadata"]["Arn"] for _ in range(3))
    alias = f"alias/ours-{old[-8:]}"
    kms.create_alias(AliasName=alias, TargetKeyId=old)
    started = json.loads(keydeck("incident", "start", "our-key", "--key", alias, "--json").stdout)
    kms.update_alias(AliasName=alias, TargetKeyId=new)
    shown = " ".join(keydeck("incident", "show", str(started["incident"])).stdout.split())
    assert f"by an alias: keydeck keys alias {alias} {old}" in shown
    started = json.loads(keydeck("incident", "start", "our-key", "--key", nameless, "--json").stdout)
    shown = " ".join(keydeck("incident", "show", str(started["incident"])).stdout.split())
    assert f"by an alias: keydeck keys alias (the key had no alias) {nameless}" in shown


@pytest.mark.parametrize(
    ("usage", "spec"), [("SIGN_VERIFY", "ECC_NIST_P256"), ("GENERATE_VERIFY_MAC", "HMAC_256")]
)
def test_a_signed_report_is_verified_and_one_changed_letter_is_found(
    services: Container,
    world: World,
    runbooks: Path,
    sandbox: Sandbox,
    keydeck: Keydeck,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    usage: str,
    spec: str,
) -> None:
    keydeck("incident", "start", "partner", "--token", github(world))
    unsigned = tmp_path / "unsigned.json"
    assert keydeck("incident", "report", "1", "--output", str(unsigned)).exit_code == 0
    proves = keydeck("incident", "verify-report", str(unsigned))
    assert (proves.exit_code, "not signed, and so proves nothing" in proves.stdout) == (1, True)

    made = sandbox.client("kms").create_key(KeyUsage=usage, KeySpec=spec)
    key = str(made["KeyMetadata"]["Arn"])
    monkeypatch.setenv("KEYDECK_SIGNING_KEY", key)
    folder = tmp_path / "out"
    folder.mkdir()
    assert keydeck("incident", "report", "1", "--all", str(folder)).exit_code == 0
    names = ["INC-1.html", "INC-1.json", "INC-1.md"]
    assert sorted(path.name for path in folder.iterdir()) == names
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    exported = folder / "INC-1.json"
    digest = json.loads(exported.read_text())["sha256"]
    for form in (".md", ".html"):
        text = exported.with_suffix(form).read_text()
        assert digest in text
        assert key in text
    check = keydeck("incident", "verify-report", str(exported), "--json")
    assert (check.exit_code, check.json["proved"], check.json["key_arn"]) == (0, True, key)
    assert key in keydeck("--read-only", "incident", "verify-report", str(exported)).stdout

    # Of three files one is there: none of the others appears.
    (folder / "INC-1.md").unlink()
    (folder / "INC-1.html").unlink()
    assert keydeck("incident", "report", "1", "--all", str(folder)).exit_code == 2
    assert [path.name for path in folder.iterdir()] == ["INC-1.json"]

    changed = tmp_path / "changed.json"
    changed.write_text(exported.read_text().replace("A partner", "B partner", 1))
    refused = keydeck("incident", "verify-report", str(changed))
    assert (refused.exit_code, "It was changed" in refused.stdout) == (1, True)
    monkeypatch.delenv("KEYDECK_SIGNING_KEY")
    keyless = keydeck("incident", "verify-report", str(exported))
    assert (keyless.exit_code, key in keyless.stderr) == (2, True)
    changed.write_bytes(b"\xff\x1b[31m[/red]")
    no_report = keydeck("incident", "verify-report", str(changed))
    assert (no_report.exit_code, clean_of(no_report.stdout)) == (1, True)


def is_missing(words: list[str]) -> bool:
    return any(not_installed(" ".join(words[:count])) for count in (1, 2))


def test_every_command_in_a_built_in_runbook_is_one_of_keydecks_with_its_options(keydeck: Keydeck) -> None:
    values = dict.fromkeys(PLACEHOLDERS, "alias/tokens")
    lines = {line for book in RunbookLibrary().read().runbooks for step in book.steps for line in step.do}
    lines |= {step.on_failure for book in RunbookLibrary().read().runbooks for step in book.steps}
    commands = {command for line in lines for command in commands_in(line, values)}
    of_keydeck = [shlex.split(command)[1:] for command in commands if command.startswith("keydeck ")]
    assert len(of_keydeck) > 10
    of_keydeck = [words for words in of_keydeck if not is_missing(words)]
    for words in of_keydeck:
        helped = keydeck(*words, "--help")
        assert helped.exit_code == 0, (words, helped.stderr)
        assert "Usage: " in helped.stdout


def test_an_incident_is_declared_from_an_event_a_finding_or_a_suspect(
    keydeck: Keydeck, services: Container, new_key: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    key, other = new_key(), new_key()
    who = records.user(f"declaring-{key[-6:]}")
    arn = who["arn"]
    calls = [
        records.event("Decrypt", key=key, who=who, eventID=f"{n}0000000-0000-4000-8000-{key[-12:]}")
        for n in range(2)
    ]
    services.trail.events.add(calls)
    start = ("incident", "start", "key-compromise", "--json")
    for told in (("--event", calls[0].event_id), ("--suspect", arn)):
        declared = keydeck(*start, *told)
        assert declared.exit_code == 0, declared.stderr
        scope = declared.json["scope"]
        assert (scope["key"], scope["principal"]) == (key, arn)
        assert (scope["since"] is not None) is (told[0] == "--event")
    assert keydeck(*start, "--event", HOSTILE).exit_code != 0
    refused = keydeck(*start, "--event", calls[0].event_id, "--finding", "kms-public")
    assert (refused.exit_code, "not both" in refused.stderr) == (2, True)

    unheard = keydeck(*start, "--finding", HOSTILE)
    assert (unheard.exit_code, "There is no finding of the rule" in unheard.stderr) == (2, True)
    assert clean_of(unheard.stderr)
    found = tuple(
        Finding("event-new-principal", Severity.HIGH, subject, HOSTILE, "", "", events=(calls[0].event_id,))
        for subject in (arn, other)
    )
    monkeypatch.setattr(incident_scope, "examine", lambda *_: (SimpleNamespace(findings=found), ()))
    several = keydeck(*start, "--finding", "event-new-principal")
    assert (several.exit_code, "2 findings are of this rule" in several.stderr) == (2, True)
    scope = keydeck(*start, "--finding", "event-new-principal", "--suspect", arn).json["scope"]
    assert (scope["key"], scope["principal"]) == (key, arn)
    assert scope["origin"].startswith("finding event-new-principal: [/red]")

    services.trail.events.add(
        [records.event("Decrypt", key=other, who=who, eventID=f"a{calls[0].event_id[1:]}")]
    )
    refused = keydeck(*start, "--suspect", arn)
    assert refused.exit_code == 2
    assert "Several keys were used" in refused.stderr
    assert "--key" in refused.stderr


def test_a_field_with_one_choice_is_filled_in_as_the_form_fills_it_and_others_are_asked_for() -> None:
    only = InputField("key", "Which key?", choices=(("arn:a", "a"),))
    fields = (only, replace(only, name="note", required=False), replace(only, name="days", default="7"))
    assert asked(fields, {}) == {"key": "arn:a", "days": "7"}
    for undecided in (replace(only, choices=(*only.choices, ("arn:b", "b"))), replace(only, several=True)):
        with pytest.raises(click.UsageError, match="give it with --set key=VALUE"):
            asked((undecided,), {})
