"""An incident's tools for abilities, over the sandbox's providers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from console.container import Container
from console.forensics.services import ForensicsServices
from crypto_core.forensics.abilities.incident_tools import ability_tools
from crypto_core.incidents.steps.step_contracts import joined
from tests.crypto_core.incidents.tokens.staging import Stage, build
from tests.crypto_core.providers.conftest import waited

__all__ = ("waited",)


def with_abilities(stage: Stage) -> Stage:
    own = ability_tools(stage.parts, stage.container.of(ForensicsServices).abilities)
    return replace(stage, tools=joined(stage.tools, own))


@pytest.fixture
def stage(services: Container) -> Stage:
    return with_abilities(build(services))
