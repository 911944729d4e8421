"""The whole diagnosis: machine, settings, databases, AWS, cryptography, CloudTrail's events."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from threading import Event

from console.capabilities import added_checks, endpoint_checks
from console.checks.machine import look_at_machine
from console.checks.settings_check import look_at_settings
from console.settings import LoadedSettings, Settings, database_remedy
from crypto_core.aws.mfa_codes import AskCode, nobody_to_ask
from crypto_core.diagnosis import Area, Check, Topic
from crypto_core.values.errors import SettingsError

MACHINE, SETTINGS, DATABASE, STATE, AWS, CRYPTOGRAPHY, EVENTS = (
    "this machine",
    "settings",
    "database",
    "journal's database",
    "AWS",
    "cryptography",
    "CloudTrail's events",
)


def all_areas(
    loaded: LoadedSettings | SettingsError, *, ask_code: AskCode = nobody_to_ask
) -> tuple[Area, ...]:
    """Return all that is looked at, in the order in which it is shown.

    `loaded` are the settings, or why there are none: then the rest is looked at without them. The checks open
    connections of their own, which end with them, and change nothing. `ask_code` is asked for codes of MFA
    devices.
    """
    own = (
        Area(MACHINE, lambda _: look_at_machine(MACHINE)),
        Area(SETTINGS, lambda _: look_at_settings(SETTINGS, loaded)),
    )
    if isinstance(loaded, SettingsError):
        return (*own, *map(_not_looked_at, (DATABASE, AWS)), _cryptography(None), _not_looked_at(EVENTS))
    return (*own, *_databases(loaded), *_aws(loaded, ask_code), _cryptography(loaded), _events(loaded))


def connection_areas(loaded: LoadedSettings, *, ask_code: AskCode = nobody_to_ask) -> tuple[Area, ...]:
    """Return what is looked at of the connections to the databases and to AWS alone: no tokens, no keys."""
    aws = (area for area in _aws(loaded, ask_code) if area.title == AWS)
    return (*_databases(loaded, tokens=False), *aws)


def _not_looked_at(title: str) -> Area:
    check = Topic(title, "all").skipped("Not checked: the settings can't be used.")
    return Area(title, lambda _: [check])


def _databases(loaded: LoadedSettings, *, tokens: bool = True) -> Iterator[Area]:
    from console.anchors import anchoring_of
    from crypto_core.aws.kms import KmsApi
    from crypto_core.aws.kms_signer import KmsSigner
    from crypto_core.diagnosis.database import DatabasePlace, look_at_database

    settings = loaded.settings
    kms = KmsApi(settings.regions, profile=settings.profile, read_only=True)
    apart = bool(settings.state_url) and settings.state_url != settings.database_url
    places = (settings.tsa_url, settings.anchor_file, settings.anchor_bucket)
    anchors = tuple(filter(None, places)) if settings.signing_key else None
    keys = settings.signing_key
    signer = KmsSigner(kms.call, keys, settings.former_signing_keys) if keys else None
    anchoring = anchoring_of(settings, kms)
    if not settings.database_url:
        check = Topic(DATABASE, "address").failed("No database is configured.", database_remedy())
        yield Area(DATABASE, lambda _: [check])
    else:
        place = DatabasePlace(
            *(settings.database_url, "DATABASE_URL", DATABASE, settings.read_only),
            tables=settings.all_tables if tokens else (),
            anchors=None if apart else anchors,
            signer=None if apart else signer,
            anchoring=None if apart else anchoring,
            token_source=kms.database_token,
            apart=apart,
            added=() if apart else added_checks(),
        )
        yield Area(DATABASE, partial(look_at_database, place))
    if settings.state_url and apart:
        state = DatabasePlace(
            *(settings.state_url, "KEYDECK_STATE_URL", STATE, settings.read_only),
            anchors=anchors,
            signer=signer,
            anchoring=anchoring,
            token_source=kms.database_token,
            added=added_checks(),
        )
        yield Area(STATE, partial(look_at_database, state))


def _aws(loaded: LoadedSettings, ask_code: AskCode) -> Iterator[Area]:
    from crypto_core.diagnosis.aws import Apis, AwsPlace, look_at_aws
    from crypto_core.diagnosis.key_permissions import (
        keys_of,
        look_at_key,
        look_at_signing_key,
        signing_keys_of,
    )

    settings = loaded.settings
    place = AwsPlace(
        regions=settings.regions,
        profile=settings.profile,
        write_key=settings.write_key,
        trusted_keys=settings.trusted_keys,
        read_only=settings.read_only,
        ask_code=ask_code,
    )
    apis = Apis(place)
    yield Area(AWS, partial(look_at_aws, place, apis))
    for key in keys_of(place):
        yield Area(key.area, partial(look_at_key, key, place, apis))
    for signing in signing_keys_of(settings.signing_key, settings.former_signing_keys):
        yield Area(signing.area, partial(look_at_signing_key, signing, apis))


def _cryptography(loaded: LoadedSettings | None) -> Area:
    def look(stop: Event) -> Iterator[Check]:
        from crypto_core.aws.fips import VARIABLE
        from crypto_core.diagnosis.aws import Apis, AwsPlace
        from crypto_core.diagnosis.cryptography import look_at_cryptography

        settings = loaded.settings if loaded else None
        required = bool(settings.fips if settings else os.environ.get(VARIABLE))
        apis = Apis(AwsPlace(settings.regions, settings.profile)) if settings else None
        yield from look_at_cryptography(CRYPTOGRAPHY, apis, stop, endpoint_checks(), fips_required=required)

    return Area(CRYPTOGRAPHY, look)


def _events(loaded: LoadedSettings) -> Area:
    def look(stop: Event) -> Iterator[Check]:
        from console.event_file import events_file
        from console.event_services import regions_of
        from crypto_core.aws.kms import KmsApi
        from crypto_core.diagnosis.event_store import look_at_event_store

        settings = loaded.settings
        named = [key for key in (settings.write_key, *settings.trusted_keys) if key]
        kms = KmsApi(settings.regions, profile=settings.profile, read_only=True)
        regions = partial(regions_of, kms, named, settings)
        yield from look_at_event_store(events_file(settings), EVENTS, regions, stop)
        yield from _request_ids(settings, stop)

    return Area(EVENTS, look)


def _request_ids(settings: Settings, stop: Event) -> Iterator[Check]:
    """Whether receipts can be joined to records. The calls that prove it have receipts as well."""
    from console.event_file import events_file
    from crypto_core.aws.kms import KmsApi
    from crypto_core.aws.receipts.destination import OFF, TABLE, recorder_for
    from crypto_core.database.connection.engine import open_engine
    from crypto_core.database.state.receipt_table import TableSink
    from crypto_core.diagnosis.request_ids import RequestIdPlace, look_at_request_ids

    url = settings.state_url or settings.database_url
    kept = settings.receipts if url or settings.receipts != TABLE else OFF
    wanted = kept != OFF and not settings.read_only
    kms = KmsApi(settings.regions, profile=settings.profile, read_only=settings.read_only)
    engine = open_engine(str(url)) if wanted and kept == TABLE else None
    if wanted:
        kms.receipts = recorder_for(kept, lambda: TableSink(engine) if engine else (lambda _: None))
    try:
        yield from look_at_request_ids(
            RequestIdPlace(
                *(kms, settings.write_key, events_file(settings), EVENTS),
                wanted=kept != OFF,
                read_only=settings.read_only,
            ),
            stop,
        )
    finally:
        if kms.receipts is not None:
            kms.receipts.close()
        if engine is not None:
            engine.dispose()
