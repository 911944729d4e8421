"""The services of forensics, over a container of the core's; each is loaded when it is first used."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from console.event_file import events_file
from console.lazy_services import deferred_property
from crypto_core.database.tokens.decoys import ReadDecoys, no_decoys
from crypto_core.values.errors import DatabaseError

if TYPE_CHECKING:
    from console.container import Container
    from crypto_core.database.tokens.attribution_cache import AttributionCache, Wrapping
    from crypto_core.forensics.abilities.service import AbilityService
    from crypto_core.forensics.copies.attribution import CopyAttribution
    from crypto_core.forensics.copies.register import CopyRegister
    from crypto_core.forensics.provider_logs.puller import LogPuller
    from crypto_core.forensics.provider_logs.token_hashes import TokenHashing
    from crypto_core.forensics.provider_logs.token_use import TokenUses
    from crypto_core.forensics.token_search.index import TokenIndex
    from crypto_core.forensics.token_search.search import TokenSearch
    from crypto_core.forensics.tripwires.service import Tripwires
    from crypto_core.incidents.steps.step_contracts import Toolbox
    from crypto_core.incidents.tool_services import ToolServices
    from crypto_core.keyring.kms_keyring import KmsKeyring
    from crypto_core.keys.inventory import KeyInventory


class ForensicsServices:
    """One for a container: `container.of(ForensicsServices)`."""

    def __init__(self, core: Container) -> None:
        self._core = core

    @cached_property
    def abilities(self) -> AbilityService:
        from crypto_core.forensics.abilities.service import AbilityBook, AbilityService

        return AbilityService(self._core.tokens.asking, AbilityBook(self.abilities_file))

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

    @cached_property
    def copy_register(self) -> CopyRegister:
        from crypto_core.forensics.copies.register import CopyRegister

        core = self._core
        return CopyRegister(
            core.state_engine, core.journal, core.noting, self.copy_attribution, core.probe.actor
        )

    def copy_attribution(self, *, offline: bool = False) -> CopyAttribution:
        """Return what tells the keys of copies; `offline` by what is remembered alone."""
        core = self._core
        if offline:
            return attribution_over(core.answers)
        return attribution_over(core.answers, core.keyring, core.keys, core.tripwire_list.decoys)

    @cached_property
    def token_uses(self) -> TokenUses:
        from crypto_core.forensics.provider_logs.store import ProviderLog
        from crypto_core.forensics.provider_logs.token_use import TokenUses

        return TokenUses(ProviderLog(self._core.trail.events.file), self._core.trail.events)

    @cached_property
    def token_hashing(self) -> TokenHashing:
        from crypto_core.forensics.provider_logs.token_hashes import TokenHashBook, TokenHashing

        return TokenHashing(self._core.tokens.providers, TokenHashBook(self._core.trail.events.file))

    @cached_property
    def log_puller(self) -> LogPuller:
        from crypto_core.forensics.provider_logs.puller import LogPuller

        return LogPuller(self.token_uses.log, self._core.settings.endpoints)

    @cached_property
    def token_search(self) -> TokenSearch:
        from crypto_core.forensics.token_search.search import TokenSearch

        core, index = self._core, self.token_index
        gaps = core.status.unseen
        return TokenSearch(
            core.tokens.verifier, core.tokens.opener, core.store, core.catalogue, gaps=gaps, index=index
        )

    @deferred_property
    def token_index(self) -> TokenIndex:
        from crypto_core.forensics.token_search.index import TokenIndex

        core = self._core
        index = TokenIndex(
            core.engine,
            core.catalogue,
            core.store,
            core.keyring,
            core.tokens.verifier,
            core.journal,
            journal_engine=core.state_engine,
            on=core.settings.token_index,
            **core.guarding,
        )
        core.ending.callback(index.close)
        return index


def incident_tools(core: Container, parts: ToolServices) -> Toolbox:
    """Return what steps of incidents do with forensics."""
    from crypto_core.aws import clock as aws_clock
    from crypto_core.forensics.abilities.incident_tools import ability_tools
    from crypto_core.forensics.provider_logs.incident_tools import ProviderUse
    from crypto_core.forensics.tripwires.incident_tools import TripwireWatch
    from crypto_core.incidents.steps.step_contracts import joined

    own = core.of(ForensicsServices)
    watch = TripwireWatch(own.tripwires.states, core.trail.rules, aws_clock.CLOCK.now)
    of_logs = ProviderUse(parts, own.token_uses).tools()
    return joined(watch.tools(), ability_tools(parts, own.abilities), of_logs)


def attribution_over(
    answers: AttributionCache | None = None,
    keyring: KmsKeyring | None = None,
    keys: KeyInventory | None = None,
    decoys: ReadDecoys = no_decoys,
) -> CopyAttribution:
    """Return what tells keys by what is there: remembered answers, KMS to ask, or neither."""
    from crypto_core.forensics.copies.attribution import CopyAttribution

    gaps: list[str] = []

    def known() -> Mapping[bytes, frozenset[Wrapping]]:
        if answers is None:
            return {}
        try:
            return answers.known_groups()
        except DatabaseError as error:
            gaps.append(f"KMS's answers that are remembered can't be read: {error.message}")
            return {}

    def asked(edk: bytes) -> Wrapping:
        told = keyring.attribute(edk)  # type: ignore[union-attr]
        return told.key_arn, told.key_material_id

    return CopyAttribution(
        known, None if keyring is None else asked, None if keys is None else keys.describe, gaps, decoys
    )
