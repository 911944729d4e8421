"""Every action about tokens performs the operations that it names, all of them and no other."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from sqlalchemy import Engine

from console.sandbox.provider_tokens import MARKER
from console.sandbox.sandbox import Sandbox
from console.sandbox.world import World
from crypto_core.guard.held_step import performing
from crypto_core.guard.operations import operation_of
from crypto_core.incidents.runbooks.catalogue import ActionKind
from crypto_core.incidents.tokens.toolbox import token_tools
from crypto_core.values.errors import RefusedError
from crypto_core.values.secret import Secret
from tests.crypto_core.incidents.tokens.staging import Stage
from tests.platform_rows import connect_github

OLD, NEW = f"ghp_{MARKER}{1:025}", f"ghp_{MARKER}{2:025}"


def performed(stage: Stage) -> set[str]:
    done = {operation_of(e.action) for e in stage.container.journal.entries() if e.outcome == "done"}
    return {operation.name for operation in done if operation is not None}


def test_a_token_is_revoked_at_its_provider(stage: Stage, platform: Engine, sandbox: Sandbox) -> None:
    sandbox.providers.clear()
    stage.about(connect_github(platform, "own", OLD))
    tools = token_tools(replace(stage.parts, providers=stage.container.tokens.providers), stage.open_restored)
    replace(stage, tools=tools).run(ActionKind.REVOKE_TOKENS)
    assert performed(stage) == {"revoke"}
    sandbox.providers.clear()


def test_a_new_token_is_entered(stage: Stage, world: World) -> None:
    ref = next(r for r in world.sealed_under(world.current_key) if r.column == "access_token")
    stage.about(ref).run(ActionKind.ENTER_TOKEN, reference=str(ref), token=Secret.of(NEW))
    assert performed(stage) == {"enter token"}


@pytest.mark.parametrize(
    "kind",
    [ActionKind.VERIFY_TOKENS, ActionKind.VERIFY_RESTORED, ActionKind.ASK_LIVENESS],
)
def test_what_only_looks_calls_nothing_but_what_it_names_and_journals_nothing(
    stage: Stage, world: World, sandbox: Sandbox, kind: ActionKind
) -> None:
    refs = [r for r in world.sealed_under(world.current_key) if r.table == "gh_connection"][:2]
    stage.about(*refs, database="restored" if kind is ActionKind.VERIFY_RESTORED else "")
    before = Counter(sandbox.control.stats().calls)
    stage.run(kind, {"sample": 3} if kind is ActionKind.VERIFY_RESTORED else None)
    called = {name for name in Counter(sandbox.control.stats().calls) - before if name.startswith("kms:")}
    assert "kms:Decrypt" in called <= {*kind.does.iam, "kms:DescribeKey"}
    assert performed(stage) == set()


def test_what_an_action_does_not_name_is_refused_before_anything_is_sent(
    stage: Stage, platform: Engine, sandbox: Sandbox
) -> None:
    stage.about(connect_github(platform, "own", OLD))
    tools = token_tools(replace(stage.parts, providers=stage.container.tokens.providers), stage.open_restored)
    calls = len(sandbox.providers.calls())
    with (
        performing(ActionKind.ENTER_TOKEN.does.operations),
        pytest.raises(RefusedError, match="does not perform revoke tokens: it performs enter token"),
    ):
        tools.actions[ActionKind.REVOKE_TOKENS].plan_action(stage.situation())
    assert len(sandbox.providers.calls()) == calls
