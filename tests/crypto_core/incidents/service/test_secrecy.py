"""What comes from outside is data: no control bytes, no secret, and evidence is what it was."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from crypto_core.incidents.model import CheckResult, CheckState, IncidentScope
from crypto_core.incidents.runbooks.catalogue import ActionKind, CaptureKind, CheckKind
from crypto_core.incidents.service import IncidentService
from crypto_core.incidents.steps.step_contracts import ActionResult, Captured
from crypto_core.values.errors import EvidenceError, KeydeckError, RefusedError
from crypto_core.values.secret import Secret
from tests.crypto_core.canary import CANARY
from tests.crypto_core.incidents.service.doubles import KEY, Doubles

Act = Callable[..., ActionResult]

HOSTILE = "[/red]\x1b[2J\u202eevil\u2028\x00\x9b31m " + "x" * 50_000
PASSWORD = 'correct"horse\\battery'
"""A secret that looks like none."""


def all_that_is_stored(engine: Engine) -> str:
    names = (
        "incident",
        "incident_step",
        "incident_evidence",
        "incident_entry",
        "incident_presence",
        "journal",
    )
    with engine.connect() as connection:
        return "\n".join(
            value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
            for name in names
            for row in connection.execute(text(f"SELECT * FROM keydeck.{name}"))
            for value in row
        )


def assert_harmless(stored: str) -> None:
    assert not [c for c in stored if c != "\n" and (c < " " or c in "\x7f\x9b\u202e\u2028")]


def test_hostile_text_is_cleaned_wherever_it_comes_in(
    engine: Engine, ana: IncidentService, act: Act, doubles: Doubles
) -> None:
    incident = ana.declare("team-key", IncidentScope(key=KEY, origin=HOSTILE), HOSTILE)
    ana.note(incident, HOSTILE, "scope")
    ana.skip(incident, "scope", HOSTILE)
    with pytest.raises(RefusedError) as refused:
        ana.answer(incident, "leaked", HOSTILE)
    assert_harmless(str(refused.value))
    captured = Captured(CaptureKind.KEY, HOSTILE, {HOSTILE: [HOSTILE]})
    doubles.results[ActionKind.LOCK_DOWN_KEY] = ActionResult(
        True, (HOSTILE,) * 200, {HOSTILE: HOSTILE}, (captured,)
    )
    doubles.checks[CheckKind.KEY_LOCKED_DOWN] = CheckResult(CheckState.NOT_YET, (HOSTILE,))
    result = act(ana, incident, "lock", {HOSTILE: HOSTILE})
    assert_harmless("".join(result.lines))
    assert len(result.lines) < 80

    def fails(_: Any) -> None:
        raise KeydeckError(HOSTILE)

    doubles.hooks["create-key before"] = fails
    with pytest.raises(KeydeckError):
        act(ana, incident, "replace")
    ana.answer(incident, "leaked", "no")
    doubles.checks.clear()
    ana.finish(incident, "lock")
    for step in ("replace", "proof"):
        ana.skip(incident, step, HOSTILE)
    view = ana.close(incident, HOSTILE)
    assert view.incident.title.startswith("[/red]")
    assert max(len(e.text) for e in view.entries) <= 4_000
    assert_harmless(all_that_is_stored(engine))
    kept = ana.evidence(incident, next(piece.id for piece in view.evidence if piece.kind == "key"))
    assert_harmless(kept)
    assert json.loads(kept) == {HOSTILE: [HOSTILE]}, "evidence itself is kept as it was"


@pytest.mark.parametrize("secret", [CANARY, PASSWORD])
def test_no_secret_that_was_entered_is_kept_whatever_is_made_of_it(
    engine: Engine, ana: IncidentService, act: Act, incident: int, doubles: Doubles, secret: str
) -> None:
    leak = f"It was {secret}."
    inputs = {"token": Secret.of(secret), "ticket": "OPS-7"}
    captured = Captured(CaptureKind.KEY, leak, {"said": leak, secret: 1})
    doubles.results[ActionKind.LOCK_DOWN_KEY] = ActionResult(True, (leak,), {"said": leak}, (captured,))
    doubles.checks[CheckKind.KEY_LOCKED_DOWN] = CheckResult(CheckState.NOT_YET, (leak,))
    doubles.contents[CaptureKind.POLICY] = {"said": leak}

    def wiped(situation: Any) -> None:
        situation.secret("token").wipe()

    doubles.hooks["lock-down-key after"] = wiped
    result = act(ana, incident, "lock", inputs)

    def fails(_: Any) -> None:
        raise KeydeckError(leak)

    inputs["token"] = Secret.of(secret)
    doubles.hooks["create-key before"] = fails
    with pytest.raises(KeydeckError):
        act(ana, incident, "replace", inputs)
    stored = all_that_is_stored(engine) + repr(ana.show(incident)) + repr(result)
    assert secret not in stored
    assert "CANARY" not in stored
    assert "horse" not in stored
    assert '"secrets": ["token"]' in stored
    assert '"ticket": "OPS-7"' in stored


def test_a_token_in_what_an_operator_writes_is_not_kept(
    engine: Engine, ana: IncidentService, incident: int
) -> None:
    ana.note(incident, f"Found {CANARY} in a log")
    ana.skip(incident, "scope", f"It is {CANARY}")
    ana.skip(incident, "leaked", f"djF8{'QUJD' * 20}")
    stored = all_that_is_stored(engine)
    assert CANARY not in stored
    assert "QUJDQUJD" not in stored
    assert "[hidden-token]" in ana.show(incident).entries[-3].text


def test_evidence_that_holds_a_token_or_an_envelope_holds_it_no_more(
    ana: IncidentService, incident: int, doubles: Doubles
) -> None:
    doubles.contents[CaptureKind.KEY] = {
        "token": CANARY,
        "envelope": "djF8" + "QUJD" * 20,
        "name": "Müller",
        "begins": "with ghp_",
    }
    piece = ana.capture(incident, "proof")[0]
    assert json.loads(ana.evidence(incident, piece.id)) == {
        "token": "[hidden-token]",
        "envelope": "[hidden-token]",
        "name": "Müller",
        "begins": "with ghp_",
    }
    doubles.contents[CaptureKind.KEY] = {"token": Secret.of(CANARY)}
    with pytest.raises(KeydeckError, match="is no JSON: TypeError"):
        ana.capture(incident, "proof")


def test_evidence_that_was_changed_is_found_out(
    engine: Engine, forging: Engine, ana: IncidentService, incident: int
) -> None:
    piece, other = ana.capture(incident, "proof")
    assert ana.evidence(incident, piece.id)
    with pytest.raises(DBAPIError), engine.begin() as connection:
        connection.execute(text("UPDATE keydeck.incident_evidence SET content = '{}'"))

    def forge(change: str, id_: int) -> None:
        with forging.begin() as connection:
            connection.execute(text("SET LOCAL session_replication_role = replica"))
            connection.execute(
                text(f"UPDATE keydeck.incident_evidence SET {change} WHERE id = :id"), {"id": id_}
            )

    forge("content = content || ' '", piece.id)
    with pytest.raises(EvidenceError, match="was changed after it was captured"):
        ana.evidence(incident, piece.id)
    forge("sha256 = encode(sha256(content::bytea), 'hex')", piece.id)
    with pytest.raises(EvidenceError, match="not what the journal says"):
        ana.evidence(incident, piece.id)
    forge("step_id = 'lock'", other.id)
    with pytest.raises(EvidenceError, match="not what the journal says"):
        ana.evidence(incident, other.id)
    with pytest.raises(EvidenceError, match="no piece of evidence"):
        ana.evidence(ana.declare("team-key", IncidentScope(key=KEY)), piece.id)
