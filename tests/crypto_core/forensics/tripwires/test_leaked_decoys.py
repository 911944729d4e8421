"""A decoy's token that somebody has is told as such, and nothing opens the decoy for that."""

from __future__ import annotations

from console.container import Container
from console.forensics.services import ForensicsServices
from console.sandbox.sandbox import Sandbox
from crypto_core.forensics.token_search.target_tokens import WantedToken
from crypto_core.forensics.tripwires.service import Tripwires
from tests.crypto_core.forensics.tripwires.conftest import added, opened_under


def test_a_token_of_a_decoy_names_its_tripwire(
    tripwires: Tripwires, services: Container, sandbox: Sandbox
) -> None:
    number = added(tripwires, new_key=True).number
    (decoy, *_) = services.catalogue().decoys.rows
    before = opened_under(sandbox, decoy.key_arn)
    wanted = [WantedToken(n, "github", sha256=one.token) for n, one in enumerate(decoy.tokens, 1)]
    result = services.of(ForensicsServices).token_search.find_rows(
        [*wanted, WantedToken(99, "github", sha256=b"x" * 32)]
    )
    assert result.references == ()
    assert result.missing == (99,)
    assert [one.ref for rows in result.decoys.values() for one in rows] == list(decoy.refs)
    assert {one.tripwire for rows in result.decoys.values() for one in rows} == {number}
    assert any(f"of tripwire {number} holds it" in line for line in result.lines)
    assert opened_under(sandbox, decoy.key_arn) == before
