"""Who may change an incident: consent to a plan, a second identity, and read only."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine

from crypto_core.database.connection.engine import open_engine
from crypto_core.database.state.journal import Journal
from crypto_core.guard.consent import Consent
from crypto_core.incidents.model import CheckState, IncidentScope, StepState
from crypto_core.incidents.service import IncidentService
from crypto_core.incidents.steps.run_action import StepActions
from crypto_core.incidents.steps.step_contracts import Situation
from crypto_core.values.errors import (
    ApprovalNeededError,
    KeydeckError,
    KmsUnreachableError,
    NotConfirmedError,
    ReadOnlyError,
    RefusedError,
    UnknownIncidentError,
)
from tests.crypto_core.incidents.service.doubles import KEY, Doubles
from tests.crypto_core.incidents.service.operators import Act, Operator, journaled


def test_nothing_runs_without_a_consent_to_this_plan(
    engine: Engine, ana: IncidentService, incident: int, doubles: Doubles
) -> None:
    plan, other = ana.plan_action(incident, "lock"), ana.plan_action(incident, "replace")
    for consent in (None, Consent.pressed(other)):
        with pytest.raises(NotConfirmedError):
            ana.run_action(incident, "lock", plan, consent)
    assert ana.show(incident).step("lock").state is StepState.TODO
    assert doubles.effects(incident) == []
    assert journaled(engine, incident)[-1] == ("incident run", "lock", "refused")
    with pytest.raises(RefusedError, match="no action"):
        ana.plan_action(incident, "scope")
    with pytest.raises(RefusedError, match="no step 'nothing'"):
        ana.plan_action(incident, "nothing")
    for number in (10**6, 0, -1, 10**30):
        with pytest.raises(UnknownIncidentError, match=f"no incident {number}"):
            ana.show(number)


def test_a_step_that_waits_for_a_second_identity_is_not_begun_and_says_so(
    engine: Engine, doubles: Doubles, operator: Operator, act: Act, incident: int
) -> None:
    """The service that an action calls asks for it; the step is run again once somebody has approved."""
    ana = operator("ana")

    def waits(_: Situation) -> None:
        raise ApprovalNeededError("A second identity has to approve this.", request="r")

    doubles.hooks["lock-down-key before"] = waits
    with pytest.raises(ApprovalNeededError):
        act(ana, incident, "lock")
    step = ana.show(incident).step("lock")
    assert step.state is StepState.TODO
    assert step.trouble.startswith("A second identity has to approve this.")
    assert journaled(engine, incident)[-1] == ("incident run", "lock", "refused")
    del doubles.hooks["lock-down-key before"]
    act(ana, incident, "lock")
    assert ana.show(incident).step("lock").state is StepState.DONE


def test_a_step_that_was_begun_stays_so_while_its_second_run_waits_for_a_second_identity(
    doubles: Doubles, operator: Operator, act: Act, incident: int
) -> None:
    ana = operator("ana")
    for error in (KmsUnreachableError("KMS does not answer."), ApprovalNeededError("Wait.", request="r")):

        def fails(_: Situation, error: KeydeckError = error) -> None:
            raise error

        doubles.hooks["lock-down-key after"] = fails
        with pytest.raises(type(error)):
            act(ana, incident, "lock")
        assert ana.show(incident).step("lock").state is StepState.BEGUN


def test_a_step_that_another_console_has_begun_meanwhile_stays_begun(
    doubles: Doubles, operator: Operator, act: Act, incident: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it did there may be done: waiting for a second identity does not make it as if it was not."""
    ana, ben = operator("ana"), operator("ben")
    errors: list[KeydeckError] = [
        KmsUnreachableError("KMS does not answer."),
        ApprovalNeededError("Wait.", request="r"),
    ]

    def fails(_: Situation) -> None:
        raise errors.pop(0)

    agreed = StepActions._agreed

    def and_ben_runs_it(actions: StepActions, *args: Any) -> Consent:
        monkeypatch.undo()
        with pytest.raises(KmsUnreachableError):
            act(ben, incident, "lock")
        return agreed(actions, *args)

    doubles.hooks["lock-down-key after"] = fails
    monkeypatch.setattr(StepActions, "_agreed", and_ben_runs_it)
    with pytest.raises(ApprovalNeededError):
        act(ana, incident, "lock")
    assert ana.show(incident).step("lock").state is StepState.BEGUN


def test_read_only_shows_and_changes_nothing(
    incident_url: str, operator: Operator, incident: int, doubles: Doubles
) -> None:
    reading = open_engine(incident_url, read_only=True)
    viewer = operator("vera", engine=reading, journal=Journal(reading, lambda: "vera"), read_only=True)
    before = viewer.show(incident)
    assert viewer.incidents(limit=1)
    assert viewer.look_at_check(incident, "lock").state is CheckState.NOT_YET
    plan = viewer.plan_action(incident, "lock")
    viewer.join(incident)
    for change in (
        lambda: viewer.declare("team-key", IncidentScope(key=KEY)),
        lambda: viewer.run_action(incident, "lock", plan, Consent.pressed(plan)),
        lambda: viewer.capture(incident, "proof"),
        lambda: viewer.finish(incident, "scope"),
        lambda: viewer.answer(incident, "leaked", "no"),
        lambda: viewer.skip(incident, "scope", "Not today"),
        lambda: viewer.reopen(incident, "scope", "Not today"),
        lambda: viewer.note(incident, "A note"),
        lambda: viewer.close(incident, "Closed"),
    ):
        with pytest.raises(ReadOnlyError):
            change()
    assert viewer.show(incident) == before
    assert doubles.effects(incident) == []
    reading.dispose()
