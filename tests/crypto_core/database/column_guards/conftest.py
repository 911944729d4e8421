"""A database whose tables Keydeck's role owns, so that it may guard them."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine

from console.container import Container
from console.sandbox.postgres import OPERATOR, PLATFORM
from crypto_core.database.column_guards.service import ColumnGuardService
from crypto_core.database.tokens.tables import PLATFORM_TABLES
from tests.crypto_core.statements import execute


def hand_over(superuser: Engine, *names: str) -> None:
    """Make the operator the owner of some tables; the platform goes on working with them."""
    for name in names:
        execute(
            superuser,
            f"ALTER TABLE {name} OWNER TO {OPERATOR}",
            f"GRANT SELECT, INSERT, UPDATE, DELETE ON {name} TO {PLATFORM}",
        )


@pytest.fixture
def guards(services: Container, superuser: Engine) -> ColumnGuardService:
    """The service of a role that owns the platform's tables."""
    hand_over(superuser, *(table.name for table in PLATFORM_TABLES))
    return services.tokens.column_guards
