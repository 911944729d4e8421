"""Two operators on one incident: neither overwrites the other, and each is told what the other did."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy import Engine, text

from crypto_core.database.state import leases
from crypto_core.database.state.journal import Journal
from crypto_core.incidents.model import EntryKind, IncidentScope, IncidentView, StepState
from crypto_core.incidents.runbooks.catalogue import ActionKind
from crypto_core.incidents.service import IncidentService
from crypto_core.incidents.steps.step_contracts import ActionResult
from crypto_core.values.errors import EvidenceError, RefusedError, StepLostError
from tests.crypto_core.incidents.service.doubles import KEY, Doubles

Act = Callable[..., ActionResult]


def test_who_ends_a_step_that_another_has_ended_meanwhile_is_told_who_and_when(
    ana: IncidentService, ben: IncidentService, incident: int, doubles: Doubles
) -> None:
    doubles.affect(incident, ActionKind.LOCK_DOWN_KEY)

    def meanwhile(_: Any) -> None:
        doubles.hooks.clear()
        ben.skip(incident, "lock", "Done in the console of AWS")

    doubles.hooks["key-locked-down look"] = meanwhile
    with pytest.raises(RefusedError, match=r"lock of INC-\d+ was skipped by ben at \d{4}-\d\d-\d\d .* UTC"):
        ana.finish(incident, "lock")
    view = ana.show(incident)
    assert (view.step("lock").state, view.step("lock").by) == (StepState.SKIPPED, "ben")
    assert [piece.kind for piece in view.evidence] == ["policy", "grants"], "what ana captured is kept"
    for late in (
        lambda: ana.skip(incident, "lock", "Mine"),
        lambda: ana.finish(incident, "lock"),
        lambda: ana.plan_action(incident, "lock"),
    ):
        with pytest.raises(RefusedError, match="skipped by ben"):
            late()


def test_what_an_action_did_is_kept_though_another_has_ended_its_step(
    ana: IncidentService, ben: IncidentService, act: Act, incident: int, doubles: Doubles
) -> None:
    def meanwhile(_: Any) -> None:
        ben.skip(incident, "replace", "There is a key already")

    doubles.hooks["create-key after"] = meanwhile
    result = act(ana, incident, "replace")
    assert any("Meanwhile the step was set to skipped by ben" in line for line in result.lines)
    view = ben.show(incident)
    assert view.step("replace").state is StepState.SKIPPED
    assert view.incident.values["new_key"].endswith("6")
    assert [piece.kind for piece in view.evidence] == ["key-use"]


def test_an_action_is_run_by_one_at_a_time_and_others_run_beside_it(
    ana: IncidentService, ben: IncidentService, act: Act, incident: int, doubles: Doubles
) -> None:
    doubles.results[ActionKind.LOCK_DOWN_KEY] = ActionResult(True, (), {"job": "7"})

    def meanwhile(_: Any) -> None:
        doubles.hooks.clear()
        with pytest.raises(RefusedError, match="running right now, started by ana"):
            act(ben, incident, "lock")
        act(ben, incident, "replace")

    # In a console of their own.
    doubles.hooks["lock-down-key before"] = lambda situation: Context().run(meanwhile, situation)
    act(ana, incident, "lock")
    view = ana.show(incident)
    assert view.incident.values == {"job": "7", "new_key": KEY[:-1] + "6"}
    assert (view.step("lock").by, view.step("replace").by) == ("ana", "ben")
    assert doubles.effects(incident) == ["create-key", "lock-down-key"]


def test_who_was_frozen_and_taken_over_from_writes_nothing_more(
    ana: IncidentService,
    ben: IncidentService,
    act: Act,
    incident: int,
    doubles: Doubles,
    forging: Engine,
    engine: Engine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(leases, "STEP_RENEW_SECONDS", 3_600)  # frozen: the thread that renews stands, too

    def meanwhile(_: Any) -> None:
        doubles.hooks.clear()
        with forging.begin() as connection:
            connection.execute(text("UPDATE keydeck.incident_lease SET until = now()"))
        act(ben, incident, "lock")
        seen.append(ben.show(incident))

    seen: list[IncidentView] = []
    doubles.hooks["lock-down-key before"] = lambda situation: Context().run(meanwhile, situation)
    with pytest.raises(StepLostError, match="taken over by ben") as lost:
        act(ana, incident, "lock")
    (view,) = seen
    assert (view.step("lock").state, view.step("lock").by) == (StepState.DONE, "ben")
    assert ben.show(incident) == view
    ended = Journal(engine, lambda: "x").entries()[-1]
    assert (ended.action, ended.actor, ended.outcome) == ("incident run", "ana", "refused")
    assert json.loads(ended.detail)["reason"] == lost.value.message


def test_of_many_who_end_one_step_at_once_one_does(
    operator: Callable[..., IncidentService], incident: int
) -> None:
    together = Barrier(5)

    def finish(name: str) -> str:
        service = operator(name)
        together.wait(30)
        try:
            return service.finish(incident, "scope").by
        except RefusedError as error:
            return error.message

    with ThreadPoolExecutor(5) as pool:
        said = list(pool.map(finish, "abcde"))
    view = operator("z").show(incident)
    winner = view.step("scope").by
    assert [e.kind for e in view.entries].count(EntryKind.DONE) == 1
    assert said.count(winner) == 1
    assert sum(f"was finished by {winner} at" in told for told in said) == 4


def test_who_works_on_an_incident_is_seen_for_as_long_as_they_do(
    ana: IncidentService, ben: IncidentService, incident: int, forging: Engine
) -> None:
    for _ in range(3):
        ben.join(incident)
        ana.join(incident)
    view = ana.show(incident)
    assert [who.actor for who in view.present] == ["ana", "ben"]
    assert [e.actor for e in view.entries if e.kind is EntryKind.JOINED] == ["ben"]
    with forging.begin() as connection:
        connection.execute(
            text("UPDATE keydeck.incident_presence SET seen_at = seen_at - interval '2 minutes'")
        )
    ben.join(incident)
    assert [who.actor for who in ana.show(incident).present] == ["ben"]
    [listed] = [view for view in ana.incidents() if view.incident.id == incident]
    assert [who.actor for who in listed.present] == ["ben"], "the list names who is there too"
    other = ana.declare("team-drill", IncidentScope(database="restored"))
    ana.skip(other, "record", "A test only")
    ana.close(other, "Nothing")
    ben.join(other)
    assert [who.actor for who in ana.show(other).present] == ["ana"], "looking at a closed one is no work"


@pytest.mark.parametrize("change", ["state = 'adversary'", "scope = '[]'", "known = '7'"])
def test_an_incident_whose_row_was_changed_to_what_cannot_be_read_hides_no_other_and_is_told(
    ana: IncidentService, incident: int, forging: Engine, change: str
) -> None:
    other = ana.declare("team-key", IncidentScope(key=KEY))
    with forging.begin() as connection:
        connection.execute(text(f"UPDATE keydeck.incident SET {change} WHERE id = {incident}"))
    listed = {view.incident.id: view for view in ana.incidents()}
    assert "Not readable" in listed[incident].incident.title
    assert "is nothing that Keydeck stores" in listed[incident].unread
    assert ("Not readable" in listed[other].incident.title, listed[other].unread) == (False, "")
    with pytest.raises(EvidenceError, match=f"INC-{incident}"):
        ana.show(incident)
    # The database is one for all tests of the module.
    with forging.begin() as connection:
        back = text("UPDATE keydeck.incident SET state = 'closed', scope = '{}', known = '{}' WHERE id = :id")
        connection.execute(back, {"id": incident})
