"""Builds the services, once, from settings. Nothing is connected or asked before it is needed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from time import monotonic

from sqlalchemy import Engine, make_url, text

from console.settings import Settings
from crypto_core.database.answers import AnswerBook
from crypto_core.database.attribution import Attributor
from crypto_core.database.catalogue import LiveCatalogue
from crypto_core.database.engine import connected, open_engine
from crypto_core.database.inspection import Inspector
from crypto_core.database.inventory import Inventory
from crypto_core.database.journal import Journal
from crypto_core.database.tokens import TokenStore
from crypto_core.envelope import Format
from crypto_core.errors import DatabaseError, KeydeckError
from crypto_core.foreign import clean
from crypto_core.keyring import KmsKeyring
from crypto_core.keys.inventory import KeyInventory
from crypto_core.keys.service import StatusService
from crypto_core.kms import Identity, KmsApi
from crypto_core.observation import SILENT, Observer
from crypto_core.preflight import Preflight
from crypto_core.reencryption.planner import Planner
from crypto_core.reencryption.runner import Runner
from crypto_core.reencryption.service import TokenWorkService
from crypto_core.reencryption.verification import Verifier
from screens.services import Services, Surroundings


@dataclass(frozen=True, slots=True)
class Wired:
    """The services and what commands need besides."""

    settings: Settings
    engine: Engine
    state_engine: Engine
    kms: KmsApi
    keyring: KmsKeyring
    catalogue: LiveCatalogue
    store: TokenStore
    journal: Journal
    services: Services

    def close(self) -> None:
        """Close the database connections."""
        self.engine.dispose()
        self.state_engine.dispose()


def wire(settings: Settings, *, trust: Iterable[str] = (), observer: Observer = SILENT) -> Wired:
    """Return the services. `trust` are keys trusted for this command alone. Raises SettingsError.

    `observer` is told of every call of KMS and every operation on a token.
    """
    engine = open_engine(settings.required_database_url(), read_only=settings.read_only)
    same_database = settings.state_url in (None, settings.database_url)
    state_engine = (
        engine
        if same_database
        else open_engine(str(settings.state_url), read_only=settings.read_only, setting="KEYDECK_STATE_URL")
    )
    kms = KmsApi(settings.regions, read_only=settings.read_only, observer=observer)
    keyring = KmsKeyring(
        kms,
        write_key=settings.write_key,
        trusted=[*settings.trusted_keys, *trust],
        observer=observer,
    )
    catalogue = LiveCatalogue(engine, settings.all_tables)
    answers = AnswerBook(engine, read_only=settings.read_only)
    store = TokenStore(engine, catalogue, answers)
    attributor = Attributor(store, keyring, answers)
    keys = KeyInventory(kms, guarding=lambda: keyring.trusted)
    whereabouts = _Whereabouts(settings, engine, kms)
    journal = Journal(state_engine, whereabouts.actor)
    planner = Planner(
        engine,
        catalogue,
        answers,
        store,
        attributor,
        keys,
        keyring.trusted,
        preflight=Preflight(kms),
        write_format=Format(settings.write_format),
    )
    runner = Runner(
        kms,
        keyring,
        planner,
        store,
        answers,
        attributor,
        journal,
        same_database=same_database,
        dev_key=settings.dev_key,
        observer=observer,
    )
    inventory = Inventory(engine, catalogue, answers, aliases=keys.known_aliases)
    services = Services(
        surroundings=whereabouts.now,
        status=StatusService(engine, catalogue, answers, attributor, keys, keyring),
        inventory=inventory,
        inspector=Inspector(inventory, store, attributor),
        keys=keys,
        work=TokenWorkService(
            engine,
            planner,
            runner,
            Verifier(keyring, store, catalogue, answers, observer=observer),
            journal,
            read_only=settings.read_only,
        ),
        read_only=settings.read_only,
        write_key=settings.write_key,
    )
    return Wired(settings, engine, state_engine, kms, keyring, catalogue, store, journal, services)


_ASK_AGAIN_SECONDS = 60.0


class _Whereabouts:
    """Where Keydeck works and as whom, asked of AWS and the database."""

    def __init__(self, settings: Settings, engine: Engine, kms: KmsApi) -> None:
        self._settings = settings
        self._engine = engine
        self._kms = kms
        self._identity: Identity | None = None
        self._trouble = ""
        self._failed_at = -_ASK_AGAIN_SECONDS
        self._role: str | None = None

    def actor(self) -> str:
        """Who acts, for the journal: AWS identity and database role."""
        now = self.now()
        return f"{now.identity or 'AWS identity not known'}, database role {now.database_role or 'not known'}"

    def _ask_identity(self) -> str:
        """Ask who we are until it is known, but not more than once a minute; returns the trouble with it."""
        if self._identity is None and monotonic() - self._failed_at > _ASK_AGAIN_SECONDS:
            try:
                self._identity, self._trouble = self._kms.identity(), ""
            except KeydeckError as error:
                self._failed_at, self._trouble = monotonic(), error.message
        return self._trouble

    def now(self) -> Surroundings:
        """What the header shows; trouble is part of it, never raised."""
        region, database_trouble, aws_trouble = "", "", ""
        try:
            region = self._kms.regions[0]
            aws_trouble = self._ask_identity()
        except KeydeckError as error:
            aws_trouble = error.message
        try:
            with connected(self._engine) as connection:
                self._role = str(connection.scalar(text("SELECT current_user")))
        except DatabaseError as error:
            database_trouble = error.message
        url = make_url(self._settings.required_database_url())
        return Surroundings(
            account=self._identity.account if self._identity else "",
            identity=self._identity.arn if self._identity else "",
            region=region,
            database=clean(f"{url.database}@{url.host or 'local socket'}"),
            database_role=clean(self._role or ""),
            write_key=self._settings.write_key or "",
            write_format=self._settings.write_format,
            read_only=self._settings.read_only,
            database_trouble=database_trouble,
            aws_trouble=aws_trouble,
            environment=clean(self._settings.environment),
        )
