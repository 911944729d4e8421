"""Without forensics, what it does in an incident says that it isn't installed, and never passes."""

from __future__ import annotations

import pytest

from console import capabilities
from console.container import Container
from console.sandbox.world import World
from crypto_core.incidents.model import CheckState, IncidentScope
from crypto_core.incidents.revocation_order import Suspicion
from crypto_core.incidents.runbooks.catalogue import CaptureKind
from crypto_core.values.errors import KeydeckError, RefusedError

LEFT_OUT = "is not installed: this installation leaves the capability forensics out."


@pytest.fixture
def bare(services: Container, monkeypatch: pytest.MonkeyPatch) -> Container:
    """The services as they are where the capability's folders are missing."""
    others = tuple(one for one in capabilities.manifests() if one.name != "forensics")
    monkeypatch.setattr(capabilities, "manifests", lambda: others)
    return services


def test_the_step_that_asks_about_abilities_can_be_skipped_but_not_done(
    bare: Container, world: World
) -> None:
    ref = next(iter(world.sealed_under(world.current_key)))
    number = bare.incident_response.incidents.declare(
        "token-compromise", IncidentScope(references=(str(ref),))
    )
    seen = bare.incident_response.incidents.look_at_check(number, "abilities")
    assert (seen.state, seen.lines) == (CheckState.UNKNOWN, (f"Check abilities-asked {LEFT_OUT}",))
    with pytest.raises(RefusedError, match=f"Action ask-abilities {LEFT_OUT}"):
        bare.incident_response.incidents.plan_action(number, "abilities")
    with pytest.raises(KeydeckError, match=f"Check abilities-asked {LEFT_OUT}"):
        bare.incident_response.incidents.finish(number, "abilities")
    assert not bare.incident_response.incidents.show(number).step("abilities").state.ended
    assert CaptureKind.ABILITIES not in bare.incident_response.tools.captures
    not_installed = bare.incident_response.tools.not_installed
    assert not_installed("abilities", "Capture") == f"Capture abilities {LEFT_OUT}"


def test_the_order_of_revocation_takes_every_token_for_the_worst_and_says_why(
    bare: Container, world: World
) -> None:
    refs = list(world.sealed_under(world.current_key))[:3]
    order = bare.incident_response.ordering.order_of(refs, Suspicion())
    assert {(one.ref, one.abilities, one.dead) for one in order} == {(ref, None, False) for ref in refs}
    assert {reason.points for one in order for reason in one.damage} == {100}
    assert bare.incident_response.ordering.abilities.missing == f"keydeck abilities {LEFT_OUT}"
    assert "abilities" not in bare.services.added
