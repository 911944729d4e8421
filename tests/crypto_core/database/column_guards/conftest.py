"""A database whose tables Keydeck's role owns, so that it may guard them."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, text

from console.container import Container
from console.sandbox.postgres import OPERATOR, PLATFORM
from crypto_core.database.column_guards.service import ColumnGuardService
from crypto_core.database.tokens.tables import PLATFORM_TABLES


def hand_over(superuser: Engine, *names: str) -> None:
    """Make the operator the owner of some tables; the platform goes on working with them."""
    with superuser.begin() as connection:
        for name in names:
            connection.execute(text(f"ALTER TABLE {name} OWNER TO {OPERATOR}"))
            connection.execute(text(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {name} TO {PLATFORM}"))


@pytest.fixture
def guards(services: Container, superuser: Engine) -> ColumnGuardService:
    """The service of a role that owns the platform's tables."""
    hand_over(superuser, *(table.name for table in PLATFORM_TABLES))
    return services.column_guards
