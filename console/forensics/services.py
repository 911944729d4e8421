"""The services of forensics, over a container of the core's; each is loaded when it is first used."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from console.event_file import events_file

if TYPE_CHECKING:
    from console.container import Container
    from crypto_core.forensics.abilities.service import AbilityService
    from crypto_core.forensics.tripwires.service import Tripwires
    from crypto_core.incidents.steps.step_contracts import Toolbox


class ForensicsServices:
    """One for a container: `container.of(ForensicsServices)`."""

    def __init__(self, core: Container) -> None:
        self._core = core

    @cached_property
    def abilities(self) -> AbilityService:
        from crypto_core.forensics.abilities.service import AbilityBook, AbilityService

        return AbilityService(self._core.token_asking, AbilityBook(self.abilities_file))

    @property
    def abilities_file(self) -> Path:
        """Where the answers about what tokens can do are: beside the store of events."""
        events = events_file(self._core.settings)
        return events.with_name(f"{events.stem}-abilities.sqlite")

    @cached_property
    def tripwires(self) -> Tripwires:
        from crypto_core.forensics.tripwires.service import Tripwires
        from crypto_core.forensics.tripwires.tripwire_keys import TripwireKeys

        core = self._core
        return Tripwires(
            core.engine,
            core.catalogue,
            core.tripwire_list,
            core.keyring,
            TripwireKeys(core.kms, core.keys, core.keyring, lambda: core.attributor.met),
            core.journal,
            **core.guarding,
        )


def incident_tools(core: Container) -> Toolbox:
    """Return what steps of incidents do with forensics."""
    from crypto_core.aws import clock as aws_clock
    from crypto_core.forensics.abilities.incident_tools import ability_tools
    from crypto_core.forensics.tripwires.incident_tools import TripwireWatch
    from crypto_core.incidents.steps.step_contracts import joined

    own = core.of(ForensicsServices)
    watch = TripwireWatch(own.tripwires.states, core.trail_rules, aws_clock.CLOCK.now)
    return joined(watch.tools(), ability_tools(core.tool_services(), own.abilities))
