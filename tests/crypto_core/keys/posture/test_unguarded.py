"""Columns that accept what is no envelope are one finding, worse where somebody changed a guard."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import Engine, text

from console.container import Container
from crypto_core.database.column_guards.model import constraint_name
from crypto_core.database.column_guards.plan import GuardRequest
from crypto_core.database.column_guards.service import ColumnGuardService
from crypto_core.database.tokens.tables import PLATFORM_TABLES
from crypto_core.findings.finding import Finding, Severity
from crypto_core.guard.consent import Consent
from tests.crypto_core.database.column_guards.conftest import hand_over


@pytest.fixture
def guards(services: Container, superuser: Engine) -> ColumnGuardService:
    hand_over(superuser, *(table.name for table in PLATFORM_TABLES))
    return services.tokens.column_guards


def found(services: Container) -> tuple[Finding, ...]:
    posture = services.services.posture.examine_keys()
    return tuple(f for f in posture.findings if f.rule == "columns-unguarded")


def test_unguarded_columns_are_one_finding_until_all_are_guarded(
    services: Container, guards: ColumnGuardService, superuser: Engine
) -> None:
    (finding,) = found(services)
    assert finding.severity is Severity.LOW
    assert finding.title.endswith("token columns accept what is no envelope")
    assert "slack_connection.bot_token: missing" in finding.evidence
    plan = guards.plan_guard(GuardRequest(everything=True))
    guards.change_guards(plan, Consent.by_option(plan))
    assert found(services) == ()
    status = services.status.take_census()
    assert all(guard.guards for guard in status.guards)

    with superuser.begin() as connection:
        name = constraint_name("bot_token")
        connection.execute(text(f"ALTER TABLE slack_connection DROP CONSTRAINT {name}"))
        connection.execute(text(f"ALTER TABLE slack_connection ADD CONSTRAINT {name} CHECK (true)"))
    (finding,) = found(services)
    assert finding.severity is Severity.MEDIUM
    assert finding.title == "1 token column accepts what is no envelope"
    assert finding.evidence == "slack_connection.bot_token: other definition"


def test_without_the_database_nothing_is_said_of_it(services: Container) -> None:
    status = replace(services.status.take_census(), guards=())
    posture = services.services.posture.examine_keys(status=status)
    assert not [f for f in posture.findings if f.rule == "columns-unguarded"]
