"""Who may change an incident: consent to a plan, a second identity, and read only."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine

from crypto_core.database.connection.engine import open_engine
from crypto_core.database.state.journal import Journal
from crypto_core.errors import (
    ApprovalNeededError,
    NotConfirmedError,
    ReadOnlyError,
    RefusedError,
    UnknownIncidentError,
)
from crypto_core.guard.consent import Consent
from crypto_core.incidents.model import CheckState, IncidentScope, StepState
from crypto_core.incidents.service import IncidentService
from tests.crypto_core.incidents.service.doubles import KEY, DoubleGate, Doubles
from tests.crypto_core.incidents.service.operators import Act, Operator, journaled


def test_nothing_runs_without_a_consent_to_this_plan(
    engine: Engine, ana: IncidentService, incident: int, doubles: Doubles
) -> None:
    plan, other = ana.plan(incident, "lock"), ana.plan(incident, "replace")
    for consent in (None, Consent.pressed(other)):
        with pytest.raises(NotConfirmedError):
            ana.run(incident, "lock", plan, consent)
    assert ana.show(incident).step("lock").state is StepState.TODO
    assert doubles.effects(incident) == []
    assert journaled(engine, incident)[-1] == ("incident run", "lock", "refused")
    with pytest.raises(RefusedError, match="no action"):
        ana.plan(incident, "scope")
    with pytest.raises(RefusedError, match="no step 'nothing'"):
        ana.plan(incident, "nothing")
    for number in (10**6, 0, -1, 10**30):
        with pytest.raises(UnknownIncidentError, match=f"no incident {number}"):
            ana.show(number)


def test_a_second_identity_is_asked_before_a_step_is_begun(
    operator: Operator, act: Act, incident: int
) -> None:
    gate = DoubleGate("incident lock-down-key")
    ana = operator("ana", approvals=gate)
    with pytest.raises(ApprovalNeededError):
        act(ana, incident, "lock")
    assert ana.show(incident).step("lock").state is StepState.TODO
    gate.approved = True
    act(ana, incident, "lock")
    assert ana.show(incident).step("lock").state is StepState.DONE
    assert gate.asked == [("incident lock-down-key", f"INC-{incident} lock lock-down-key")] * 2
    act(ana, incident, "replace")
    assert len(gate.asked) == 2


def test_read_only_shows_and_changes_nothing(
    incident_url: str, operator: Operator, incident: int, doubles: Doubles
) -> None:
    reading = open_engine(incident_url, read_only=True)
    viewer = operator("vera", engine=reading, journal=Journal(reading, lambda: "vera"), read_only=True)
    before = viewer.show(incident)
    assert viewer.incidents(limit=1)
    assert viewer.look(incident, "lock").state is CheckState.NOT_YET
    plan = viewer.plan(incident, "lock")
    viewer.join(incident)
    for change in (
        lambda: viewer.declare("team-key", IncidentScope(key=KEY)),
        lambda: viewer.run(incident, "lock", plan, Consent.pressed(plan)),
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
