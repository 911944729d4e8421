"""The services of forensics, over a container of the core's."""

from __future__ import annotations

from functools import cached_property

from console.container import Container
from console.lazy_services import deferred_property
from crypto_core.aws import clock as aws_clock
from crypto_core.forensics.provider_logs.incident_tools import ProviderUse
from crypto_core.forensics.provider_logs.pulling import LogPuller
from crypto_core.forensics.provider_logs.store import ProviderLog
from crypto_core.forensics.provider_logs.token_hashes import TokenHashBook, TokenHashing
from crypto_core.forensics.provider_logs.token_use import TokenUses
from crypto_core.forensics.tripwires.incident_tools import TripwireWatch
from crypto_core.forensics.tripwires.service import Tripwires
from crypto_core.forensics.tripwires.tripwire_keys import TripwireKeys
from crypto_core.incidents.steps.step_contracts import Toolbox, joined


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

    @deferred_property
    def token_uses(self) -> TokenUses:
        return TokenUses(ProviderLog(self._core.events.file), self._core.events)

    @deferred_property
    def token_hashing(self) -> TokenHashing:
        return TokenHashing(self._core.providers, TokenHashBook(self._core.events.file))

    @deferred_property
    def log_puller(self) -> LogPuller:
        return LogPuller(self.token_uses.log, self._core.settings.endpoints)


def incident_tools(core: Container) -> Toolbox:
    """Return what steps of incidents do with forensics."""
    forensics = core.of(ForensicsServices)
    watch = TripwireWatch(forensics.tripwires.states, core.trail_rules, aws_clock.CLOCK.now)
    return joined(watch.tools(), ProviderUse(core.tool_services(), forensics.token_uses).tools())
