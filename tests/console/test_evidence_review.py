"""keydeck evidence review: shows who may use the keys and who did, and notes that somebody looked."""

from __future__ import annotations

import hashlib
import json

from console.container import Container
from console.sandbox.world import World
from crypto_core.compliance.facts import UseFacts
from crypto_core.compliance.snapshot import SnapshotPart
from crypto_core.proof.forms import canonical
from tests.console.command_types import Keydeck

HOSTILE = "quarter\x1b[31m [/red] \u202e of gh_connection.access_token:gh-42 by ana@example.com"


def test_a_review_shows_who_may_and_who_did_and_is_noted_with_its_digest(
    keydeck: Keydeck, services: Container, world: World
) -> None:
    assert keydeck("events", "pull", "--yes").exit_code == 0

    def answered() -> dict[str, str]:
        judged = services.compliance.assess_now("soc2").judgements
        (one,) = (j for j in judged if j.control.number == "CC6.1")
        return {name: str(answer.status) for name, answer in one.answers}

    assert answered()["accesses-reviewed"] == "not met"
    refused = keydeck("evidence", "review", "--reason", "x")
    assert refused.exit_code == 2
    shown = keydeck("evidence", "review", "--reason", "x", "--dry-run")
    assert "role/keydeck-platform" in shown.stdout
    assert "Decrypt" in shown.stdout
    empty = keydeck("evidence", "review", "--reason", " ", "--yes")
    assert "A review needs a reason" in empty.stderr

    ran = keydeck("evidence", "review", "--reason", HOSTILE, "--yes", "--json")
    looked = ran.json
    assert looked["recorded"] is True
    body = {name: looked[name] for name in ("keys", "accesses", "uses", "since", "until", "gaps")}
    assert hashlib.sha256(canonical(body).encode()).hexdigest() == looked["sha256"]
    assert world.current_key.arn in looked["keys"]
    assert any("Decrypt" in one["actions"] for one in looked["accesses"])
    (entry,) = [
        e for e in services.journal.entries() if e.action == "evidence review" and e.outcome == "done"
    ]
    assert json.loads(entry.detail)["accesses"] == looked["sha256"]
    for text in ("gh-42", "ana@", "\\u001b", "\\u202e"):
        assert text not in entry.detail

    uses = services.snapshots.take([SnapshotPart.USES]).part(SnapshotPart.USES)
    assert isinstance(uses, UseFacts)
    (review,) = uses.reviews
    assert (review.id, review.accesses, set(review.keys)) == (
        str(entry.seq),
        looked["sha256"],
        set(looked["keys"]),
    )
    assert review.reason == "quarter [/red]  of gh_connection.access_token (a row)"
    assert answered()["accesses-reviewed"] == "met"
    # The next one begins where this one ended.
    again = keydeck("evidence", "review", "--reason", "x", "--dry-run", "--json").json
    assert again["since"] >= looked["until"][:16]
