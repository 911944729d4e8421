"""The scripted responder at a runbook, against incidents kept in memory."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from console.game_day.runbook_work import RunbookWork, fitting
from console.game_day.scenarios import SCENARIOS
from crypto_core.errors import KeydeckError, KmsAccessDeniedError, RefusedError
from crypto_core.guard.consent import Danger, require
from crypto_core.incidents.model import (
    Incident,
    IncidentScope,
    IncidentState,
    IncidentView,
    StepState,
    StepView,
)
from crypto_core.incidents.runbooks.catalogue import ActionKind, CheckKind, PhaseKind, SubjectKind
from crypto_core.incidents.runbooks.runbook import Phase, Runbook, RunbookStep
from crypto_core.incidents.steps.step_contracts import ActionPlan, ActionResult, InputField
from crypto_core.references import TokenRef
from crypto_core.secret import Secret

REF = TokenRef("gh_connection", "access_token", "gh-1")
HOSTILE = "[/red]\x1b]0;owned\x07\u202e"
STEPS = (
    RunbookStep("declare", f"Declare {HOSTILE}", ""),
    RunbookStep("decide", "Decide", "", choices=("yes", "no")),
    RunbookStep("retain", "Retain", "", choices=("delete", "keep disabled")),
    RunbookStep("create", "A new key", "", action=ActionKind.CREATE_KEY, check=CheckKind.NEW_KEY_READY),
    RunbookStep("switch", "Switch", "", check=CheckKind.PLATFORM_SWITCHED),
    RunbookStep("denied", "Denied", "", action=ActionKind.DISABLE_KEY),
    RunbookStep("job", "Re-encrypt", "", action=ActionKind.REENCRYPT),
    RunbookStep("enter", "Enter tokens", "", action=ActionKind.ENTER_TOKEN),
    RunbookStep("quiet", "Quiet", "", check=CheckKind.KEY_QUIET),
)
BOOK = Runbook(
    "key-compromise", 1, "Compromise", SubjectKind.KEY, "", (Phase(PhaseKind.CONTAIN, "All", STEPS),), "00"
)


class MemoryIncidents:
    """An incident service in memory, some of whose steps go wrong."""

    def __init__(self) -> None:
        self.views: dict[int, IncidentView] = {}
        self.runs: list[tuple[str, dict[str, Any]]] = []
        self.platform: list[str] = []

    def runbooks(self) -> tuple[Runbook, ...]:
        return (BOOK,)

    def declare(self, runbook: str, scope: IncidentScope, title: str = "") -> int:
        incident = Incident(1, title, IncidentState.OPEN, scope, datetime.now(UTC), "omar")
        steps = tuple(StepView(step, n) for n, step in enumerate(BOOK.steps, start=1))
        self.views[1] = IncidentView(incident, BOOK, steps)
        return 1

    def show(self, incident: int) -> IncidentView:
        return self.views[incident]

    def fields(self, incident: int, step: str, inputs: Any = None, **_: Any) -> tuple[InputField, ...]:
        if step != "enter":
            choices = (("arn:suspect", "a suspect"), ("arn:platform", "the platform"))
            readers = InputField("readers", "Readers", "arn:platform", choices, several=True)
            nobody = InputField("nobody", "Nobody is proposed", "", choices, several=True)
            return (
                (InputField("alias", "Alias", default="alias/new"), readers, nobody)
                if step == "create"
                else ()
            )
        choose = InputField("reference", "Which", choices=((str(REF), "the first"),))
        token = InputField("token", "New token", secret=True)
        return (choose, token) if inputs else (choose,)

    def plan_action(self, incident: int, step: str, inputs: Any = None, **_: Any) -> ActionPlan:
        if step == "denied":
            raise KmsAccessDeniedError(f"Access denied: kms:DisableKey {HOSTILE}", operation="DisableKey")
        typed = step == "job"
        return ActionPlan(step, f"digest-{step}", Danger.TYPED if typed else Danger.CONFIRM, "45")

    def run_action(
        self, incident: int, step: str, plan: ActionPlan, consent: Any, inputs: Any = None, **_: Any
    ) -> ActionResult:
        require(consent, plan)
        self.runs.append((step, dict(inputs)))
        if step == "create":
            self._set(values={"new_key": "arn:new"})
            self._end(step)
        again = step == "enter" and sum(name == "enter" for name, _ in self.runs) < 3
        values = {"job": "12"} if step == "job" else {}
        return ActionResult(not again, (f"did {step} {HOSTILE}",), values)

    def finish(self, incident: int, step: str, **_: Any) -> StepView:
        if step == "quiet" or (step == "switch" and "arn:new" not in self.platform):
            raise RefusedError("Not yet.")
        return self._end(step)

    def answer(self, incident: int, step: str, choice: str) -> StepView:
        assert choice == {"decide": "yes", "retain": "keep disabled"}[step]
        return self._end(step)

    def skip(self, incident: int, step: str, reason: str) -> StepView:
        return self._end(step, StepState.SKIPPED, reason)

    def close(self, incident: int, outcome: str) -> IncidentView:
        self._set(state=IncidentState.CLOSED)
        return self.views[incident]

    def _end(self, step: str, state: StepState = StepState.DONE, reason: str = "") -> StepView:
        view = self.views[1]
        steps = tuple(replace(s, state=state, reason=reason) if s.step.id == step else s for s in view.steps)
        self.views[1] = replace(view, steps=steps)
        return self.views[1].step(step)

    def _set(self, **fields: Any) -> None:
        self.views[1] = replace(self.views[1], incident=replace(self.views[1].incident, **fields))


class Measures:
    """The parts of measures that runbook work asks for."""

    def __init__(self, incidents: MemoryIncidents | None) -> None:
        self.new_key = ""
        self.joined: list[int] = []
        jobs = SimpleNamespace(join_job=self.joined.append)
        puller = SimpleNamespace(pull_events=lambda source: None)
        self.container = SimpleNamespace(
            keyring=None, services=SimpleNamespace(incidents=incidents, jobs=jobs, event_puller=puller)
        )

    def write_under(self, key: str) -> None:
        self.new_key = key


def work(incidents: MemoryIncidents | None) -> tuple[list[str], Measures]:
    told: list[str] = []
    measures: Any = Measures(incidents)
    game: Any = SimpleNamespace(
        scenario=SCENARIOS["key-compromise"],
        sandbox=SimpleNamespace(
            world=SimpleNamespace(current_key=SimpleNamespace(arn="arn:old")),
            control=SimpleNamespace(deliver=lambda: 0),
        ),
        intruder=SimpleNamespace(tokens={}, seals={REF: set()}),
    )
    written = [] if incidents is None else incidents.platform
    platform: Any = SimpleNamespace(
        writes_under=written.append,
        connect_account=lambda keyring: None,
        new_token=lambda ref: Secret.of(f"ghp_KEYDECKDEMO-{ref}"),
    )
    runbook = RunbookWork(game, measures, platform, told.append)
    number = runbook.declare()
    if number is not None:
        runbook.work(number)
    return told, measures


def test_every_step_is_done_decided_or_skipped_with_its_reason_and_the_incident_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("console.game_day.runbook_work._BETWEEN_LOOKS", 0)
    incidents = MemoryIncidents()
    told, measures = work(incidents)
    view = incidents.show(1)
    assert view.incident.state is IncidentState.CLOSED
    assert view.incident.scope.key == "arn:old"
    states = {step.step.id: step.state for step in view.steps}
    assert [name for name, state in states.items() if state is StepState.SKIPPED] == ["denied", "quiet"]
    assert "Access denied" in view.step("denied").reason
    assert (measures.new_key, measures.joined) == ("arn:new", [12])
    assert incidents.runs[0] == (
        "create",
        {"alias": "alias/new", "readers": "arn:platform", "nobody": ""},  # what is proposed, and no more
    )
    entered = [inputs for name, inputs in incidents.runs if name == "enter"]
    assert len(entered) == 3
    assert entered[0]["token"] == Secret.of(f"ghp_KEYDECKDEMO-{REF}")
    story = "\n".join(told)
    assert not {"\x1b", "\x07", "\u202e"} & set(story)
    assert "KEYDECKDEMO" not in story


def test_where_incidents_cannot_be_kept_none_is_declared() -> None:
    told, _ = work(None)
    assert told == ["Incidents can't be kept here: none is declared."]


def test_trouble_with_incidents_is_told_and_ends_no_game(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MemoryIncidents, "declare", _refuse)
    assert "No incident could be declared: Read only." in work(MemoryIncidents())[0][0]
    monkeypatch.undo()
    monkeypatch.setattr(MemoryIncidents, "close", _refuse)
    monkeypatch.setattr("console.game_day.runbook_work._BETWEEN_LOOKS", 0)
    assert "could not be worked through: Read only." in work(MemoryIncidents())[0][-1]


def _refuse(*_: Any) -> Any:
    raise RefusedError("Read only.")


def test_another_runbook_about_the_same_is_taken_where_the_fitting_one_is_not_there() -> None:
    own = replace(BOOK, id="our-own")
    assert fitting((own,), SCENARIOS["ransom-disable"]) is own
    with pytest.raises(KeydeckError, match="no runbook"):
        fitting((own,), SCENARIOS["token-leak"])
