"""What goes with stored events: the names of keys, coverage, the rules. No database is needed for any of it.

AWS is asked for names of keys, and for CloudTrail's public keys, when these are asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache, partial
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

from console import capabilities
from console.capabilities import event_engines, not_installed
from console.event_file import open_events
from console.lazy_services import deferred_property
from console.own_folders import data_folder
from console.settings import Settings
from crypto_core.aws import clock as aws_clock
from crypto_core.aws.kms import KmsApi
from crypto_core.aws.mfa_codes import AskCode, nobody_to_ask
from crypto_core.database.tokens.decoys import ReadDecoys, no_decoys
from crypto_core.findings.finding import Finding, Gap, Severity
from crypto_core.keys.inventory import KeyInventory
from crypto_core.values.errors import KeydeckError, SettingsError
from crypto_core.values.key_names import homes_of, is_key_arn, region_of

if TYPE_CHECKING:
    from threading import Event

    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    from console.base_services import BaseServices
    from crypto_core.trail.coverage_record import CoverageRecord
    from crypto_core.trail.key_watch import KeyMonitor
    from crypto_core.trail.query import Aliases
    from crypto_core.trail.rules.rule_context import ReceiptPolicy
    from crypto_core.trail.rules.service import Further, TrailRules
    from crypto_core.trail.rules.watched_keys import Configured
    from crypto_core.trail.sources.files.copied_digests import PublicKeys
    from crypto_core.trail.sources.puller import EventPuller
    from crypto_core.trail.sources.report import ReceiptReport
    from crypto_core.trail.store import EventStore
    from crypto_core.trail.use.service import EventUse
    from crypto_core.trail.use.witness import StoreWitness


def regions_of(kms: KmsApi, trusted: Iterable[str], settings: Settings) -> tuple[str, ...]:
    """Return the Regions in which keys are used that matter: those configured, and those of such keys."""
    arns = [key for key in (*trusted, *settings.retired_keys) if is_key_arn(key)]
    return tuple(dict.fromkeys([*kms.regions, *(region for arn in arns if (region := region_of(arn)))]))


def coverage_of(settings: Settings, events: EventStore) -> CoverageRecord:
    """Return what tells which periods a store covers, of the settings' Regions. It asks nobody."""
    kms = KmsApi(settings.regions, profile=settings.profile)
    named = [key for key in (settings.write_key, *settings.trusted_keys) if key]
    return coverage_record(events, kms, named, settings)


def coverage_record(
    events: EventStore, kms: KmsApi, trusted: Iterable[str], settings: Settings
) -> CoverageRecord:
    """Return what tells which periods a store covers, of the accounts and Regions of keys that matter."""
    from crypto_core.trail.coverage_record import CoverageRecord

    arns = [key for key in (*trusted, *settings.retired_keys) if is_key_arn(key)]
    return CoverageRecord(
        events,
        partial(regions_of, kms, trusted, settings),
        accounts=lambda: [home.account for home in homes_of(arns)],
    )


def cloudtrail_keys_of(settings: Settings, ask_code: AskCode = nobody_to_ask) -> PublicKeys:
    """Return what asks AWS for CloudTrail's public keys of a Region and a time, once it is asked."""
    from crypto_core.trail.sources.digest_files import public_keys

    def ask(region: str, since: datetime, until: datetime) -> dict[str, RSAPublicKey] | str:
        kms = KmsApi((region,), profile=settings.profile, read_only=True, ask_code=ask_code)
        try:
            return public_keys(kms, region, since, until, None)
        except KeydeckError as error:
            return error.message

    return ask


def rules_about_events(
    settings: Settings,
    events: EventStore,
    keys: KeyInventory,
    trusted: Sequence[str],
    decoys: ReadDecoys = no_decoys,
) -> TrailRules:
    """Return the rules about a store's events. KMS is asked for names of keys; `decoys` reads decoys."""
    from crypto_core.trail.rules.service import TrailRules

    added = (one.event_rules for one in capabilities.manifests())
    rules = [resolve_name(name)(events, decoys) for name in added if name]
    return TrailRules(
        events,
        _configured(settings, trusted),
        aliases=partial(aliases_where_known, keys),
        describe=lambda name: keys.describe(name).key_arn,
        further=partial(_further, rules, events),
        decoys=decoys,
        receipts=_receipt_policy(settings),
    )


def _further(rules: Sequence[Further], events: EventStore, *window: Any) -> Iterator[Finding | Gap]:
    """What capabilities' rules say; events of providers that nothing here examines are a gap."""
    from sqlalchemy import inspect

    for said in rules:
        yield from said(*window)
    if sentence := not_installed("provider", "keydeck events"):
        with events.file.reading() as connection:
            there = inspect(connection).has_table("provider_event")
        if there:
            yield Gap(f"Providers' events are in the store, and not examined: {sentence}", Severity.HIGH)


def _receipt_policy(settings: Settings) -> ReceiptPolicy | None:
    from crypto_core.trail.rules.rule_context import ReceiptPolicy

    since = settings.receipts_complete_since
    return None if since is None else ReceiptPolicy(since, timedelta(minutes=settings.receipts_grace))


def _configured(settings: Settings, trusted: Iterable[str]) -> Configured:
    from crypto_core.trail.rules.watched_keys import Configured

    return Configured(
        settings.write_key,
        tuple(trusted),
        settings.retired_keys,
        settings.write_alias,
        frozenset(settings.trusted_accounts),
    )


def key_inventory_of(settings: Settings, ask_code: AskCode = nobody_to_ask) -> KeyInventory:
    """Return what reads keys from KMS, without a database: nothing is connected before it is asked."""
    return KeyInventory(KmsApi(settings.regions, profile=settings.profile, read_only=True, ask_code=ask_code))


def aliases_where_known(keys: KeyInventory) -> Mapping[str, Sequence[str]]:
    """Return the aliases of keys; none where no Region is set in which KMS could be asked."""
    try:
        return keys.known_aliases()
    except SettingsError:
        return {}


def aliases_of(settings: Settings, ask_code: AskCode = nobody_to_ask) -> Aliases:
    """Return what reads the aliases of keys from KMS, once it is asked: nothing is connected before."""

    @cache
    def read() -> Mapping[str, Sequence[str]]:
        return aliases_where_known(key_inventory_of(settings, ask_code))

    return read


@dataclass
class EventServices:
    """`container.trail`; each is loaded when it is first used."""

    base: BaseServices

    @deferred_property
    def events(self) -> EventStore:
        return open_events(self.base.settings, self.base.keys.known_aliases)

    @deferred_property
    def puller(self) -> EventPuller:
        from crypto_core.trail.sources.puller import EventPuller

        base = self.base
        settings = base.settings
        return EventPuller(
            base.kms,
            self.events,
            regions=partial(regions_of, base.kms, base.keyring.trusted, settings),
            aliases=base.keys.known_aliases,
            engines={name: resolve_name(at).source(settings) for name, at in event_engines().items()},
            receipts=self._take_receipts,
        )

    def _take_receipts(self, cancelled: Event | None) -> ReceiptReport:
        """Take new receipts into the store: from the table, and from the file of Keydeck's own calls."""
        from crypto_core.trail.sources.receipts import ReceiptTable, take_files

        report = ReceiptTable(self.base.state_engine, self.events).take(cancelled)
        own = data_folder() / "receipts.jsonl"
        return report + take_files(self.events, [own], cancelled, source="") if own.exists() else report

    @deferred_property
    def coverage(self) -> CoverageRecord:
        return coverage_record(self.events, self.base.kms, self.base.keyring.trusted, self.base.settings)

    def witness(self) -> StoreWitness:
        from crypto_core.trail.use.witness import StoreWitness

        return StoreWitness(self.events, self.coverage.reached)

    @deferred_property
    def use(self) -> EventUse:
        from crypto_core.database.tokens.backups import replaced
        from crypto_core.database.tokens.value_hashes import ValueHashes
        from crypto_core.trail.use.service import EventUse

        base = self.base
        return EventUse(
            self.events,
            row=base.inventory.row,
            asked=lambda ref: base.inspector.inspect_token(ref).row,
            replaced=partial(replaced, base.engine),
            census=base.status,
            inventory=base.inventory,
            backups=base.backups_under,
            aliases=base.keys.known_aliases,
            coverage=self.coverage.between,
            values=ValueHashes(base.engine, base.catalogue),
        )

    @deferred_property
    def monitor(self) -> KeyMonitor:
        from crypto_core.trail.key_watch import KeyMonitor

        return KeyMonitor(
            self.events,
            aliases=self.base.keys.known_aliases,
            puller=self.puller,
            reaches=self.coverage.reached,
            replicas=self.base.keys.replicas,
            identity=self.base.identity,
            skew=lambda: aws_clock.CLOCK.skew,
        )

    @deferred_property
    def rules(self) -> TrailRules:
        base = self.base
        decoys = base.tripwire_list.decoys
        rules = rules_about_events(base.settings, self.events, base.keys, base.trusted_keys, decoys)
        return replace(rules, guard=base.noting)
