"""An incident about a key of the test's own, over HTTP and PostgreSQL, and a platform that uses the key."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any

import pytest
from sqlalchemy import Engine

from console.container import Container
from console.lazy_services import if_made
from console.sandbox import access_keys
from console.sandbox.endpoint import PastCall
from console.sandbox.sandbox import Sandbox
from console.settings import load
from crypto_core.guard.consent import Consent
from crypto_core.guard.held_step import performing
from crypto_core.guard.operations import operation_of
from crypto_core.incidents.keys.toolbox import key_tools
from crypto_core.incidents.model import CheckResult, Incident, IncidentScope, IncidentState
from crypto_core.incidents.runbooks.catalogue import ActionKind, CaptureKind, CheckKind
from crypto_core.incidents.runbooks.runbook import OptionValue, RunbookStep
from crypto_core.incidents.steps.step_contracts import (
    ActionPlan,
    ActionResult,
    Captured,
    Situation,
    Toolbox,
    looked_at,
)
from crypto_core.incidents.tool_services import ToolServices
from crypto_core.keys.changes.service import KeyChangeService
from tests.crypto_core.agreed import agreed
from tests.crypto_core.incidents.keys.rotation.conftest import Stage
from tests.crypto_core.reencryption.jobs.working import Jobs, jobs_of

ACCOUNT = "123456789012"
ROOT = f"arn:aws:iam::{ACCOUNT}:root"
PLATFORM = f"arn:aws:iam::{ACCOUNT}:role/keydeck-platform"
ON_CALL = f"arn:aws:iam::{ACCOUNT}:role/keydeck-oncall"
SUSPECT = f"arn:aws:iam::{ACCOUNT}:user/build-bot"
BEGUN = ("started", "done")
"""Outcomes of what was done, or a part of it."""


class Scene:
    """One incident, and what its steps are done with. `values` are what is remembered of it."""

    def __init__(self, stage: Stage, sandbox: Sandbox, container: Container) -> None:
        self.stage = stage
        self.sandbox = sandbox
        self.container = container
        self.jobs: Jobs = jobs_of(container)
        self.works = True
        """Whether processes work on a job that is started."""
        self.worked_on: list[tuple[int, tuple[str, ...]]] = []
        self.at_work: set[int] = set()
        """The jobs at which processes are that may not have entered themselves yet."""
        self.values: dict[str, str] = {}
        self.evidence: dict[str, list[str]] = {}
        """What is kept of the incident, by its kind."""
        self.key = stage.old
        self.since: datetime | None = None
        self.principal = ""
        """Whom the incident was declared from."""
        self.declared_at = datetime.now(UTC) - timedelta(seconds=1)
        self.tools: Toolbox = key_tools(self._services(container))

    def _services(self, container: Container) -> ToolServices:
        changes = container.services.key_changes
        assert callable(changes.plan_change)
        made = if_made(changes)
        assert isinstance(made, KeyChangeService)
        made._patience = ()
        return replace(
            container.incident_response.tool_services(),
            changes=changes,
            jobs=self.jobs.service,
            work_on=self._work_on,
            evidence=lambda _, kind: self.evidence.get(kind, []),
            settle_seconds=0.0,
            at_work=self.at_work.__contains__,
        )

    def _work_on(self, job: int, trusted: tuple[str, ...]) -> None:
        self.worked_on.append((job, trusted))
        if self.works:
            self.jobs.service.join_job(job)

    def situation(
        self,
        inputs: Mapping[str, str] | None = None,
        *,
        action: Mapping[str, OptionValue] | None = None,
        check: Mapping[str, OptionValue] | None = None,
    ) -> Situation:
        scope = IncidentScope(key=self.key, since=self.since, principal=self.principal)
        incident = Incident(7, "Key", IncidentState.OPEN, scope, self.declared_at, "ana", dict(self.values))
        step = RunbookStep("s", "t", "p", action_options=action or {}, check_options=check or {})
        return Situation(incident, step, inputs or {}, Event())

    def plan(
        self, kind: ActionKind, inputs: Mapping[str, str] | None = None, **options: OptionValue
    ) -> ActionPlan:
        with performing(kind.does.operations):
            return self.tools.actions[kind].plan_action(self.situation(inputs, action=options))

    def run(self, kind: ActionKind, plan: ActionPlan, consent: Consent | None = None) -> ActionResult:
        with performing(kind.does.operations):
            result = self.tools.actions[kind].run_action(self.situation(), plan, consent or agreed(plan))
        self.values |= result.values
        return result

    def do(
        self, kind: ActionKind, inputs: Mapping[str, str] | None = None, **options: OptionValue
    ) -> ActionResult:
        return self.run(kind, self.plan(kind, inputs, **options))

    def fields(self, kind: ActionKind) -> dict[str, str]:
        return {f.name: f.default for f in self.tools.actions[kind].fields(self.situation())}

    def look(self, kind: CheckKind, **options: OptionValue) -> CheckResult:
        return looked_at(self.tools.checks[kind], self.situation(check=options))

    def capture(self, kind: CaptureKind) -> tuple[Captured, ...]:
        return self.tools.captures[kind](self.situation())

    def policy(self, key: str | None = None) -> dict[str, Any]:
        answer = self.stage.kms.get_key_policy(KeyId=key or self.key, PolicyName="default")
        return json.loads(answer["Policy"])  # type: ignore[no-any-return]

    def journaled(self) -> list[tuple[str, str]]:
        assert self.container.journal.verify() is None
        return [(entry.action, entry.outcome) for entry in self.container.journal.entries()]

    def performed(self) -> set[str]:
        done = {operation_of(action) for action, outcome in self.journaled() if outcome in BEGUN}
        names = {operation.name for operation in done if operation is not None}
        return names | ({"jobs join"} if self.worked_on else set())

    def past(self, minutes: int, key: str) -> None:
        moment = datetime.now(UTC) - timedelta(minutes=minutes)
        self.sandbox.control.history([PastCall(moment, access_keys.PLATFORM, "GenerateDataKey", key)])

    def pull(self, since: timedelta = timedelta(hours=1)) -> None:
        now = datetime.now(UTC)
        self.container.trail.puller.pull_events(since=now - since, until=now)


def told(result: CheckResult | ActionResult) -> str:
    return "\n".join(result.lines)


def statement(sid: str, principal: Any, *actions: str, **more: Any) -> dict[str, Any]:
    return {
        "Sid": sid,
        "Effect": "Allow",
        "Principal": principal if principal == "*" else {"AWS": principal},
        "Action": [f"kms:{a}" for a in actions],
        "Resource": "*",
    } | more


@pytest.fixture
def scene(
    services: Container,
    environment: dict[str, str],
    sandbox: Sandbox,
    platform: Engine,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Scene]:
    """An old key of whose policy the account, the platform and a suspect are; no token yet."""
    sandbox.control.set_lookup_throttle(None)
    stage = Stage(monkeypatch, sandbox, platform)
    stage.put_policy(
        stage.old,
        statement("Account", ROOT, "*"),
        statement("Platform", PLATFORM, "Decrypt", "GenerateDataKey"),
        statement("Suspect", SUSPECT, "Decrypt"),
    )
    container = Container(load().settings)
    yield Scene(stage, sandbox, container)
    container.close()
    sandbox.control.clear()
