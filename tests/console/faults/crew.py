"""Operators who work on one incident in turn: each is a process of its own, and most of them are killed."""

from __future__ import annotations

import json
import os
import random
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from time import sleep
from typing import Any

import pytest
from sqlalchemy import Engine, text

from console.container import Container
from console.sandbox import access_keys
from console.sandbox.platform_part import PlatformPart
from console.sandbox.sandbox import Sandbox
from console.settings import load
from crypto_core.database.connection.engine import open_engine
from crypto_core.database.state.installation import install
from crypto_core.incidents.model import IncidentScope, IncidentView, StepView
from crypto_core.incidents.service import IncidentService
from tests.console.faults.scene import Child, Platform, until

COLLEAGUE = "ASIATESTOFKILLEDCREW"
SHIFT = (COLLEAGUE, access_keys.ON_CALL)
"""Who takes over from whom, as access keys. Both are of one role: one alone opens what is locked down."""
PLAIN = ("-P", "-m", "console")
OF_WHICH_PLAIN = 0.2
"""So many of the commands that are killed at random are started one by one, which takes a second more."""
BEGINS = "Step "
"""How a command begins to speak once it works on a step."""


@dataclass(slots=True)
class Crew:
    """Works on one incident of a sandbox. `environment` is what each operator finds, but for who it is."""

    sandbox: Sandbox
    container: Container
    superuser: Engine
    environment: dict[str, str]
    folder: Path
    dice: random.Random
    incident: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    """By step, how many processes were killed while they worked on it."""
    runs: int = 0
    platform: Platform | None = None
    _mother: Child | None = None
    _turns: Iterator[str] = field(default_factory=lambda: cycle(SHIFT))

    @property
    def work(self) -> IncidentService:
        found = self.container.services.incidents
        assert found is not None
        return found

    def declare(self, runbook: str, scope: IncidentScope) -> None:
        self.incident = self.work.declare(runbook, scope)

    def view(self) -> IncidentView:
        return self.work.show(self.incident)

    def step(self) -> StepView | None:
        return self.view().current

    def value(self, name: str) -> str:
        return self.view().incident.values.get(name, "")

    def die_at(self, step: str, moment: str, *options: str) -> None:
        """Have the next operator go on with a step, and end at a moment of it."""
        code, said = self._forked(moment, "next", *options)
        assert code == -signal.SIGKILL, f"{step}, when {moment}: {code} {said}"
        self._died(step)

    def die_somewhen(self, step: str, seconds: float, *options: str) -> None:
        """Have the next operator go on, and kill it within so many seconds; it may have ended before."""
        if self.dice.random() < OF_WHICH_PLAIN:
            lived = self._plain(seconds, *options)
        else:
            code, said = self._forked("", "next", *options, lives=self.dice.uniform(0, seconds))
            lived = code == -signal.SIGKILL
            assert lived or code in (0, 1), said
        if lived:
            self._died(step)

    def _plain(self, seconds: float, *options: str) -> bool:
        """Kill a command that was started as an operator does; returns whether it still worked."""
        arguments = [*PLAIN, "incident", "next", str(self.incident), "--yes", *options]
        child = Child(arguments, self._turn())
        self.runs += 1
        until(lambda: BEGINS in child.stderr or not child.runs, "a command at a step")
        sleep(self.dice.uniform(0, seconds))
        lived = child.runs
        child.kill()
        assert lived or child.process.returncode in (0, 1), child.stderr
        return lived

    def go_on(self, *options: str, verb: str = "next") -> str:
        """Have the next operator work on the current step to its end, or do something else; what it said."""
        code, said = self._forked("", verb, *options)
        assert code == 0, f"{verb} {options}: {code} {said}"
        return said

    def close(self) -> None:
        for child in (self.platform, self._mother):
            if child is not None and child.runs:
                child.kill()

    def _died(self, step: str) -> None:
        self.kills[step] += 1
        # Whoever comes next has waited.
        with self.superuser.begin() as connection:
            connection.execute(text("UPDATE keydeck.incident_lease SET until = now()"))
        view = self.view()
        assert view.current is None or view.current.step.id  # whoever comes next sees where it stands

    def _turn(self) -> dict[str, str]:
        return self.environment | {"AWS_ACCESS_KEY_ID": next(self._turns)}

    def _forked(self, moment: str, verb: str, *options: str, lives: float | None = None) -> tuple[int, str]:
        """Run a command, kill it after `lives` seconds; return how it ended, and what it said."""
        mother = self._ready()
        self.runs += 1
        said = self.folder / f"said-{self.runs}"
        asked = [] if verb != "next" else ["--yes"]
        order = {
            "arguments": ["incident", verb, str(self.incident), *asked, *options],
            "environment": self._turn(),
            "said": str(said),
            "moment": moment,
        }
        before = len(mother.stdout.splitlines())
        mother.tell(json.dumps(order))

        def told(what: str) -> dict[str, Any] | None:
            lines = [json.loads(line) for line in mother.stdout.splitlines()[before:]]
            return next((one for one in lines if what in one), None)

        if lives is not None:
            until(lambda: told("pid") or not mother.runs, "a process")
            sleep(lives)
            _kill(told("pid"), unless=told("code"))
        until(lambda: told("code") or not mother.runs, f"the end of {verb} {moment}")
        found = told("code")
        assert found is not None, mother.stderr
        return int(found["code"]), said.read_text()

    def _ready(self) -> Child:
        if self._mother is None:
            self._mother = Child(["-P", "-m", "tests.console.faults.mortal"], self.environment)
            mother = self._mother
            until(lambda: "ready" in mother.stdout or not mother.runs, "what forks the operators")
        assert self._mother.runs, self._mother.stderr
        return self._mother

    def write(self, pause_seconds: float) -> None:
        """Have the platform change some rows from now on, under the key that the incident is about."""
        environment = self.environment | {
            "DATABASE_URL": self.sandbox.platform_database_url,
            "AWS_ACCESS_KEY_ID": access_keys.PLATFORM,
        }
        key = self.sandbox.world.current_key.arn
        new_key = self.value("new_key")
        seed = self.dice.randrange(1_000_000)
        program = ["-m", "tests.console.faults.writer", key, new_key, str(seed), str(pause_seconds)]
        self.platform = Platform(program, environment)


def _kill(process: dict[str, Any] | None, *, unless: dict[str, Any] | None) -> None:
    if process is not None and unless is None:
        with suppress(ProcessLookupError):
            os.kill(process["pid"], signal.SIGKILL)


@contextmanager
def crew_of(
    monkeypatch: pytest.MonkeyPatch, folder: Path, dice: random.Random, *, connections: int
) -> Iterator[Crew]:
    """Give a crew in a sandbox of its own, all of whose tokens can be opened."""
    with Sandbox.start(connections=connections) as sandbox:
        environment = sandbox.environment()
        for name in set(os.environ) - set(environment):
            monkeypatch.delenv(name)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        sandbox.control.add_principal(COLLEAGUE, "keydeck-oncall", "role", "olga.oncall")
        container = Container(load().settings)
        install(container.engine)
        # The owners of damaged tokens connect again: no runbook could prove that these open.
        PlatformPart(sandbox).reconnect(sorted(sandbox.world.corrupt), container.keyring)
        superuser = open_engine(sandbox.superuser_url)
        crew = Crew(sandbox, container, superuser, environment, folder, dice)
        try:
            yield crew
        finally:
            crew.close()
            container.close()
            superuser.dispose()
