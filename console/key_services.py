"""The services that examine, change and replace keys."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from console.capabilities import not_installed
from console.lazy_services import deferred_property

if TYPE_CHECKING:
    from console.base_services import BaseServices
    from console.event_services import EventServices
    from crypto_core.incidents.keys.rotation.guide import ManualRotation
    from crypto_core.keys.changes.service import KeyChangeService
    from crypto_core.keys.dependent_copies import KnownCopies
    from crypto_core.keys.policy.policy_reader import KeyPolicies
    from crypto_core.keys.posture.examination import PostureService
    from crypto_core.keys.replacement import AccessComparison


@dataclass
class KeyServices:
    """`container.key_management`; each is loaded when it is first used."""

    base: BaseServices
    trail: EventServices

    @deferred_property
    def policies(self) -> KeyPolicies:
        from crypto_core.keys.policy.policy_reader import KeyPolicies

        return KeyPolicies(self.base.kms, self.base.keys)

    @deferred_property
    def posture(self) -> PostureService:
        from crypto_core.keys.posture.examination import PostureService

        base = self.base
        return PostureService(
            base.kms,
            base.keys,
            self.policies,
            base.status,
            write_key=base.settings.write_key,
            trusted=lambda: base.keyring.trusted,
            limits=base.settings.limits,
        )

    @deferred_property
    def changes(self) -> KeyChangeService:
        from crypto_core.keys.changes.key_reader import KeyReader
        from crypto_core.keys.changes.service import KeyChangeService

        base = self.base
        reader = KeyReader(
            base.kms,
            base.keys,
            base.status,
            base.backups_under,
            write_key=base.settings.write_key,
            needing_copies=self.copy_register.needing,
            list_key=self._list_key,
        )
        return KeyChangeService(reader, base.journal, **base.guarding)

    def _list_key(self) -> str:
        tripwires = self.base.added("tripwires")
        return str(tripwires.list_key()) if tripwires else ""

    @deferred_property
    def copy_register(self) -> KnownCopies:
        from crypto_core.keys.dependent_copies import NoRegister

        register: KnownCopies | None = self.base.added("copy_register")
        return register or NoRegister(not_installed("register of copies", "The"))

    @deferred_property
    def replacement(self) -> ManualRotation:
        from crypto_core.incidents.keys.rotation.guide import ManualRotation
        from crypto_core.incidents.tool_services import RotationReader
        from crypto_core.keyring.preflight import Preflight

        base = self.base
        settings = base.settings
        reader = RotationReader(
            base.engine,
            base.state_engine,
            base.keys,
            self.access,
            Preflight(base.kms),
            base.inventory,
            base.status,
            lambda: base.kms.regions,
            self.trail.witness(),
            self._list_key,
            settings.write_key,
            settings.write_alias,
            settings.trusted_keys,
            settings.rotation_days,
        )
        return ManualRotation(reader)

    @cached_property
    def access(self) -> AccessComparison:
        from crypto_core.keys.replacement import AccessComparison

        return AccessComparison(
            self.base.keys, self.policies, self.trail.witness(), identity=self.base.identity
        )
