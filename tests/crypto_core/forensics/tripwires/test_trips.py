"""Who opens a decoy is told by CloudTrail, and nobody else: not the platform, not Keydeck."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from botocore.exceptions import ClientError
from sqlalchemy import Engine, text

from console.container import Container
from console.sandbox import access_keys
from console.sandbox.endpoint.scenario import Denial, PastCall
from console.sandbox.sandbox import Sandbox
from console.sandbox.world import World
from crypto_core.envelope import Envelope, parse
from crypto_core.findings.finding import Finding, Severity
from crypto_core.forensics.tripwires.service import Tripwires
from crypto_core.guard.consent import Consent
from crypto_core.values.errors import EnvelopeError
from crypto_core.values.references import TokenRef, parse_reference
from tests.conftest import run_here
from tests.crypto_core.forensics.tripwires.conftest import added

RULE = "event-tripwire-opened"


def trips(services: Container, sandbox: Sandbox, days: int = 31) -> list[Finding]:
    """What the rule says of all that CloudTrail has."""
    now = datetime.now(UTC) + timedelta(minutes=1)
    sandbox.control.set_lookup_throttle(None)
    services.trail.puller.pull_events(since=now - timedelta(days=days), until=now)
    examined = services.trail.rules.examine_events(now - timedelta(days=days), now)
    return [finding for finding in examined.findings if finding.rule == RULE]


def envelopes(engine: Engine) -> list[tuple[str, Envelope]]:
    """Whatever of a dump of the table can be parsed, as a thief has it."""
    found = []
    with engine.connect() as connection:
        for row_id, stored in connection.execute(text("SELECT id, access_token FROM gh_connection")):
            with suppress(EnvelopeError):
                found.append((row_id, parse(stored)))
    return found


def read_all(sandbox: Sandbox, engine: Engine) -> None:
    """Open a dump of the table with a stolen access key, row by row."""
    kms = sandbox.client("kms", access_keys.INTRUDER)
    for row_id, envelope in envelopes(engine):
        context = dict(envelope.opening_context(TokenRef("gh_connection", "access_token", row_id), None))
        with suppress(ClientError):
            kms.decrypt(CiphertextBlob=envelope.encrypted_data_key, EncryptionContext=context)


def month_of_traffic(world: World) -> list[PastCall]:
    """The platform opening tokens under its keys for thirty days."""
    now = datetime.now(UTC)
    return [
        PastCall(
            time=now - timedelta(hours=hour, minutes=5),
            operation="Decrypt",
            access_key_id=access_keys.PLATFORM,
            key_id=(world.current_key if hour % 8 == 1 else world.old_key).arn,
        )
        for hour in range(1, 30 * 24, 4)
    ]


@pytest.mark.deep
def test_a_month_of_the_platform_trips_none_and_a_thief_who_reads_all_trips_one(
    tripwires: Tripwires, services: Container, sandbox: Sandbox, superuser: Engine, world: World
) -> None:
    state = added(tripwires, count=2).state
    assert state is not None
    sandbox.control.history(month_of_traffic(world))
    services.status.take_census()
    assert trips(services, sandbox) == []

    read_all(sandbox, superuser)
    (finding,) = trips(services, sandbox, days=1)
    assert finding.severity is Severity.CRITICAL
    assert finding.title == "user/intruder opened a decoy of tripwire 1"
    assert "arn:aws:iam::123456789012:user/intruder" in finding.evidence
    assert "2 calls that succeeded: Decrypt from" in finding.evidence
    assert finding.subject in (world.current_key.arn, world.old_key.arn)
    assert state.key_arn not in f"{finding.title}{finding.evidence}{finding.remedy}{finding.subject}"

    ran = run_here("incident", "start", "key-compromise", "--finding", RULE, "--json")
    assert ran.exit_code == 0, ran.stderr
    view = services.incident_response.incidents.show(1)
    assert view.incident.scope.key == finding.subject
    suspects = services.incident_response.suspects.suspects_of(view.incident)
    assert "arn:aws:iam::123456789012:user/intruder" in str(suspects)


@pytest.mark.deep
def test_a_refused_attempt_and_a_v2_decoy_are_told_and_a_removed_ones_key_still_trips(
    tripwires: Tripwires, services: Container, sandbox: Sandbox, superuser: Engine, world: World
) -> None:
    old, new = added(tripwires), added(tripwires, format="v2", new_key=False)
    assert old.state is not None
    assert new.state is not None
    copy = envelopes(superuser)
    plan = tripwires.plan_remove(1)
    tripwires.remove(plan, Consent.by_option(plan))
    sandbox.control.add_denial(
        Denial("arn:aws:iam::123456789012:user/intruder", "kms:Decrypt", old.state.key_arn)
    )
    rows = {parse_reference(ref).row_id for ref in old.state.refs}
    kms = sandbox.client("kms", access_keys.INTRUDER)
    for row_id, envelope in copy:
        if row_id in rows:
            with suppress(ClientError):
                kms.decrypt(CiphertextBlob=envelope.encrypted_data_key, KeyId=old.state.key_arn)
    (finding,) = trips(services, sandbox)
    assert (finding.severity, finding.title) == (
        Severity.HIGH,
        "user/intruder tried to open a decoy of tripwire 1",
    )
    read_all(sandbox, superuser)
    (finding,) = trips(services, sandbox)
    assert finding.severity is Severity.CRITICAL
    assert finding.title == "user/intruder opened a decoy of tripwire 1, 2"
