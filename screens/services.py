"""What screens call: plain service objects, built once in console/container.py and handed to the app.

Every call here blocks on SQL or AWS: screens call it from a thread worker. All have time limits of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

from crypto_core.values.clean_text import cleans
from crypto_core.values.errors import RefusedError
from screens.manual_page import Manual

if TYPE_CHECKING:
    # A service is loaded when it is first used.
    from threading import Event

    from crypto_core.database.tokens.inspection import Inspector
    from crypto_core.database.tokens.inventory import Inventory
    from crypto_core.guard.approvals import ApprovalGate
    from crypto_core.incidents.keys.rotation.guide import ManualRotation
    from crypto_core.incidents.model import FoundScope
    from crypto_core.incidents.service import IncidentService
    from crypto_core.keys.changes.service import KeyChangeService
    from crypto_core.keys.dependent_copies import KnownCopies
    from crypto_core.keys.inventory import KeyInventory
    from crypto_core.keys.policy.policy_reader import KeyPolicies
    from crypto_core.keys.posture.examination import PostureService
    from crypto_core.keys.service import StatusService
    from crypto_core.reencryption.jobs.service import JobService
    from crypto_core.reencryption.jobs.undo import Undoing
    from crypto_core.reencryption.materials import MaterialService
    from crypto_core.reencryption.plan import RunProgress
    from crypto_core.reencryption.service import TokenWorkService
    from crypto_core.trail.coverage_record import CoverageRecord
    from crypto_core.trail.rules.service import TrailRules
    from crypto_core.trail.sources.puller import EventPuller
    from crypto_core.trail.store import EventStore
    from crypto_core.trail.use.service import EventUse
    from crypto_core.values.secret import Secret
    from screens.estate_status import EstateStanding, SharedKey
    from screens.own_column import OwnColumn
    from screens.user_command import CommandOutcome, UserCommand


LEAK_SEARCH = "search for leaked tokens"
"""What it is called where it is left out."""


@dataclass(frozen=True, slots=True)
@cleans(600)
class Surroundings:
    """Where the console works: what the header shows. Cleaned text; "" where it isn't known.

    `database_trouble` and `aws_trouble` are set when that side did not answer: a short sentence.
    """

    account: str
    identity: str
    region: str
    database: str
    database_role: str
    write_key: str
    write_format: str
    read_only: bool
    database_trouble: str = ""
    aws_trouble: str = ""
    environment: str = ""
    """What operators call this place, such as prod or demo: the first word of the header."""
    environment_colour: str = ""
    """The ground behind that word: red, amber, green, blue, magenta, or "" for none."""
    profile: str = ""
    """The AWS profile that was chosen; "" where boto3 finds credentials without one."""
    write_key_alias: str = ""
    """The write key's alias, as far as it is known by now."""
    credentials_remedy: str = ""
    """What renews the credentials, such as a command; set whenever AWS does not take them."""


@dataclass(frozen=True, slots=True)
class Context:
    """A choice of where to work: profile "" is boto3's own."""

    profile: str
    database: str
    """A name among `Offered.databases`."""
    estate: str = ""
    """A name among the estates, "" where none was chosen."""


@dataclass(frozen=True, slots=True)
class DatabaseChoice:
    """A database that can be switched to. `url` is masked."""

    name: str
    url: str


@dataclass(frozen=True, slots=True)
@cleans(trouble=600)
class Offered:
    """What can be switched to. Cleaned text."""

    profiles: tuple[str, ...]
    """As in AWS's configuration files; the first is "" if Keydeck was started without a profile."""
    databases: tuple[DatabaseChoice, ...]
    """"default" (DATABASE_URL) first, then those of the settings file."""
    trouble: str = ""
    """Why a list is not whole, such as an AWS configuration file that can't be read."""


class Contexts(Protocol):
    """Where the console works can be changed without a restart. Read-only stays what it is."""

    def current(self) -> Context:
        """Return where the console works now. Asks nothing."""

    def offered(self) -> Offered:
        """Return what can be switched to. Reads AWS's configuration files; raises nothing."""

    def estates(
        self, cancelled: Event | None = None
    ) -> tuple[tuple[EstateStanding, ...], tuple[SharedKey, ...]]:
        """Return how every estate stands now, and the keys that environments share. Blocks on all of them."""

    def switch(
        self, *, profile: str | None = None, database: str | None = None, estate: str | None = None
    ) -> Services:
        """Return services for another place; None keeps what is. Nothing is connected yet.

        An estate brings its own profile, Regions and database.

        Raises SettingsError for what isn't offered, and then all stays as it was. Calls under way on the
        services before go on to their end. Trouble with the new place shows in its surroundings.
        """


class UserCommands(Protocol):
    def offered(self, where: str) -> Sequence[UserCommand]: ...

    def run(self, command: UserCommand, fields: Mapping[str, Any], cancelled: Event) -> CommandOutcome:
        """Run a command for a row and return what came of it. Raises RefusedError, ReadOnlyError."""


class JobProcesses(Protocol):
    """Processes of this host that work on jobs for as long as the console is open."""

    def fitting(self, calls_per_second: float, tokens: int) -> int:
        """Return how many processes a job of that rate over so many tokens gets on this machine."""

    def work_on(self, job: int, processes: int = 1, *, trust: Sequence[str] = ()) -> None:
        """Start so many processes that work on a job until it ends or is paused; those that do already stay.

        `trust` are keys trusted for this job beside those of the settings. Blocks while they are started.
        Raises ReadOnlyError, JobError.
        """

    def at_work(self) -> Mapping[int, int]: ...

    def trouble(self, job: int) -> str:
        """Return why processes of this console stopped working on a job, "" if none did. Cleaned text."""


class LeakSearch(Protocol):
    """Finds the tokens that an incident is about by what leaked."""

    def rows_with(
        self,
        leaked: Secret | Sequence[str],
        progress: Callable[[RunProgress], None],
        cancelled: Event,
        *,
        everywhere: bool = False,
    ) -> FoundScope:
        """Return the rows that hold the tokens of a text, which is wiped, or those with GitHub's hashes.

        Raises InvalidTokenError for what holds none, KmsError, DatabaseError, InterruptedRunError.
        """


@dataclass(frozen=True, slots=True)
class Services:
    """All that the screens need, and nothing that they could build themselves."""

    surroundings: Callable[[], Surroundings]
    status: StatusService
    inventory: Inventory
    inspector: Inspector
    keys: KeyInventory
    policies: KeyPolicies
    posture: PostureService
    work: TokenWorkService
    key_changes: KeyChangeService
    replacement: ManualRotation
    materials: MaterialService
    events: EventStore
    event_puller: EventPuller
    event_coverage: CoverageRecord
    event_use: EventUse
    trail_rules: TrailRules
    manual: Manual
    read_only: bool
    write_key: str | None
    jobs: JobService
    job_processes: JobProcesses
    undoing: Undoing
    incidents: IncidentService
    events_kept: Callable[[], bool]
    """Whether any event is kept: until then what reads them need not be loaded."""
    copy_register: KnownCopies
    approvals: ApprovalGate | None
    """None where nothing needs a second identity."""
    user_commands: UserCommands | None
    """None where no command of the team's own is set."""
    own_columns: Sequence[OwnColumn]
    added: Mapping[str, Any]
    """The services of capabilities, by name; their screens know the types."""
    not_installed: Callable[[str, str], str]
    """Returns the sentence for a service of a capability that is left out, by its name; "" for others."""
    contexts: Contexts | None = None
    """None for a command: its place can't be changed."""

    @property
    def leak_search(self) -> LeakSearch:
        """Raises RefusedError where its capability is left out."""
        if "token_search" not in self.added:
            raise RefusedError(self.not_installed(LEAK_SEARCH, "The"))
        return cast("LeakSearch", self.added["token_search"])

    def named(self, name: str) -> Any:
        """Return a service by its name, of a capability too; None for one that isn't there."""
        return self.added[name] if name in self.added else getattr(self, name, None)


class HasServices(Protocol):
    """What services can be got from: the shared facts of the screens, or the container."""

    @property
    def services(self) -> Services: ...
