"""Consoles that are killed at every step of an incident: the next operator goes on, and nothing is lost.

Each step is ended with SIGKILL at the moments that matter (about a key at one of them in the deep lane), and
INCIDENT_KILLS times at a random one.
FAULTS_SEED repeats what the dice came to:

    INCIDENT_KILLS=5 FAULTS_SEED=7 python -m pytest -m long -s tests/console/faults/test_incident_kills.py
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from console.sandbox.endpoint import ACCOUNT
from console.sandbox.platform_part import PlatformPart
from console.sandbox.provider_tokens import issue
from crypto_core.incidents.model import IncidentScope
from crypto_core.keyring.cipher import TokenCipher
from crypto_core.reencryption.plan import Verb
from crypto_core.values.references import TokenRef
from crypto_core.values.secret import Secret
from tests.console.faults.crew import Crew, crew_of
from tests.console.faults.incident_aftermath import assert_told_whole, opened_tokens
from tests.console.faults.mortal import CALL
from tests.lanes import examples
from tests.platform_rows import put

pytestmark = [pytest.mark.deep, pytest.mark.long]

KILLS = int(os.environ.get("INCIDENT_KILLS", "1"))
"""How often each step is killed at a random moment."""
LIFE_SECONDS = 1.5
"""How long at most a command works on its step before it is killed so."""

BY_HAND = ("its check was looked at", "some evidence is kept")
AT_ACTION = ("its action is begun", "its effect is not remembered", "its effect is remembered")
MOMENTS = {
    "scope": ("its check was looked at", "it is proved and not ended"),
    "evidence": ("evidence is captured and not kept", "some evidence is kept", "a change is not committed"),
    "new-key": (
        "its action is begun",
        f"{CALL}CreateKey",
        f"{CALL}CreateAlias",
        "its effect is not remembered",
        "its effect is remembered",
        *BY_HAND,
    ),
    "switch": ("some evidence is kept",),
    "lock-down": ("a change is not committed", f"{CALL}PutKeyPolicy", *AT_ACTION),
    "reencrypt": ("its job is started", "its job has written a part", *AT_ACTION),
    "encrypt": ("its job is started", "its job has written a part", "it is proved and not ended"),
    "leaked": ("a change is not committed",),
    "census": ("its check was looked at",),
    "quiet": ("its check was looked at",),
    "disable": (f"{CALL}DisableKey", "its effect is remembered", "some evidence is kept"),
    "retention": ("a change is not committed",),
    "copies": ("its check was looked at",),
    "deletion": (f"{CALL}ScheduleKeyDeletion", "its effect is not remembered"),
    "review": ("it is proved and not ended",),
}
"""When each step of the runbook about keys is killed, in this order."""
ANSWERS = {"leaked": "no", "retention": "delete", "key": "the key stays"}

INTRUDER_ALONE = ["--set", f"principals=arn:aws:iam::{ACCOUNT}:user/intruder"]
"""Who is blocked. What is proposed depends on which events have come by now: perhaps the crew, too."""

SKIPPED = {
    "block": "Who else is suspected depends on which events have come by now",
    "quiet": "Its hour is not waited for here",
    "copies": "No copy of this world is registered",
}
"""What can't be proved of this world."""

REVOKED = "its effect is remembered"
WRITTEN = "a token is written"
TOKEN_MOMENTS = {
    "scope": ("some evidence is kept",),
    "evidence": ("some evidence is kept",),
    "abilities": ("its action is begun", "a provider was asked", "its effect is not remembered"),
    "revoke": ("its action is begun", "a provider was asked", "its effect is not remembered", REVOKED),
    "dead": AT_ACTION,
    "enter": (
        "its action is begun",
        "a provider was asked",
        "a token is not written",
        WRITTEN,
        "its effect is not remembered",
        "its effect is remembered",
        "evidence is captured and not kept",
    ),
    "after": ("some evidence is kept",),
}
"""When each step of the runbook about tokens is killed."""


@pytest.fixture
def dice() -> random.Random:
    seed = int(os.environ.get("FAULTS_SEED") or random.SystemRandom().randrange(1_000_000))
    print(f"INCIDENT_KILLS={KILLS} FAULTS_SEED={seed}")
    return random.Random(seed)


def worked_through(
    crew: Crew,
    moments: Mapping[str, tuple[str, ...]],
    each: Callable[[str], list[str]],
    skipped: Mapping[str, str],
    after: Callable[[str, str], None] = lambda step, moment: None,
) -> None:
    """Let each step be killed at its moments, then at random ones, and end it.

    `each` tells a step's options, `skipped` why one is not done, `after` is called after each kill.
    """
    while (view := crew.step()) is not None:
        step, options, began = view.step.id, each(view.step.id), time.monotonic()
        for moment in moments.get(step, ("a change is not committed",)):
            crew.die_at(step, moment, *options)
            after(step, moment)
        for _ in range(KILLS):
            if not crew.view().step(step).state.ended:
                crew.die_somewhen(step, LIFE_SECONDS, *options)
                after(step, "")
        if not crew.view().step(step).state.ended:
            if step in skipped:
                crew.go_on(step, "--reason", skipped[step], verb="skip")
            else:
                crew.go_on(*options)
        print(f"{step}: {crew.kills[step]} kills, {time.monotonic() - began:.1f} s")
    crew.go_on("--outcome", "Worked through by many", verb="close")
    crew.go_on(verb="report")


def told(crew: Crew, began: float) -> None:
    print(f"{crew.kills.total()} kills of {crew.runs} processes, {time.monotonic() - began:.0f} s")
    print(", ".join(f"{step} {number}" for step, number in crew.kills.items()))


@pytest.mark.slow(150)
def test_killing_the_console_at_every_step_about_a_key_loses_and_doubles_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, dice: random.Random
) -> None:
    moments = {
        step: tuple(sorted(dice.sample(all_, examples(len(all_), deep=1)), key=all_.index))
        for step, all_ in MOMENTS.items()
    }
    with crew_of(monkeypatch, tmp_path, dice, connections=150) as crew:
        began = time.monotonic()
        key = crew.sandbox.world.current_key.arn
        before = opened_tokens(crew)
        crew.declare("key-compromise", IncidentScope(key=key))

        def each(step: str) -> list[str]:
            if step == "switch":
                crew.write(0.5)
                assert crew.platform is not None
                new_key = crew.value("new_key")
                crew.platform.switch()
                crew.environment["TOKEN_ENCRYPTION_KEY_ID"] = new_key
                crew.environment["KEYDECK_TRUSTED_KEYS"] += f",{key}"
                PlatformPart(crew.sandbox).writes_under(new_key)
                return ["--wait", "--interval", "1"]
            if step == "block":
                return INTRUDER_ALONE
            if step == "new-key":
                return ["--set", f"platform=arn:aws:iam::{ACCOUNT}:role/keydeck-platform"]
            return ["--answer", ANSWERS[step]] if step in ANSWERS else []

        worked_through(crew, moments, each, SKIPPED)
        assert crew.platform is not None
        written = crew.platform.stop()
        view = assert_told_whole(crew)
        assert {
            s.step.id for s in view.steps if s.step.only_if is None or s.step.id in ("copies", "deletion")
        } == {*crew.kills}
        _assert_tokens(crew, before, written["last"], key)
        _assert_one_key(crew, key)
        _assert_one_job_a_step(crew)
        told(crew, began)


def _assert_tokens(crew: Crew, before: dict[str, str], last: dict[str, str | None], old_key: str) -> None:
    """Every token is what it was, or what the platform has written last, and none is under the old key."""
    crew.sandbox.client("kms").cancel_key_deletion(KeyId=old_key)
    expected = {ref: token for ref, token in (before | last).items() if token is not None}
    assert opened_tokens(crew) == expected
    assert last
    census = crew.container.services.status.take_census()
    assert census.coverage.complete, census.coverage.reasons
    assert census.tokens_under(old_key) == 0
    crew.sandbox.client("kms").schedule_key_deletion(KeyId=old_key)


def _assert_one_key(crew: Crew, old_key: str) -> None:
    """One key was made for the incident, with one alias; the old one is to be deleted."""
    states = {state.key_arn: state for state in crew.container.services.keys.list()}
    name = crew.view().incident.name
    made = [arn for arn, state in states.items() if f" {name} of " in state.description]
    assert made == [crew.value("new_key")]
    assert len(states[made[0]].aliases) == 1
    assert states[old_key].state == "PendingDeletion"


def _assert_one_job_a_step(crew: Crew) -> None:
    jobs = crew.container.services.jobs
    assert jobs is not None
    made = {view.job.verb: view for view in jobs.jobs()}
    assert len(made) == len(jobs.jobs()) == 2
    assert str(made[Verb.REENCRYPT].job.id) == crew.value("job")
    assert str(made[Verb.ENCRYPT].job.id) == crew.value("encrypt_job")


@pytest.mark.slow(95)
def test_killing_the_console_while_tokens_are_revoked_and_entered_loses_none_and_revokes_no_new_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, dice: random.Random
) -> None:
    with crew_of(monkeypatch, tmp_path, dice, connections=40) as crew:
        began = time.monotonic()
        before = opened_tokens(crew)
        slack, github, entered = _some_tokens(crew)
        new = {ref: _issued(crew, ref) for ref in (slack, github, entered)}
        file = tmp_path / "token"
        file.touch(0o600)
        file.write_text(f"{new[entered]}\n")
        crew.declare("token-compromise", IncidentScope(references=tuple(map(str, new))))
        now = dict(before)

        def each(step: str) -> list[str]:
            if step == "enter":
                return ["--set", f"reference={entered}", "--secret", f"token={file}"]
            if step == "block":
                return INTRUDER_ALONE
            return ["--answer", ANSWERS[step]] if step in ANSWERS else []

        def after(step: str, moment: str) -> None:
            """Owners connect again at the worst moments; no row may hold anything but one whole token."""
            if step == "revoke" and moment in ("a provider was asked", REVOKED):
                # Which is revoked first is decided by what the tokens can do.
                ref = _revoked(crew, {r: before[str(r)] for r in (slack, github) if now[str(r)] != new[r]})
                _reconnect(crew, ref, new[ref])
                now[str(ref)] = new[ref]
            if (step, moment) == ("enter", WRITTEN):
                now[str(entered)] = new[entered]
            assert opened_tokens(crew) == now, (step, moment)

        # Of a token that was replaced before its provider's answer was kept, nobody can be asked any more.
        gone = "The owner connected again before the old token was proved dead"
        logs = "The providers' logs are asked for, and will come later."
        worked_through(crew, TOKEN_MOMENTS, each, {"revoke": gone, "dead": gone, "use": logs}, after)
        view = assert_told_whole(crew)
        assert {"revoke", "dead", "enter"} <= {*crew.kills}
        assert view.step("enter").check is not None
        assert opened_tokens(crew) == before | {str(ref): token for ref, token in new.items()}
        providers = crew.sandbox.providers
        for ref, token in new.items():
            assert providers.takes(ref, Secret.of(token)), ref
            assert providers.takes(ref, Secret.of(before[str(ref)])) is False, ref
        told(crew, began)


def _revoked(crew: Crew, tokens: Mapping[TokenRef, str]) -> TokenRef:
    providers, until = crew.sandbox.providers, time.monotonic() + 30
    while time.monotonic() < until:
        for ref, token in tokens.items():
            if providers.takes(ref, Secret.of(token)) is False:
                return ref
        time.sleep(0.05)
    raise AssertionError("no provider has revoked anything")


def _some_tokens(crew: Crew) -> tuple[TokenRef, TokenRef, TokenRef]:
    """A bot's token of Slack, and two of GitHub's, all sealed."""
    sealed = sorted(crew.sandbox.world.sealed_under(crew.sandbox.world.current_key))
    sealed = [ref for ref in sealed if ref not in crew.sandbox.world.corrupt]
    of_slack = [ref for ref in sealed if ref.table == "slack_connection"]
    of_github = [ref for ref in sealed if (ref.table, ref.column) == ("gh_connection", "access_token")]
    return of_slack[0], of_github[0], of_github[1]


def _issued(crew: Crew, ref: TokenRef) -> str:
    style = crew.sandbox.world.tokens[ref].style
    return issue(style, crew.dice.randrange(1_000_000), str(ref))


def _reconnect(crew: Crew, ref: TokenRef, token: str) -> None:
    put(crew.superuser, ref, TokenCipher(crew.container.keyring).encrypt(token, ref=ref).stored)
