"""Providers are asked what the tokens in scope can do, and revocation goes by it: the worst first."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from sqlalchemy import Engine

from console.sandbox.provider_abilities import truth_of
from console.sandbox.provider_tokens import MARKER
from console.sandbox.sandbox import Sandbox
from console.sandbox.world import World
from crypto_core.forensics.abilities.service import AbilityService
from crypto_core.incidents.model import CheckState
from crypto_core.incidents.runbooks.catalogue import ActionKind, CaptureKind, CheckKind
from crypto_core.incidents.tokens.toolbox import token_tools
from crypto_core.values.errors import AbilityBookError, NotConfirmedError, RefusedError
from crypto_core.values.references import TokenRef
from tests.crypto_core.forensics.abilities.conftest import with_abilities
from tests.crypto_core.incidents.tokens.staging import Stage
from tests.crypto_core.incidents.tokens.test_operations_of_actions import performed
from tests.platform_rows import connect_github

ASK, REVOKE, CHECK = ActionKind.ASK_ABILITIES, ActionKind.REVOKE_TOKENS, CheckKind.ABILITIES_ASKED


def classic(scopes: set[str], start: int = 0) -> str:
    tokens = (f"ghp_{MARKER}{number:025}" for number in range(start, start + 1_000))
    return next(token for token in tokens if set(truth_of(token).scopes) == scopes)


@pytest.fixture
def real(stage: Stage, sandbox: Sandbox) -> Stage:
    sandbox.providers.clear()
    parts = replace(stage.parts, providers=stage.container.tokens.providers)
    return with_abilities(replace(stage, parts=parts, tools=token_tools(parts, stage.open_restored)))


def test_the_worst_token_is_revoked_first_and_the_incident_does_not_say_what_it_can_do(
    real: Stage, platform: Engine, sandbox: Sandbox, world: World
) -> None:
    harmless, mighty = classic(set()), classic({"repo", "read:org", "admin:org"})
    refs = connect_github(platform, "one", harmless), connect_github(platform, "two", mighty)
    stage = real.about(*refs)
    assert stage.look(CHECK).state is CheckState.NOT_YET
    plan = stage.plan(REVOKE)
    assert "of 0 of 2 tokens it is known what they can do" in " ".join(plan.does)

    with pytest.raises(NotConfirmedError):
        stage.tools.actions[ASK].run_action(stage.situation(), stage.plan(ASK), None)
    assert sandbox.providers.calls() == ()
    result = stage.run(ASK)
    assert result.complete
    assert result.lines[0] == "2 tokens: 2 known, 0 not known."
    assert stage.look(CHECK).state is CheckState.PASSED
    # Asked once: the next run finds the answers young enough.
    before = len(sandbox.providers.calls())
    assert stage.run(ASK).lines[0] == "2 tokens: 2 known, 0 not known."
    assert len(sandbox.providers.calls()) == before

    lines = list(stage.plan(REVOKE).does)
    worst, least = (next(n for n, line in enumerate(lines) if str(ref) in line) for ref in reversed(refs))
    assert worst < least
    assert "It administers what it reaches." in lines[worst]
    assert stage.plan(REVOKE).inner.tokens == (refs[1], refs[0])
    # What is worth most is no reader of the database's to know.
    kept = stage.everything_kept()
    assert not any(word in kept for word in ("admin:org", "administers", "score"))
    assert MARKER not in kept
    sandbox.providers.clear()


def test_a_token_that_nobody_can_be_asked_about_is_named_and_revoked_first(
    real: Stage, platform: Engine, sandbox: Sandbox, world: World
) -> None:
    harmless = connect_github(platform, "one", classic(set()))
    refresh = next(
        r for r in sorted(world.tokens) if (r.table, r.column) == ("gh_connection", "refresh_token")
    )
    stage = real.about(harmless, refresh)
    result = stage.run(ASK)
    assert f"{refresh}: not known: " in " ".join(result.lines)
    seen = stage.look(CHECK)
    assert seen.state is CheckState.PASSED
    assert f"{refresh}: not known, so it counts as the worst" in " ".join(seen.lines)
    in_short = stage.capture(CaptureKind.ABILITIES)
    assert (in_short["summary"], in_short["known"], in_short["not_known"]) == (True, 1, 1)
    assert stage.look(CHECK).state is CheckState.PASSED, "a step that keeps it in short still passes"
    assert stage.plan(REVOKE).inner.tokens[0] == refresh
    sandbox.providers.clear()


def test_revocation_does_not_wait_for_an_order_that_can_not_be_had(
    real: Stage, platform: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref: TokenRef = connect_github(platform, "one", classic(set()))

    def broken(*_: object) -> None:
        raise AbilityBookError("The answers are damaged.")

    monkeypatch.setattr(AbilityService, "kept", broken)
    plan = real.about(ref).plan(REVOKE)
    assert plan.inner.tokens == (ref,)
    assert "Not in order, the worst first: The answers are damaged." in plan.warnings


def test_asking_calls_nothing_but_what_it_names_and_journals_nothing(
    stage: Stage, world: World, sandbox: Sandbox
) -> None:
    refs = [r for r in world.sealed_under(world.current_key) if r.table == "gh_connection"][:2]
    stage.about(*refs)
    before = Counter(sandbox.control.stats().calls)
    stage.run(ASK)
    called = {name for name in Counter(sandbox.control.stats().calls) - before if name.startswith("kms:")}
    assert "kms:Decrypt" in called <= {*ASK.does.iam, "kms:DescribeKey"}
    assert performed(stage) == set()


def test_there_is_nothing_to_keep_before_a_provider_was_asked(stage: Stage, world: World) -> None:
    stage.about(next(iter(world.sealed_under(world.current_key))))
    with pytest.raises(RefusedError, match="no abilities to keep yet"):
        stage.capture(CaptureKind.ABILITIES)
