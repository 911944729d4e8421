"""Operators who work on incidents in one database; each test has incidents of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine, make_url, text

from console.sandbox.postgres import OPERATOR, PLATFORM
from console.sandbox.sandbox import Sandbox
from crypto_core.database.connection.engine import open_engine
from crypto_core.database.state.installation import install
from crypto_core.database.state.journal import Journal
from crypto_core.guard.consent import Consent
from crypto_core.incidents.model import IncidentScope
from crypto_core.incidents.runbooks.library import RunbookLibrary
from crypto_core.incidents.service import IncidentService
from crypto_core.incidents.steps.step_contracts import ActionResult
from tests.crypto_core.incidents.service.doubles import DRILL, KEY, TEAM, Doubles
from tests.crypto_core.incidents.service.operators import service_of


@pytest.fixture(scope="module")
def incident_url(sandbox: Sandbox) -> Iterator[str]:
    """A database with nothing but Keydeck's schema, for all tests of a module."""
    name = f"incidents_{uuid4().hex[:12]}"
    admin = open_engine(_as(sandbox.superuser_url, "postgres")).execution_options(
        isolation_level="AUTOCOMMIT"
    )
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name} OWNER {PLATFORM}"))
        connection.execute(text(f"GRANT CREATE ON DATABASE {name} TO {OPERATOR}"))
    url = _as(sandbox.database_url, name)
    engine = open_engine(url)
    install(engine)
    engine.dispose()
    yield url
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


@pytest.fixture(scope="module")
def engine(incident_url: str) -> Iterator[Engine]:
    engine = open_engine(incident_url)
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def forging(sandbox: Sandbox, incident_url: str) -> Iterator[Engine]:
    engine = open_engine(_as(sandbox.superuser_url, str(make_url(incident_url).database)))
    yield engine
    engine.dispose()


@pytest.fixture
def doubles(tmp_path: Path) -> Doubles:
    (tmp_path / "effects").mkdir()
    return Doubles(tmp_path / "effects")


@pytest.fixture
def library(tmp_path: Path) -> RunbookLibrary:
    folder = tmp_path / "runbooks"
    folder.mkdir()
    (folder / "key.toml").write_text(TEAM)
    (folder / "drill.toml").write_text(DRILL)
    return RunbookLibrary(folder)


@pytest.fixture
def operator(engine: Engine, library: RunbookLibrary, doubles: Doubles) -> Callable[..., IncidentService]:
    """Make an operator's own service, as a console of its own would."""

    def make(name: str, *, journal: Journal | None = None, **options: Any) -> IncidentService:
        return service_of(
            options.pop("engine", engine),
            journal or Journal(engine, lambda: name),
            library,
            options.pop("toolbox", None) or doubles.toolbox(),
            **options,
        )

    return make


@pytest.fixture
def ana(operator: Callable[..., IncidentService]) -> IncidentService:
    return operator("ana")


@pytest.fixture
def ben(operator: Callable[..., IncidentService]) -> IncidentService:
    return operator("ben")


@pytest.fixture
def incident(ana: IncidentService) -> int:
    return ana.declare("team-key", IncidentScope(key=KEY))


@pytest.fixture
def act() -> Callable[..., ActionResult]:

    def run(service: IncidentService, incident: int, step: str, inputs: Any = None) -> ActionResult:
        plan = service.plan_action(incident, step, inputs)
        return service.run_action(incident, step, plan, Consent.pressed(plan), inputs)

    return run


def _as(url: str, database: str) -> str:
    return make_url(url).set(database=database).render_as_string(hide_password=False)
