"""A database whose operator may add rows to the platform's tables, and take them away."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine, text

from console.container import Container
from console.sandbox.postgres import OPERATOR
from console.sandbox.sandbox import Sandbox
from crypto_core.forensics.tripwires.plan import AddRequest, TripwireResult
from crypto_core.forensics.tripwires.service import Tripwires
from crypto_core.forensics.tripwires.tripwire_keys import TripwireKeys
from crypto_core.guard.consent import Consent


def let_add_rows(superuser: Engine) -> None:
    """Grant what a tripwire takes."""
    with superuser.begin() as connection:
        connection.execute(text(f"GRANT INSERT, DELETE ON ALL TABLES IN SCHEMA public TO {OPERATOR}"))
        connection.execute(text(f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {OPERATOR}"))


def tripwires_of(services: Container, **more: Any) -> Tripwires:
    """The service, which waits for nobody."""
    return Tripwires(
        services.engine,
        services.catalogue,
        services.tripwire_list,
        services.keyring,
        TripwireKeys(services.kms, services.keys, services.keyring, lambda: services.attributor.met),
        services.journal,
        read_only=services.settings.read_only,
        **{"pause": lambda seconds: None, "approvals": services.approvals} | more,
    )


def added(tripwires: Tripwires, table: str = "gh_connection", **more: Any) -> TripwireResult:
    """A tripwire, made after its plan."""
    more = {"new_key": True} | more
    plan = tripwires.plan_add(AddRequest(table, **more))
    return tripwires.add(plan, Consent.by_option(plan))


@pytest.fixture
def tripwires(services: Container, superuser: Engine) -> Tripwires:
    """The service of a role that may."""
    let_add_rows(superuser)
    return tripwires_of(services)


def opened_under(sandbox: Sandbox, key_arn: str) -> list[str]:
    """The names of the calls that opened, or tried to open, something under a key, as CloudTrail has them."""
    by_key = [{"AttributeKey": "ResourceName", "AttributeValue": key_arn}]
    found = sandbox.client("cloudtrail").lookup_events(LookupAttributes=by_key)["Events"]
    return [e["EventName"] for e in found if e["EventName"] in ("Decrypt", "ReEncrypt")]
