"""The services of forensics, over a container of the core's."""

from __future__ import annotations

from functools import cached_property

from console.container import Container
from console.lazy_services import deferred_property
from crypto_core.aws import clock as aws_clock
from crypto_core.forensics.token_search.index import TokenIndex
from crypto_core.forensics.token_search.search import TokenSearch
from crypto_core.forensics.tripwires.incident_tools import TripwireWatch
from crypto_core.forensics.tripwires.service import Tripwires
from crypto_core.forensics.tripwires.tripwire_keys import TripwireKeys
from crypto_core.incidents.steps.step_contracts import Toolbox


class ForensicsServices:
    """One for a container: `container.of(ForensicsServices)`."""

    def __init__(self, core: Container) -> None:
        self._core = core

    @cached_property
    def tripwires(self) -> Tripwires:
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

    @cached_property
    def token_search(self) -> TokenSearch:
        core = self._core
        return TokenSearch(
            core.verifier, core.opener, core.store, core.catalogue, core.status.unseen, self.token_index
        )

    @deferred_property
    def token_index(self) -> TokenIndex:
        core = self._core
        index = TokenIndex(
            core.engine,
            core.catalogue,
            core.store,
            core.keyring,
            core.verifier,
            core.journal,
            journal_engine=core.state_engine,
            on=core.settings.token_index,
            **core.guarding,
        )
        core.ending.callback(index.close)
        return index


def incident_tools(core: Container) -> Toolbox:
    """Return what steps of incidents do with forensics."""
    states = core.of(ForensicsServices).tripwires.states
    return TripwireWatch(states, core.trail_rules, aws_clock.CLOCK.now).tools()
