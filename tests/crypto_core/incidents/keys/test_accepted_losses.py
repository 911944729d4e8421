"""Tokens under the compromised key that open for nobody: accepted by number and with a reason, no others."""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Engine, text

from console.container import Container
from console.sandbox.endpoint import Denial, Fault
from console.settings import load
from crypto_core.envelope import parse, serialise
from crypto_core.guard.consent import Consent, Danger
from crypto_core.incidents.model import CheckState, EntryKind, IncidentScope
from crypto_core.incidents.runbooks.catalogue import ActionKind, CheckKind
from crypto_core.incidents.steps.step_contracts import ActionPlan
from crypto_core.values import errors
from tests.crypto_core.agreed import agreed
from tests.crypto_core.damaging import damaged
from tests.crypto_core.incidents.keys.conftest import Scene, told

REENCRYPT, DISABLE, SCHEDULE = ActionKind.REENCRYPT, ActionKind.DISABLE_KEY, ActionKind.SCHEDULE_DELETION
EMPTY, STATE = CheckKind.NOTHING_UNDER_KEY, CheckKind.KEY_STATE
WHY = "The owners were asked to connect again."
STORED = "SELECT id, bot_token FROM slack_connection ORDER BY id"
PUT = text("UPDATE slack_connection SET bot_token = :stored WHERE id = :id")

Damage = Callable[[str], str]


def in_its_ciphertext(stored: str) -> str:
    envelope = parse(stored)
    return serialise(replace(envelope, ciphertext=damaged(envelope.ciphertext)))


def in_its_data_key(stored: str) -> str:
    envelope = parse(stored)
    return serialise(replace(envelope, encrypted_data_key=damaged(envelope.encrypted_data_key)))


def in_its_header(stored: str) -> str:
    envelope = parse(stored)
    return serialise(replace(envelope, encrypted_data_key=b"\xff" + envelope.encrypted_data_key[1:]))


def cut_short(stored: str) -> str:
    return stored[: len(stored) * 3 // 4 // 4 * 4]


class Losses:
    """An incident about the scene's key, kept in the database, and what its tokens are damaged with."""

    def __init__(self, scene: Scene, platform: Engine) -> None:
        self.scene = scene
        self.platform = platform
        self.incidents = scene.container.incident_response.incidents
        self.number = self.incidents.declare("key-compromise", IncidentScope(key=scene.key))
        self.name = f"INC-{self.number}"

    def rows(self) -> list[tuple[int, str]]:
        with self.platform.begin() as connection:
            return [(row.id, row.bot_token) for row in connection.execute(text(STORED))]

    def put(self, row: int, stored: str) -> None:
        with self.platform.begin() as connection:
            connection.execute(PUT, {"id": row, "stored": stored})

    def damage(self, *how: Damage, first: int = 0) -> list[str]:
        found = self.rows()[first : first + len(how)]
        for (row, stored), one in zip(found, how, strict=True):
            self.put(row, one(stored))
        return [f"slack_connection.bot_token:{row}" for row, _ in found]

    def plan(self, reason: str = WHY) -> ActionPlan:
        return self.incidents.plan_accept_lost(self.number, reason)

    def accept(self) -> ActionPlan:
        plan = self.plan()
        assert self.incidents.accept_lost(self.number, plan, agreed(plan)).complete
        return plan

    def status(self) -> list[str]:
        taken = self.scene.container.status.take_census()
        assert sum(share.tokens for share in taken.keys) <= taken.tokens
        return [of_key.words("the old key") for of_key in taken.accepted]

    def state(self) -> str:
        return str(self.scene.stage.kms.describe_key(KeyId=self.scene.key)["KeyMetadata"]["KeyState"])


@pytest.fixture
def losses(scene: Scene, platform: Engine) -> Losses:
    scene.stage.connect(scene.key, 5)
    scene.values["new_key"] = scene.stage.key()
    return Losses(scene, platform)


@pytest.fixture
def gone(losses: Losses) -> Iterator[Losses]:
    """Of the five, one each was damaged in another way; the fifth was moved to the new key."""
    losses.damage(in_its_ciphertext, in_its_data_key, in_its_header, cut_short)
    losses.scene.do(REENCRYPT)
    yield losses
    losses.scene.sandbox.control.clear()


def test_what_opens_for_nobody_is_named_and_accepted_and_the_key_can_be_retired(gone: Losses) -> None:
    scene, references = gone.scene, [f"slack_connection.bot_token:{row}" for row, _ in gone.rows()][:4]
    stuck = scene.look(EMPTY)
    assert stuck.state is CheckState.FAILED
    lost = stuck.lost
    assert lost == len([line for line in stuck.lines if line.startswith("Can't be opened: ")])
    assert 3 <= lost <= 4
    assert "keydeck incident accept-lost 7" in told(stuck)
    plan = gone.plan()
    assert (plan.danger, plan.confirmation) == (Danger.TYPED, str(lost))
    named = [r for r in references if any(line.startswith(f"{r}: ") for line in plan.does)]
    assert len(named) == lost
    assert any("can damage an envelope" in line for line in plan.warnings)
    for consent in (
        None,
        Consent.pressed(plan),
        Consent.by_option(plan),
        Consent.typed(plan, str(lost + 1)),
        Consent("another", agreed(plan).origin, plan.confirmation),
    ):
        with pytest.raises(errors.NotConfirmedError):
            gone.incidents.accept_lost(gone.number, plan, consent)
    assert gone.incidents.accepted_losses(gone.number) == ()
    assert gone.incidents.accept_lost(gone.number, plan, agreed(plan)).complete
    passed = scene.look(EMPTY)
    assert (passed.state, passed.lost) == (CheckState.PASSED, 0), told(passed)
    words = f"0 left but for {lost} accepted as unrecoverable in {gone.name}: "
    (line,) = {line for line in passed.lines if words in line}
    assert all(reference in line for reference in named)
    (kept,) = gone.incidents.accepted_losses(gone.number)
    assert ([t.reference for t in kept.tokens], kept.reason, kept.key_arn) == (named, WHY, scene.key)
    view = gone.incidents.show(gone.number)
    (entry,) = [entry for entry in view.entries if entry.kind is EntryKind.ACCEPTED]
    assert WHY in entry.text
    assert all(reference in entry.text for reference in named)
    outcomes = [outcome for action, outcome in scene.journaled() if action == "incident accept-lost"]
    assert outcomes == ["dry run", *["refused"] * 5, "started", "done"]
    assert gone.status() == [f"{lost} under the old key, all {lost} accepted as unrecoverable in {gone.name}"]
    # The rest of the runbook goes by the same proof.
    for kind, state, options in ((DISABLE, "Disabled", {}), (SCHEDULE, "PendingDeletion", {"days": 7})):
        taking = scene.plan(kind, **options)
        # What is lost for good with the key takes its number, not --yes.
        assert taking.inner.plans[0].refused_unless_typed
        assert taking.inner.plans[0].confirmation == str(lost)
        assert any(words in fact.before for fact in taking.inner.plans[0].facts)
        assert any(f"{lost} accepted as unrecoverable" in line for line in taking.warnings)
        assert scene.run(kind, taking).complete
        assert gone.state() == state
    assert gone.status() == [f"{lost} under the old key, all {lost} accepted as unrecoverable in {gone.name}"]


@pytest.mark.deep
@pytest.mark.parametrize("how", [in_its_ciphertext, in_its_data_key, in_its_header])
def test_one_more_token_is_not_covered(losses: Losses, how: Damage) -> None:
    scene = losses.scene
    losses.damage(in_its_data_key, in_its_data_key)
    scene.do(REENCRYPT)
    losses.accept()
    assert scene.look(EMPTY).state is CheckState.PASSED
    scene.stage.connect(scene.key)
    (more,) = losses.damage(how, first=5)
    again = scene.look(EMPTY)
    assert (again.state is CheckState.PASSED, again.lost) == (False, 1), told(again)
    assert any(line.startswith(f"Can't be opened: {more}: ") for line in again.lines)
    plan = losses.plan()
    assert plan.confirmation == "1"
    assert any(line.startswith(f"{more}: ") for line in plan.does)
    losses.accept()
    assert scene.look(EMPTY).state is CheckState.PASSED
    assert losses.status() == [f"3 under the old key, all 3 accepted as unrecoverable in {losses.name}"]


def test_what_was_accepted_stands_in_every_form_of_the_report(losses: Losses) -> None:
    references = losses.damage(in_its_data_key, in_its_ciphertext)
    losses.accept()
    (kept,) = losses.incidents.accepted_losses(losses.number)
    for form in ("markdown", "html", "json"):
        report = losses.incidents.report(losses.number, form)
        for words in (*references, *(token.sha256 for token in kept.tokens), WHY):
            assert words in report, (form, words)
        assert "2 tokens can't be opened by anybody" in html.unescape(report)


@pytest.mark.deep
def test_a_copy_of_an_accepted_value_in_another_row_is_one_more_token(losses: Losses) -> None:
    scene = losses.scene
    losses.damage(in_its_data_key)
    scene.do(REENCRYPT)
    losses.accept()
    scene.stage.connect(scene.key)
    losses.put(losses.rows()[5][0], losses.rows()[0][1])
    again = scene.look(EMPTY)
    assert (again.state is CheckState.PASSED, again.lost) == (False, 1), told(again)
    plan = scene.plan(DISABLE)
    assert plan.inner.plans[0].refused_unless_typed


@pytest.mark.deep
def test_a_value_that_changes_between_acceptance_and_disable_keeps_the_key(losses: Losses) -> None:
    scene, intact = losses.scene, losses.rows()[0][1]
    row = losses.rows()[0][0]
    losses.damage(in_its_data_key, in_its_ciphertext)
    scene.do(REENCRYPT)
    losses.accept()
    plan = scene.plan(DISABLE)
    # The right envelope is put back: the token opens again, and would be lost with the key.
    losses.put(row, intact)
    with pytest.raises(errors.RefusedError, match="has changed since the preview"):
        scene.run(DISABLE, plan)
    assert losses.state() == "Enabled"
    with pytest.raises(errors.RefusedError, match="1 token under"):
        scene.plan(DISABLE)
    assert scene.look(EMPTY).state is not CheckState.PASSED
    # Damaged in another way it is another value, too.
    losses.damage(in_its_ciphertext)
    assert scene.look(EMPTY).lost == 1
    # Once its owner has connected again, nothing is left of it, and nothing is claimed of it.
    scene.stage.connect(scene.values["new_key"])
    losses.put(row, losses.rows()[5][1])
    passed = scene.look(EMPTY)
    assert passed.state is CheckState.PASSED, told(passed)
    assert f"0 left but for 1 accepted as unrecoverable in {losses.name}" in told(passed)
    assert losses.status() == [f"1 under the old key, 1 accepted as unrecoverable in {losses.name}"]


def test_a_token_that_opens_is_never_accepted(losses: Losses) -> None:
    with pytest.raises(errors.RefusedError, match="5 tokens can be opened"):
        losses.plan()
    (gone,) = losses.damage(in_its_data_key)
    plan = losses.plan()
    assert plan.confirmation == "1"
    assert any(line.startswith("Not covered, as it opens: ") for line in plan.warnings)
    losses.accept()
    look = losses.scene.look(EMPTY)
    assert look.state is CheckState.NOT_YET
    assert f"4 tokens, besides 1 accepted as unrecoverable in {losses.name}: {gone}" in told(look)
    assert losses.status() == [f"5 under the old key, 1 of them accepted as unrecoverable in {losses.name}"]


@pytest.mark.quick(1)
@pytest.mark.parametrize("answer", ["denied", "ThrottlingException", "KMSInternalException", "disabled"])
def test_what_kms_gives_no_clear_answer_about_is_never_accepted(
    losses: Losses, answer: str, short_waits: None
) -> None:
    """A role that may not decrypt, a throttled account: nothing is proved of any token."""
    scene, control = losses.scene, losses.scene.sandbox.control
    losses.damage(in_its_data_key, in_its_ciphertext)
    plan = losses.plan()
    if answer == "denied":
        control.add_denial(Denial("*", "kms:Decrypt", scene.key.rpartition("/")[2]))
    elif answer == "disabled":
        scene.stage.kms.disable_key(KeyId=scene.key.rpartition("/")[2])
    else:
        control.add_fault(Fault("Decrypt", answer))
    try:
        with pytest.raises(errors.RefusedError, match="nothing is known"):
            losses.plan()
        # Nor does a plan hold that was made before.
        with pytest.raises(errors.RefusedError):
            losses.incidents.accept_lost(losses.number, plan, agreed(plan))
    finally:
        control.clear()
    assert losses.incidents.accepted_losses(losses.number) == ()
    assert ("incident accept-lost", "refused") in scene.journaled()


@pytest.mark.deep
def test_an_acceptance_counts_only_while_kms_says_the_same(
    losses: Losses, monkeypatch: pytest.MonkeyPatch, short_waits: None
) -> None:
    """A lie of KMS, a gap of a moment: a token that opens after all is not covered."""
    scene, call = losses.scene, losses.scene.container.kms.call
    (row, stored), *_ = losses.rows()
    about = parse(stored).encrypted_data_key
    losses.damage(in_its_data_key, first=1)

    def lie(name: str, **parameters: Any) -> Any:
        if name == "Decrypt" and parameters["CiphertextBlob"] == about:
            parameters["CiphertextBlob"] = damaged(about)
        return call(name, **parameters)

    with monkeypatch.context() as lying:
        lying.setattr(scene.container.kms, "call", lie)
        assert losses.accept().confirmation == "2"
    look = scene.look(EMPTY)
    assert f"Accepted in {losses.name}, not covered now: slack_connection.bot_token:{row}: it opens" in told(
        look
    )
    assert "besides 1 accepted as unrecoverable" in told(look)
    scene.do(REENCRYPT)
    assert scene.look(EMPTY).state is CheckState.PASSED
    # Of what KMS gives no answer about now, nothing is claimed.
    scene.sandbox.control.add_denial(Denial("*", "kms:Decrypt", scene.key.rpartition("/")[2]))
    blind = scene.look(EMPTY)
    assert blind.state is not CheckState.PASSED
    assert f"Accepted in {losses.name}, not covered now" in told(blind)
    assert "0 left" not in told(blind)


def test_a_changed_or_forged_acceptance_counts_for_nothing(losses: Losses, superuser: Engine) -> None:
    scene = losses.scene
    losses.damage(in_its_data_key, in_its_data_key)
    losses.accept()
    (row, _) = losses.rows()[1]
    forged = (
        "UPDATE keydeck.incident_evidence SET content = :content, sha256 = :sha WHERE kind = 'accepted-loss'"
    )
    (kept,) = losses.incidents.accepted_losses(losses.number)
    whole = json.loads(losses.incidents.evidence(losses.number, kept.evidence))
    content = json.dumps(whole | {"tokens": whole["tokens"] * 2})
    with superuser.begin() as connection:
        connection.execute(text("ALTER TABLE keydeck.incident_evidence DISABLE TRIGGER ALL"))
        connection.execute(text(forged), {"content": content, "sha": kept.tokens[0].sha256})
    look = scene.look(EMPTY)
    assert look.state is not CheckState.PASSED
    assert "An acceptance counts for nothing: " in told(look)
    assert look.lost == 2
    assert losses.status() == []
    with pytest.raises(errors.EvidenceError):
        losses.incidents.accepted_losses(losses.number)
    assert f":{row}" in told(look)


def test_an_acceptance_is_of_one_key_and_of_an_open_incident(losses: Losses) -> None:
    scene, incidents = losses.scene, losses.incidents
    losses.damage(in_its_data_key)
    for reason in ("", "  ", "x"):
        with pytest.raises(errors.RefusedError, match="reason"):
            losses.plan(reason)
    other = incidents.declare("key-compromise", IncidentScope(key=scene.values["new_key"]))
    with pytest.raises(errors.RefusedError, match="Of no token"):
        incidents.plan_accept_lost(other, WHY)
    about_tokens = incidents.declare(
        "token-compromise", IncidentScope(references=(f"slack_connection.bot_token:{losses.rows()[1][0]}",))
    )
    with pytest.raises(errors.RefusedError, match="not about a KMS key"):
        incidents.plan_accept_lost(about_tokens, WHY)
    plan = losses.plan()
    with pytest.raises(errors.RefusedError, match="not one of the incident"):
        incidents.accept_lost(other, plan, agreed(plan))
    for step in incidents.show(losses.number).steps:
        if not incidents.show(losses.number).step(step.step.id).state.ended:
            incidents.skip(losses.number, step.step.id, "Not needed here.")
    incidents.close(losses.number, "A test.")
    with pytest.raises(errors.RefusedError, match="is closed"):
        losses.plan()
    with pytest.raises(errors.RefusedError, match="is closed"):
        incidents.accept_lost(losses.number, plan, agreed(plan))


def test_a_second_person_approves_exactly_this_acceptance(
    losses: Losses, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses.damage(in_its_data_key)
    monkeypatch.setenv("KEYDECK_APPROVALS", "incident accept-lost")
    container = Container(load().settings)
    try:
        plan = container.incident_response.incidents.plan_accept_lost(losses.number, WHY)
        assert plan.digest == losses.plan().digest
        for _ in range(2):
            with pytest.raises(errors.ApprovalNeededError):
                container.incident_response.incidents.accept_lost(losses.number, plan, agreed(plan))
        (request,) = container.approvals.requests()
        assert (request.action, request.digest) == ("incident accept-lost", plan.digest)
        assert losses.incidents.accepted_losses(losses.number) == ()
        with pytest.raises(errors.RefusedError):
            container.approvals.decide(request, approve=True)
    finally:
        container.close()


def test_read_only_nothing_is_accepted(losses: Losses) -> None:
    losses.damage(in_its_data_key)
    plan = losses.plan()
    container = Container(load({"read_only": True}).settings)
    try:
        with pytest.raises(errors.ReadOnlyError):
            container.incident_response.incidents.accept_lost(losses.number, plan, agreed(plan))
    finally:
        container.close()


def test_hostile_text_and_no_token_get_into_what_is_kept(losses: Losses, superuser: Engine) -> None:
    nasty = "x[/red]\x1b]0;y\x07#%"
    stored = in_its_data_key(losses.rows()[0][1])
    insert = (
        "INSERT INTO gh_connection (id, org_id, user_id, access_token, token_type, installation_id, scopes,"
        " created_at) VALUES (:id, 'o', 'u', :stored, 'oauth', 1, '[]', now())"
    )
    with losses.platform.begin() as connection:
        for row_id in (nasty, "y" * 100_000):
            connection.execute(text(insert), {"id": row_id, "stored": stored})
    losses.incidents.accept_lost(
        losses.number,
        plan := losses.plan(f"\x1b[31m[/red] {'long ' * 2_000_000} ghp_{'a' * 36}"),
        agreed(plan),
    )
    assert plan.confirmation == "2"
    look = losses.scene.look(EMPTY)
    assert "besides 2 accepted as unrecoverable" in told(look)
    (kept,) = losses.incidents.accepted_losses(losses.number)
    view = losses.incidents.show(losses.number)
    texts = [*(e.text for e in view.entries), kept.reason, *plan.does, *plan.warnings, *look.lines]
    texts += losses.status()
    assert all("\x1b" not in t and "\x07" not in t and len(t) < 5_000 for t in texts)
    evidence = losses.incidents.evidence(losses.number, kept.evidence)
    for secret in (stored, stored[4:60], f"ghp_{'a' * 36}"):
        assert secret not in evidence
        assert not any(secret in t for t in texts)
