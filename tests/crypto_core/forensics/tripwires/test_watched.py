"""What an incident keeps of tripwires, and what a provider's log tells of a decoy's token."""

from __future__ import annotations

import json
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import Engine, text

from console.container import Container
from crypto_core.forensics.provider_logs.importer import LogFiles
from crypto_core.forensics.provider_logs.store import ProviderLog
from crypto_core.forensics.tripwires.incident_tools import NONE_SET
from crypto_core.forensics.tripwires.service import Tripwires
from crypto_core.incidents.model import CheckState, IncidentScope
from crypto_core.incidents.runbooks.catalogue import CaptureKind, CheckKind
from crypto_core.incidents.steps.step_contracts import Captured, Situation
from tests.crypto_core.forensics.provider_logs.samples import github
from tests.crypto_core.forensics.tripwires.conftest import added


def situation(services: Container) -> Situation:
    """A step of an incident about tokens."""
    number = services.incident_response.incidents.declare(
        "token-compromise", IncidentScope(references=("gh_connection.access_token:gh-1",))
    )
    view = services.incident_response.incidents.show(number)
    return Situation(view.incident, view.step("access").step)


def captured(services: Container, where: Situation) -> Captured:
    """The one piece of evidence."""
    (piece,) = services.incident_response.tools.captures[CaptureKind.TRIPWIRES](where)
    return piece


def test_an_incident_keeps_how_decoys_stand_and_names_none(
    services: Container, tripwires: Tripwires, superuser: Engine, tmp_path: Path
) -> None:
    where = situation(services)
    check = services.incident_response.tools.checks[CheckKind.TRIPWIRES_KNOWN]
    none = check(where)
    assert (none.state, none.lines) == (CheckState.PASSED, (NONE_SET,))
    assert captured(services, where).content["tripwires"] == []

    made = added(tripwires, count=2)
    assert made.state is not None
    decoys = services.tripwire_list.decoys(anew=True)
    log = tmp_path / "audit.jsonl"
    at = int((datetime.now(UTC) - timedelta(minutes=5)).timestamp() * 1000)
    hashes = [b64encode(decoys.rows[0].tokens[0].token).decode(), b64encode(b"x" * 32).decode()]
    events = [
        github(n, **{"@timestamp": at, "created_at": at, "hashed_token": one, "repo": "acme/[/red]\x1b[2J"})
        for n, one in enumerate(hashes)
    ]
    log.write_text("".join(f"{json.dumps(event)}\n" for event in events))
    LogFiles(ProviderLog(services.trail.events.file)).import_files([str(log)])

    examined = services.trail.rules.examine_events()
    (used,) = [one for one in examined.findings if one.rule == "event-provider-tripwire"]
    assert used.subject == f"tripwire {made.state.number}"
    assert "1 use (git.clone) at" in used.evidence
    assert "\x1b" not in used.evidence
    seen = check(where)
    assert any(used.title in line for line in seen.lines)
    kept = captured(services, where).content
    assert [trip["rule"] for trip in kept["trips"]] == ["event-provider-tripwire"]
    assert kept["tripwires"] == [{"tripwire": 1, "decoy_tokens": len(made.state.refs), "gone": 0}]
    ids = {row.row_id for row in decoys.rows}
    assert len(ids) == 2
    assert not [one for one in ids if one in json.dumps(kept)]

    with superuser.begin() as connection:
        connection.execute(text("DELETE FROM gh_connection WHERE id = :id"), {"id": min(ids)})
    services.tripwire_list.decoys(anew=True)
    gone = check(where)
    assert gone.state is CheckState.FAILED
    assert "gone or changed" in gone.lines[0]


def test_a_proof_says_what_it_leaves_out(services: Container, tripwires: Tripwires) -> None:
    assert not services.status.prove(everywhere=False).remarks
    added(tripwires, count=2)
    (said,) = services.status.prove(everywhere=False).remarks
    assert said.startswith("Left out as 2 decoys of tripwire 1, by the list of tripwires alone")
