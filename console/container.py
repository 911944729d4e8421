"""The one place where services are built from settings, in groups by subject."""

from __future__ import annotations

from functools import cached_property, partial
from typing import TYPE_CHECKING

from console.base_services import BaseServices
from console.capabilities import added_services, not_installed
from console.event_file import events_file
from console.event_services import EventServices
from console.key_services import KeyServices
from console.lazy_services import deferred, deferred_property, if_made
from console.manual.book import Book
from console.token_services import TokenServices
from screens.services import Services, UserCommands

if TYPE_CHECKING:
    from console.incident_services import IncidentServices


class Container(BaseServices):
    """All services over one database and one set of credentials. Thread-safe."""

    trail = deferred_property(EventServices)
    key_management = deferred_property(lambda self: KeyServices(self, self.trail))
    tokens = deferred_property(lambda self: TokenServices(self, self.key_management, self.trail))

    @deferred_property
    def incident_response(self) -> IncidentServices:
        from console.incident_services import IncidentServices

        return IncidentServices(self, self.tokens, self.key_management, self.trail)

    def close(self) -> None:
        """Close the database connections, once what is to be written there is written."""
        if self.kms.receipts is not None:
            self.kms.receipts.close()
        self.ending.close()
        self.engine.dispose()
        self.state_engine.dispose()
        events = if_made(self.trail.events)
        if events is not None:
            events.close()

    @cached_property
    def services(self) -> Services:
        return Services(
            surroundings=lambda: self.probe.now(),  # noqa: PLW0108  # it is made with the first look
            status=self.status,
            inventory=self.inventory,
            inspector=self.inspector,
            keys=self.keys,
            policies=self.key_management.policies,
            posture=self.key_management.posture,
            work=self.tokens.work,
            key_changes=self.key_management.changes,
            replacement=self.key_management.replacement,
            materials=self.tokens.materials,
            events=self.trail.events,
            event_puller=self.trail.puller,
            event_coverage=self.trail.coverage,
            event_use=self.trail.use,
            trail_rules=self.trail.rules,
            manual=Book(),
            read_only=self.settings.read_only,
            write_key=self.settings.write_key,
            jobs=self.tokens.jobs,
            job_processes=self.tokens.processes,
            undoing=self.tokens.undoing,
            incidents=deferred(lambda: self.incident_response.incidents),
            events_kept=lambda: events_file(self.settings).exists(),
            approvals=self.approvals if self.settings.approvals else None,
            copy_register=self.key_management.copy_register,
            added={name: deferred(partial(make, self)) for name, make in added_services().items()},
            not_installed=not_installed,
            user_commands=self._user_commands(),
            own_columns=tuple(one.column() for one in self.settings.columns),
        )

    def _user_commands(self) -> UserCommands | None:
        if not self.settings.user_commands:
            return None
        from console.host.user_commands import HostCommands

        commands = [one.command() for one in self.settings.user_commands]
        return HostCommands(commands, read_only=self.settings.read_only)
