"""What actions do, by the one table of operations."""

from __future__ import annotations

import pytest

from console.capabilities import not_installed
from console.container import Container
from crypto_core.database.state.incidents import IncidentStore
from crypto_core.guard.consent import Danger
from crypto_core.guard.held_step import performing, require_named
from crypto_core.guard.iam_policy import iam_policy
from crypto_core.guard.operations import BY_NAME, KeydeckRole
from crypto_core.incidents.runbooks.catalogue import STEP_ACTIONS, ActionKind, CaptureKind, CheckKind
from crypto_core.incidents.steps.own_checks import own_checks
from crypto_core.values.errors import RefusedError


def test_every_action_says_what_it_does() -> None:
    assert set(STEP_ACTIONS) == set(ActionKind)
    assert len({kind.does.words for kind in ActionKind}) == len(ActionKind)
    assert all(kind.does.operations for kind in ActionKind)


def test_the_console_has_every_action_check_and_piece_of_evidence(services: Container) -> None:
    tools = services.incident_response.tools
    own = own_checks(IncidentStore(services.state_engine, services.journal), tools)
    assert set(tools.actions) == {kind for kind in ActionKind if not not_installed(kind, "Action")}
    assert {*tools.checks, *own} == {kind for kind in CheckKind if not not_installed(kind, "Check")}
    here = {kind for kind in CaptureKind if not not_installed(kind, "Capture")}
    assert set(tools.captures) == here


def test_what_an_action_takes_is_what_its_operations_take() -> None:
    locking = ActionKind.LOCK_DOWN_KEY.does
    assert (locking.danger, locking.changes, locking.second_person) == (Danger.TYPED, ("a key",), True)
    assert locking.iam == ("kms:PutKeyPolicy", "kms:RevokeGrant")
    looking = ActionKind.VERIFY_TOKENS.does
    assert (looking.danger, looking.changes, looking.second_person) == (Danger.NONE, (), False)
    assert ActionKind.REENCRYPT.does.changes == ("tokens", "a job")


def test_a_responder_may_do_every_action() -> None:
    allowed = {action for s in iam_policy(KeydeckRole.RESPONDER, ())["Statement"] for action in s["Action"]}
    assert {action for kind in ActionKind for action in kind.does.iam} <= allowed


def test_within_an_action_only_its_own_operations_pass() -> None:
    require_named("keys disable")
    with performing(ActionKind.REVOKE_TOKENS.does.operations):
        require_named("revoke tokens")  # as the journal calls it
        with pytest.raises(RefusedError, match="does not perform keys disable: it performs revoke tokens"):
            require_named("keys disable")
        with performing(()), pytest.raises(RefusedError, match="it performs nothing"):
            require_named("revoke tokens")
        require_named("revoke tokens")
    require_named(BY_NAME["keys disable"].journaled_as)
