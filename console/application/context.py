"""Where the console works, changed while it runs: another AWS profile, database or estate.

A choice is checked against what AWS's configuration files and the settings offer; whether anybody answers
there shows in the surroundings. What was set to be read only stays so.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from threading import Event, Lock
from typing import TYPE_CHECKING
from weakref import WeakSet

from sqlalchemy import Engine

from console.container import Container
from console.lazy_services import if_made
from console.settings import Settings, changed
from crypto_core.database.connection.urls import masked_url
from crypto_core.values.clean_text import clean
from crypto_core.values.errors import SettingsError
from screens.services import Context, DatabaseChoice, Offered, Services, Surroundings

if TYPE_CHECKING:
    from console.host.host_processes import HostProcesses
    from screens.estate_status import EstateStanding, SharedKey

DEFAULT = "default"
"""What the database of DATABASE_URL is called."""

_log = logging.getLogger(__name__)


class ConsoleContexts:
    """The services of one place at a time. Thread-safe; see `screens.services.Contexts`."""

    def __init__(self, settings: Settings, *, making: Callable[[Settings], Container] = Container) -> None:
        """`settings` say where to begin. Raises SettingsError."""
        self._first = self._settings = settings
        self._making = making
        self._lock = Lock()
        self._chosen = Context(settings.profile or "", DEFAULT)
        self._container = making(settings)
        self._left: WeakSet[Engine] = WeakSet()
        self._processes: list[HostProcesses] = []

    @property
    def services(self) -> Services:
        return self._services(self._container)

    def current(self) -> Context:
        return self._chosen

    def offered(self) -> Offered:
        profiles, trouble = self._profiles()
        first = () if self._settings.profile else ("",)
        databases = [(DEFAULT, self._settings.required_database_url())]
        databases += [(name, d.url) for name, d in self._settings.databases.items() if name != DEFAULT]
        return Offered(
            profiles=(*first, *(p for p in profiles if clean(p, 200) == p)),
            databases=tuple(DatabaseChoice(clean(name, 60), masked_url(url)) for name, url in databases),
            trouble=trouble,
        )

    def estates(
        self, cancelled: Event | None = None
    ) -> tuple[tuple[EstateStanding, ...], tuple[SharedKey, ...]]:
        from console.estates import estates_of
        from console.estates_overview import look_at, shared_keys

        found = look_at(estates_of(self._first), cancelled)
        return found, shared_keys(found)

    def switch(
        self, *, profile: str | None = None, database: str | None = None, estate: str | None = None
    ) -> Services:
        """Return services for a place or an estate. Raises SettingsError."""
        with self._lock:
            before, settings = self._chosen, self._settings
            try:
                if estate is not None:
                    from console.estates import estate_named

                    self._settings = estate_named(self._first, estate)
                    before = Context(self._settings.profile or "", DEFAULT, estate)
                chosen = Context(
                    before.profile if profile is None else self._checked_profile(profile),
                    before.database if database is None else self._checked_database(database),
                    before.estate,
                )
                container = self._making(self._settings_for(chosen))
            except BaseException:  # raised again, an interrupt too
                self._settings = settings  # all stays as it was
                raise
            self._left |= {self._container.engine, self._container.state_engine}
            # What works on jobs there goes on.
            if (started := if_made(self._container.tokens.processes)) is not None:
                self._processes.append(started)
            self._container, self._chosen = container, chosen
        _log.info(
            "Context: profile %s, database %s.", clean(chosen.profile) or "not set", clean(chosen.database)
        )
        self._sweep()
        return self._services(container)

    def close(self) -> tuple[int, ...]:
        """Close all connections that no call is using, and ask what works on jobs to end; waits for nothing.

        Returns the jobs that were being worked on, in whichever place.
        """
        self._sweep()
        if (started := if_made(self._container.tokens.processes)) is not None:
            self._processes.append(started)
        jobs = {job for one in self._processes for job in one.leave()}
        self._container.close()
        return tuple(sorted(jobs))

    def wait(self, seconds: float) -> None:
        """Wait that long at most for the calls that `close` cancelled."""
        for one in self._processes:
            one.wait(seconds)

    def _services(self, container: Container) -> Services:
        return replace(container.services, surroundings=partial(self._surroundings, container), contexts=self)

    def _surroundings(self, container: Container) -> Surroundings:
        self._sweep()
        return container.services.surroundings()

    def _sweep(self) -> None:
        """Close what idles of the places that were left.

        A call under way there keeps its connection to its end, and may open others: so again, now and then.
        """
        with self._lock:
            left = list(self._left)
        for engine in left:
            engine.dispose()

    def _settings_for(self, chosen: Context) -> Settings:
        from console.estates import of_database

        update: dict[str, object] = {"profile": chosen.profile or None}
        if chosen.database != DEFAULT:
            update = of_database(self._settings, chosen.database) | update
        return changed(self._settings, update, f"Database {clean(chosen.database, 60)}")

    def _checked_profile(self, name: str) -> str:
        if name == (self._settings.profile or ""):
            return name
        profiles, trouble = self._profiles()
        if name in profiles:
            return name
        if trouble:
            raise SettingsError(trouble, remedy="Fix the file, then choose again.")
        known = ", ".join(clean(p, 60) for p in profiles[:20]) or "none"
        raise SettingsError(
            f"There is no AWS profile {clean(name, 60)!r}.",
            remedy=f"Profiles: {known}. Add one with: aws configure sso.",
        )

    def _checked_database(self, name: str) -> str:
        if name == DEFAULT or name in self._settings.databases:
            return name
        known = ", ".join([DEFAULT, *(clean(d, 60) for d in self._settings.databases)])
        raise SettingsError(
            f"There is no database {clean(name, 60)!r} in the settings.",
            remedy=f"Databases: {known}. Others go into the settings file, below [databases].",
        )

    def _profiles(self) -> tuple[list[str], str]:
        from botocore.exceptions import BotoCoreError
        from botocore.session import Session

        try:
            return list(Session().available_profiles), ""
        except (BotoCoreError, OSError) as error:
            return [], f"AWS's configuration files can't be read: {clean(error, 200)}"
