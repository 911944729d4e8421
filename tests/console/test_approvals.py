"""keydeck approvals: two people, each on a console of their own, over the sandbox."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import Engine

from console.__main__ import keydeck as command
from console.commands import questions
from console.container import Container
from console.sandbox.sandbox import Sandbox
from console.sandbox.world import World
from console.settings import load
from crypto_core.database.state.approval_book import ApprovalBook
from crypto_core.database.state.journal import Journal
from crypto_core.guard.consent import Consent
from crypto_core.keys.changes import service
from crypto_core.reencryption.jobs.model import JobOptions
from crypto_core.reencryption.jobs.undo import PurgePlan, RestorePlan
from crypto_core.reencryption.plan import Selection, Verb
from crypto_core.values.errors import ApprovalNeededError, RefusedError, SettingsError

Keydeck = Callable[..., Any]
HOME = Path(__file__).parents[2]
ANA, BEN = "ASIATESTOFAPPROVALSA", "ASIATESTOFAPPROVALSB"
NEEDED = "keys disable, reencrypt,backups  purge,jobs restore"


@pytest.fixture
def acting(
    sandbox: Sandbox, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], None]:
    for key, name in ((ANA, "ana"), (BEN, "ben")):
        sandbox.control.add_principal(key, "keydeck-oncall", "role", name)
    monkeypatch.setenv("KEYDECK_APPROVALS", NEEDED)
    monkeypatch.setattr(service.KeyChangeService.__init__, "__kwdefaults__", {"patience": ()})

    def sit(key: str) -> None:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)

    sit(ANA)
    return sit


def test_a_key_is_disabled_once_a_second_person_has_approved_it(
    acting: Callable[[str], None],
    services: Container,
    keydeck: Keydeck,
    sandbox: Sandbox,
    new_key: Callable[[], str],
) -> None:
    key, kms = new_key(), sandbox.client("kms")

    def state() -> str:
        return str(kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"])

    refused = keydeck("keys", "disable", key, "--yes", "--json")
    assert (refused.exit_code, refused.stdout, state()) == (1, "", "Enabled")
    (waiting,) = keydeck("approvals", "list", "--json").json["approvals"]
    assert f"keydeck approvals approve {waiting['id']}" in refused.stderr
    assert waiting["requested_by"].endswith("assumed-role/keydeck-oncall/ana")
    own = keydeck("approvals", "approve", waiting["id"], "--yes")
    assert (own.exit_code, "you can't approve your own" in own.stderr) == (2, True)

    acting(BEN)
    shown = keydeck("approvals", "show", waiting["id"])
    for part in ("Disable ", "kms:DisableKey", key, waiting["digest"], "The key can't wrap or open"):
        assert part in shown.stdout
    unasked = keydeck("approvals", "approve", waiting["id"])
    assert (unasked.exit_code, "--yes" in unasked.stderr) == (2, True)
    approved = keydeck("approvals", "approve", waiting["id"], "--yes")
    assert (approved.exit_code, approved.stdout[:9]) == (0, "Approved:")
    assert keydeck("keys", "disable", key, "--yes").exit_code == 1

    acting(ANA)
    done = keydeck("keys", "disable", key, "--yes", "--json")
    assert (done.exit_code, done.json["verified"], state()) == (0, True, "Disabled"), done.stderr
    assert keydeck("keys", "enable", key, "--yes").exit_code == 0
    assert keydeck("keys", "disable", key, "--yes").exit_code == 1
    told = keydeck("journal", "list", "--json", "--action", "approvals", "--actor", "/ben").json["entries"]
    assert [(e["action"], e["outcome"]) for e in told] == [
        ("approvals approve", "done"),
        ("approvals request", "done"),
    ]
    (refusal, *_) = keydeck("journal", "list", "--json", "--outcome", "refused").json["entries"]
    assert (refusal["action"], "second person" in refusal["detail"]) == ("keys disable", True)
    listed = keydeck("approvals", "list", "--all").stdout
    assert "used" in listed
    denied = keydeck("approvals", "list", "--json").json["approvals"][0]
    assert keydeck("approvals", "deny", denied["id"], "--yes", "--json").json["decision"] == "denied"
    assert keydeck("journal", "verify").exit_code == 0


def approve(container: Container, error: ApprovalNeededError) -> None:
    ben = "arn:aws:sts::123456789012:assumed-role/keydeck-oncall/ben"
    book = ApprovalBook(
        container.engine, Journal(container.engine, lambda: ben), lambda: ben, tokens=container.engine
    )
    (waiting,) = (a for a in book.requests() if str(a.id) == error.request)
    book.decide(waiting, approve=True)


@pytest.mark.deep
def test_tokens_and_backups_wait_for_it_too_however_few(
    acting: Callable[[str], None], services: Container, world: World, stored: Callable[..., str]
) -> None:
    container = Container(load().settings)
    jobs, work, undoing = container.services.jobs, container.services.work, container.tokens.undoing
    assert jobs is not None
    ref = world.sealed_under(world.old_key)[0]
    before = stored(ref)
    plan = work.plan_reencryption(Verb.REENCRYPT, Selection((ref,)), world.current_key.arn)
    with pytest.raises(ApprovalNeededError, match="Re-encrypt") as caught:
        work.run_plan(plan, Consent.by_option(plan))
    assert stored(ref) == before
    approve(container, caught.value)
    again = work.plan_reencryption(Verb.REENCRYPT, Selection((ref,)), world.current_key.arn)
    assert work.run_plan(again, Consent.by_option(again)).done == 1

    chosen = Selection(under_key=world.old_key.arn)
    job_plan = jobs.plan_job(Verb.REENCRYPT, chosen, world.current_key.arn, JobOptions())
    with pytest.raises(ApprovalNeededError) as caught:
        jobs.start_job(job_plan, Consent.by_option(job_plan))
    assert jobs.jobs() == ()
    approve(container, caught.value)
    job = jobs.start_job(job_plan, Consent.by_option(job_plan))
    assert jobs.cancel_job(job).job.id == job
    with pytest.raises(ApprovalNeededError):
        jobs.start_job(job_plan, Consent.by_option(job_plan))

    one = Selection((world.sealed_under(world.old_key)[1],))
    one_plan = jobs.plan_job(Verb.REENCRYPT, one, world.current_key.arn, JobOptions())
    with pytest.raises(ApprovalNeededError) as caught:
        jobs.start_job(one_plan, Consent.by_option(one_plan))
    approve(container, caught.value)
    moved = jobs.start_job(one_plan, Consent.by_option(one_plan))
    assert jobs.join_job(moved).done == 1
    restore = undoing.plan_restore(moved)
    with pytest.raises(ApprovalNeededError, match="Restore 1 envelope that job"):
        undoing.start_restore(restore, Consent.by_option(restore))
    made_up = RestorePlan(job, 1, (world.old_key.arn,))
    with pytest.raises(RefusedError, match="No envelope is kept"):
        undoing.start_restore(made_up, Consent.by_option(made_up))

    purge = undoing.plan_purge()
    with pytest.raises(ApprovalNeededError, match="Forget 2 replaced envelopes for good") as caught:
        undoing.purge_backups(purge, Consent.by_option(purge))
    assert undoing.plan_purge().envelopes == 2
    approve(container, caught.value)
    fewer = PurgePlan(1)
    with pytest.raises(RefusedError, match="has changed since the preview"):
        undoing.purge_backups(fewer, Consent.by_option(fewer))
    assert undoing.purge_backups(undoing.plan_purge(), Consent.by_option(purge)) == 2
    told = [(e.action, e.outcome) for e in container.journal.entries()]
    for entry in (("backups purge", "dry run"), ("backups purge", "refused"), ("reencrypt", "refused")):
        assert entry in told
    container.close()


_DIGESTS = """
import json, sys
from console.settings import load
from console.container import Container
from crypto_core.keys.changes.change import ChangeKind, KeyChange
from crypto_core.reencryption.jobs.model import JobOptions
from crypto_core.reencryption.plan import Selection, Verb
from crypto_core.values.references import parse_reference
old, new, rows = json.loads(sys.argv[1])
services = Container(load().settings).services
refs = tuple(parse_reference(row) for row in rows)
kinds = (ChangeKind.DISABLE, ChangeKind.SCHEDULE_DELETION, ChangeKind.ROTATE, ChangeKind.ENABLE_ROTATION)
plans = [services.key_changes.plan_change(KeyChange(kind, old, period_days=400)) for kind in kinds]
for selection in (Selection(under_key=old), Selection(refs), Selection(everything=True)):
    plans.append(services.jobs.plan_job(Verb.REENCRYPT, selection, new, JobOptions(accepted=("*",))))
    plans.append(services.jobs.plan_job(Verb.REENCRYPT, selection, new, JobOptions()))
plans.append(services.undoing.plan_purge())
print(json.dumps([plan.digest for plan in plans]))
"""


@pytest.mark.deep
def test_a_plan_has_one_digest_in_every_process_while_nothing_changes(
    services: Container, world: World
) -> None:
    rows = sorted({f"{ref.table}:{ref.row_id}" for ref in world.sealed_under(world.old_key)})[:5]
    told = json.dumps([world.old_key.arn, world.current_key.arn, rows])
    found = []
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", _DIGESTS, told],
            check=True,
            capture_output=True,
            text=True,
            cwd=HOME,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(HOME)},
        )
        found.append(json.loads(done.stdout))
    assert found[0] == found[1]
    assert len(set(found[0])) == len(found[0])


@pytest.mark.quick(1)
@pytest.mark.parametrize(
    ("typed", "code", "decision"),
    [("approve\n", 0, "approved"), ("yes\n", 1, "pending"), ("\n", 1, "pending")],
)
def test_on_a_terminal_the_plan_is_shown_and_the_word_is_typed(
    acting: Callable[[str], None],
    services: Container,
    keydeck: Keydeck,
    new_key: Callable[[], str],
    monkeypatch: pytest.MonkeyPatch,
    typed: str,
    code: int,
    decision: str,
) -> None:
    key = new_key()
    keydeck("keys", "disable", key, "--yes")
    acting(BEN)
    (waiting,) = keydeck("approvals", "list", "--json").json["approvals"]
    terminal = type("In", (), {"isatty": lambda: True})
    monkeypatch.setattr(questions, "sys", type("Sys", (), {"stdin": terminal}))
    ran = CliRunner().invoke(command, ["approvals", "approve", waiting["id"]], input=typed)
    assert ran.exit_code == code
    assert key in ran.stderr
    assert keydeck("approvals", "show", waiting["id"], "--json").json["decision"] == decision


def test_settings_that_name_no_action_are_refused_with_the_list(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]
) -> None:
    monkeypatch.setenv("KEYDECK_APPROVALS", "keys disable, keys explode\x1b[31m")
    with pytest.raises(
        SettingsError, match=r"KEYDECK_APPROVALS .*'keys explode\[31m' is not an operation.*keys put-policy"
    ) as caught:
        load()
    assert "\x1b" not in str(caught.value)
    monkeypatch.setenv("KEYDECK_APPROVALS", NEEDED)
    assert load().settings.approvals == ("keys disable", "reencrypt", "backups purge", "jobs restore")
    monkeypatch.setenv("KEYDECK_APPROVAL_MINUTES", "0")
    with pytest.raises(SettingsError, match="KEYDECK_APPROVAL_MINUTES"):
        load()


def test_without_approvals_nothing_is_asked_of_anybody(
    services: Container, keydeck: Keydeck, new_key: Callable[[], str], superuser: Engine
) -> None:
    assert services.services.approvals is None
    assert keydeck("keys", "disable", new_key(), "--yes").exit_code in (0, 1)
    assert keydeck("approvals", "list", "--all", "--json").json == {"approvals": []}
    empty = keydeck("approvals", "list")
    assert (empty.exit_code, empty.stdout, empty.stderr) == (0, "", "No pending approvals.\n")
    assert keydeck("approvals", "show", "not-an-id").exit_code == 2
