"""What screens call: plain service objects, built once in console/wiring.py and handed to the app.

Every call here blocks on SQL or AWS: screens call it from a thread worker. All have time limits of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from threading import Event
from typing import TYPE_CHECKING, Protocol

from crypto_core.lists.paging import PagedSource

if TYPE_CHECKING:
    # What a service answers with is loaded with the service.
    from crypto_core.database.tokens.inspection import Inspection
    from crypto_core.database.tokens.inventory import InventoryRow
    from crypto_core.errors import KmsError
    from crypto_core.guard.approvals import ApprovalGate
    from crypto_core.guard.consent import Consent
    from crypto_core.incidents.model import CheckResult, EvidencePiece, IncidentScope, IncidentView, StepView
    from crypto_core.incidents.report.signing import ReportCheck
    from crypto_core.incidents.runbook import Runbook
    from crypto_core.incidents.step_contracts import ActionPlan, ActionResult, InputField
    from crypto_core.keys.changes.change import KeyChange
    from crypto_core.keys.changes.plan import ChangePlan, ChangeResult
    from crypto_core.keys.policy.reading import KeyPolicy
    from crypto_core.keys.posture.examination import Posture
    from crypto_core.keys.replacement.guide import Guide
    from crypto_core.keys.state import KeyState
    from crypto_core.keys.status import Status
    from crypto_core.lists.coverage import Coverage
    from crypto_core.reencryption.jobs.model import JobOptions, JobPlan, JobView
    from crypto_core.reencryption.jobs.undo import RestorePlan
    from crypto_core.reencryption.materials import KeyMaterials
    from crypto_core.reencryption.plan import (
        Plan,
        RunProgress,
        RunResult,
        Selection,
        Unwritten,
        Verb,
        Verification,
    )
    from crypto_core.references import TokenRef
    from crypto_core.secret import Secret
    from crypto_core.trail.key_watch.sightings import WatchStatus
    from crypto_core.trail.key_watch.watch import KeyWatch
    from crypto_core.trail.rules.service import Examined
    from crypto_core.trail.sources.plan import PullPlan
    from crypto_core.trail.sources.report import Progress, PullReport
    from crypto_core.trail.store import StoredEvent, Summary
    from crypto_core.trail.store.counts import Histogram, Pivot
    from crypto_core.trail.store.suppressions import Suppression
    from crypto_core.trail.use.blast_radius import BlastRadius
    from crypto_core.trail.use.keys import KeyUseSummary
    from crypto_core.trail.use.token_timeline import TokenTimeline


@dataclass(frozen=True, slots=True)
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
    regions: tuple[str, ...] = ()
    """All Regions that attribution asks, `region` first."""
    database_host: str = ""
    database_name: str = ""
    write_key_alias: str = ""
    """The write key's alias, as far as it is known by now."""
    credentials_expired: bool = False
    """True if AWS says that the session has expired. `credentials_remedy` is the way out."""
    credentials_remedy: str = ""
    """What renews the credentials, such as a command; set whenever AWS does not take them."""


@dataclass(frozen=True, slots=True)
class Context:
    """A choice of where to work: profile and Region "" are boto3's own."""

    profile: str
    region: str
    database: str
    """A name among `Offered.databases`."""


@dataclass(frozen=True, slots=True)
class DatabaseChoice:
    """A database that can be switched to. `url` is masked."""

    name: str
    url: str


@dataclass(frozen=True, slots=True)
class Offered:
    """What can be switched to. Cleaned text."""

    profiles: tuple[str, ...]
    """As in AWS's configuration files; the first is "" if Keydeck was started without a profile."""
    regions: tuple[str, ...]
    """Those of the settings first, then all in which boto3 knows KMS."""
    databases: tuple[DatabaseChoice, ...]
    """"default" (DATABASE_URL) first, then those of the settings file."""
    trouble: str = ""
    """Why a list is not whole, such as an AWS configuration file that can't be read."""


class Contexts(Protocol):
    """Where the console works can be changed without a restart. Read-only stays what it is."""

    def current(self) -> Context:
        """Return where the console works now. Asks nothing."""
        ...

    def offered(self) -> Offered:
        """Return what can be switched to. Reads AWS's configuration files; raises nothing."""
        ...

    def switch(
        self, *, profile: str | None = None, region: str | None = None, database: str | None = None
    ) -> Services:
        """Return services for another place; None keeps what is. Nothing is connected yet.

        Raises SettingsError for what isn't offered, and then all stays as it was. Calls under way on the
        services before go on to their end. Trouble with the new place shows in its surroundings.
        """
        ...


class StatusSource(Protocol):
    """The census joined with the keys."""

    def take(self, *, cancelled: Event | None = None) -> Status:
        """Return the status now. Raises DatabaseError; trouble with AWS is part of the coverage."""
        ...


class InventorySource(PagedSource["InventoryRow"], Protocol):
    """The tokens, page by page."""

    def row(self, ref: TokenRef) -> InventoryRow:
        """Return one row as it is now. Raises RowVanishedError."""
        ...

    def rows(self, refs: Sequence[TokenRef]) -> tuple[InventoryRow, ...]:
        """Return these rows as they are now, those that are still there. Raises DatabaseError."""
        ...


class InspectionSource(Protocol):
    """One envelope, field by field."""

    def inspect(self, ref: TokenRef, *, ask_kms: bool = True) -> Inspection:
        """Return the anatomy of one stored token. Raises RowVanishedError, DatabaseError."""
        ...


class KeySource(Protocol):
    """The KMS keys that guard tokens or can be listed."""

    def list(self) -> tuple[KeyState, ...]:
        """Return all keys, those that KMS lets this identity see. Raises KmsError."""
        ...

    def show(self, name: str) -> KeyState:
        """Return one key by ARN, id or alias, with rotation and last use. Raises KmsError."""
        ...

    def targets(self) -> tuple[KeyState, ...]:
        """Return the keys that tokens may be written under: enabled symmetric customer keys."""
        ...


class PolicySource(Protocol):
    """Who may do what with a key."""

    def read(self, name: str) -> KeyPolicy:
        """Return the policy and grants of one key by ARN, id or alias. Raises KmsError."""
        ...


class PostureSource(Protocol):
    """The rules about keys, their access and use, and the trails that record it."""

    def examine(self, *, status: Status | None = None, cancelled: Event | None = None) -> Posture:
        """Return the posture now, with a status just taken if there is one.

        Raises KmsError where AWS can't be asked at all; whatever else may not be read is in its coverage.
        """
        ...


class TokenWork(Protocol):
    """Writes tokens anew. A plan is made first and shown; `run` does exactly what the plan says."""

    def plan(self, verb: Verb, selection: Selection, target: str, *, allow_downgrade: bool = False) -> Plan:
        """Return what would happen (journaled as a dry run). Raises RefusedError, KmsError, DatabaseError."""
        ...

    def run(
        self,
        plan: Plan,
        consent: Consent | None,
        *,
        progress: Callable[[RunProgress], None] | None = None,
        cancelled: Event | None = None,
    ) -> RunResult:
        """Do what the plan says.

        Raises ReadOnlyError, or NotConfirmedError without a consent to this very plan, before anything; else
        what stops the whole run.
        """
        ...

    def verify(
        self,
        selection: Selection,
        *,
        progress: Callable[[RunProgress], None] | None = None,
        cancelled: Event | None = None,
    ) -> tuple[Verification, ...]:
        """Open each selected token and say only whether it opened. Changes nothing."""
        ...


class JobWork(Protocol):
    """Writes many tokens anew, as jobs in PostgreSQL that any number of processes work on."""

    def plan(
        self,
        verb: Verb,
        selection: Selection,
        target: str,
        options: JobOptions,
        *,
        cancelled: Event | None = None,
    ) -> JobPlan:
        """Return what would happen (journaled as a dry run). Raises RefusedError, KmsError, DatabaseError.

        Once `cancelled` is set, nothing more is looked at, and InterruptedRunError is raised.
        """
        ...

    def plan_fitting(
        self, verb: Verb, selection: Selection, target: str, options: JobOptions, *, few: int
    ) -> JobPlan | Plan:
        """Return what would happen, as `plan` does; up to `few` tokens need no job: their plan alone."""
        ...

    def start(self, plan: JobPlan, consent: Consent | None) -> int:
        """Make the job of a plan and return its number; processes that join it do the work.

        Raises ReadOnlyError, MissingSchemaError, or NotConfirmedError without a consent to this very plan.
        """
        ...

    def join(
        self,
        job: int,
        *,
        progress: Callable[[JobView], None] | None = None,
        cancelled: Event | None = None,
    ) -> JobView:
        """Work on a job until it has ended or is paused, or `cancelled` is set; return where it stands then.

        Raises UnknownJobError, KmsError and DatabaseError for what stops this process; the job goes on.
        """
        ...

    def jobs(self, limit: int = 200) -> tuple[JobView, ...]:
        """Return jobs, the newest first."""
        ...

    def show(self, job: int) -> JobView:
        """Return where a job stands. Raises UnknownJobError."""
        ...

    def unwritten(self, job: int, kind: str = "", *, limit: int = 200) -> tuple[Unwritten, ...]:
        """Return tokens that a job can't write, of one kind or all."""
        ...

    def pause(self, job: int) -> JobView:
        """Pause a job: within a second no process asks KMS any more. What is sealed is written."""
        ...

    def resume(self, job: int) -> JobView:
        """Go on with a paused or failed job; it takes a process that joins it."""
        ...

    def cancel(self, job: int) -> JobView:
        """End a job for good. What is written stays; restore puts it back."""
        ...

    def retry(self, job: int) -> int:
        """Try the tokens anew that could not be written; returns how many. A job that was done runs again."""
        ...


class JobProcesses(Protocol):
    """Processes of this host that work on jobs for as long as the console is open."""

    def fitting(self, calls_per_second: float, tokens: int) -> int:
        """Return how many processes a job of that rate over so many tokens gets on this machine."""
        ...

    def work_on(self, job: int, processes: int = 1, *, trust: Sequence[str] = ()) -> None:
        """Start so many processes that work on a job until it ends or is paused; those that do already stay.

        `trust` are keys trusted for this job beside those of the settings. Blocks while they are started.
        Raises ReadOnlyError, JobError.
        """
        ...

    def at_work(self) -> Mapping[int, int]:
        """Return how many processes of this console work on each job; a job with none isn't there."""
        ...

    def trouble(self, job: int) -> str:
        """Return why processes of this console stopped working on a job, "" if none did. Cleaned text."""
        ...


class JobUndoing(Protocol):
    """Puts back what a job has replaced, as a job of its own."""

    def plan_restore(self, job: int) -> RestorePlan:
        """Return what would be put back. Raises UnknownJobError, RefusedError, KmsError, DatabaseError."""
        ...

    def restore(self, plan: RestorePlan, consent: Consent | None) -> int:
        """Make the job that puts it back and return its number; processes that join it do the work.

        Raises ReadOnlyError, MissingSchemaError, or NotConfirmedError without a consent to this very plan.
        """
        ...


class KeyWork(Protocol):
    """Changes KMS keys. A plan is made first and shown; `run` does exactly what the plan says."""

    def plan(self, change: KeyChange, *, cancelled: Event | None = None) -> ChangePlan:
        """Return what would happen (journaled as a dry run).

        Raises RefusedError and PolicyError where the change can't be, SettingsError, KmsError.
        """
        ...

    def run(
        self, plan: ChangePlan, consent: Consent | None, *, cancelled: Event | None = None
    ) -> ChangeResult:
        """Do what the plan says and read its effect back; see ChangeResult.

        Raises ReadOnlyError, or NotConfirmedError without a consent to this very plan, before anything;
        RefusedError if the key has changed since; KmsError if KMS did nothing of it.
        """
        ...


class ReplacementSource(Protocol):
    """The guide through a manual rotation. It changes nothing, and remembers nothing between two looks."""

    def look(
        self,
        old: str,
        new: str | None = None,
        *,
        since: datetime | None = None,
        accepted: Sequence[str] = (),
        cancelled: Event | None = None,
    ) -> Guide:
        """Return where it stands now.

        Raises SettingsError, KmsError, and InterruptedRunError once `cancelled` is set.
        """
        ...

    def watch(
        self,
        old: str,
        new: str | None = None,
        *,
        every: float,
        cancelled: Event,
        since: datetime | None = None,
        accepted: Sequence[str] = (),
        missed: Callable[[KmsError], None] | None = None,
    ) -> Iterator[Guide]:
        """Yield the guide every so many seconds, until the platform is seen to use the new key.

        `missed` is told of looks that failed in passing. Raises as `look`, and InterruptedRunError once
        `cancelled` is set.
        """
        ...


class MaterialSource(Protocol):
    """The tokens by key material."""

    def examine(
        self,
        key: str,
        *,
        verify: int = 0,
        progress: Callable[[RunProgress], None] | None = None,
        cancelled: Event | None = None,
    ) -> KeyMaterials:
        """Return a key's materials with the tokens on each; up to `verify` of each are opened.

        Raises SettingsError, KmsError, DatabaseError, InterruptedRunError.
        """
        ...


class EventSource(PagedSource["StoredEvent"], Protocol):
    """The CloudTrail events in the local store. Raises EventStoreError, InvalidFilterError besides."""

    def summary(self, expression: str, *, cancelled: Event | None = None) -> Summary:
        """Return how many events a filter lets through, and how many more its `-service` hides."""
        ...

    def histogram(
        self, expression: str = "", *, bars: int = 60, cancelled: Event | None = None
    ) -> Histogram | None:
        """Return events over time in at most `bars` bars; None where there are none."""
        ...

    def pivot(
        self, field: str, expression: str = "", *, limit: int = 100, cancelled: Event | None = None
    ) -> Pivot:
        """Return the most common values of a field, with their events."""
        ...

    def event(self, event_id: str) -> StoredEvent:
        """Return one event. Raises EventVanishedError."""
        ...

    def state(self) -> tuple[int, int]:
        """Return two numbers of which one changes with whatever is added, noted or forgotten."""
        ...

    def review(self, event_ids: Sequence[str], by: str, *, reviewed: bool = True) -> int:
        """Mark events as reviewed, or no longer so; return how many there are of them."""
        ...

    def annotate(self, event_id: str, text: str, by: str) -> None:
        """Write a note on an event; "" takes it away. Raises EventVanishedError."""
        ...


class PullSource(Protocol):
    """Fetches CloudTrail's events into the store. A plan is made first, and shown where it costs money."""

    def plan(
        self,
        source: str = "lookup",
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        expression: str = "",
        regions: Iterable[str] = (),
        cancelled: Event | None = None,
    ) -> PullPlan:
        """Return what would be fetched, with what the operator should know before.

        `source` is lookup, s3, athena, lake or s3://bucket/prefix. Without `since` it is where the last
        complete pull ended. Raises KmsError, SettingsError, InvalidFilterError, RefusedError.
        """
        ...

    def run(
        self,
        plan: PullPlan,
        consent: Consent | None = None,
        *,
        progress: Progress | None = None,
        cancelled: Event | None = None,
    ) -> PullReport:
        """Fetch what the plan says; what can't be had is a gap of the report.

        Raises NotConfirmedError without a consent to what costs money, KmsError, TrailError, and
        InterruptedRunError within moments of `cancelled`: the next pull goes on from there.
        """
        ...

    def pull(
        self,
        source: str = "lookup",
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        expression: str = "",
        regions: Iterable[str] = (),
        progress: Progress | None = None,
        cancelled: Event | None = None,
    ) -> PullReport:
        """Plan and fetch at once, from a source that costs nothing. Raises as both."""
        ...


class EventCoverage(Protocol):
    """Whether the store holds all that KMS recorded in a window."""

    def regions(self) -> tuple[str, ...]:
        """Return the Regions that have to be covered."""
        ...

    def coverage_of(self, since: datetime, until: datetime, regions: Iterable[str] | None = None) -> Coverage:
        """Return whether a window is covered in every Region, and if not, what is missing."""
        ...


class UseSource(Protocol):
    """From a token, a key or a principal to its use: facts, and what could have been, told apart."""

    def token_timeline(self, ref: TokenRef, *, cancelled: Event | None = None) -> TokenTimeline:
        """Return what CloudTrail tells of a token; trouble with the database is in the coverage.

        Raises InvalidReferenceError, EventStoreError, InterruptedRunError.
        """
        ...

    def key_use(
        self, key: str, *, since: datetime | None = None, cancelled: Event | None = None
    ) -> KeyUseSummary:
        """Return the use of a key by ARN, id or alias, its replicas together and apart.

        Raises SettingsError, KeyNotFoundError, EventStoreError, InterruptedRunError.
        """
        ...

    def blast_radius(self, principal: str, *, cancelled: Event | None = None) -> BlastRadius:
        """Return what a principal, by its ARN or a part of it, opened and could have opened.

        Raises EventStoreError, InterruptedRunError.
        """
        ...


class MonitorSource(Protocol):
    """Watches keys that nobody should use any more."""

    def begin(
        self,
        keys: Sequence[str],
        since: datetime,
        *,
        source: str = "lookup",
        pull: bool = True,
        cancelled: Event | None = None,
    ) -> KeyWatch:
        """Return a watch over keys that has not looked yet.

        Raises SettingsError, KeyNotFoundError, EventStoreError, InterruptedRunError.
        """
        ...

    def watch(
        self,
        keys: Sequence[str],
        since: datetime,
        *,
        every: float,
        cancelled: Event,
        source: str = "lookup",
        pull: bool = True,
    ) -> Iterator[WatchStatus]:
        """Yield a look now and every so many seconds. Raises as `begin`, and once `cancelled` is set."""
        ...


class TrailRuleSource(Protocol):
    """The rules about CloudTrail's events, and which findings are suppressed."""

    def examine(
        self,
        since: datetime | None = None,
        until: datetime | None = None,
        cancelled: Event | None = None,
    ) -> Examined:
        """Return what the rules say of a window, by default the last day.

        Raises EventStoreError, and InterruptedRunError once `cancelled` is set.
        """
        ...

    def suppress(self, rule: str, subject: str, reason: str, days: int, by: str) -> Suppression:
        """Don't tell a rule's findings about a subject for so many days. Raises RefusedError."""
        ...

    def unsuppress(self, number: int) -> None:
        """Take a suppression back. Raises RefusedError."""
        ...

    def suppressions(self, *, expired: bool = False) -> tuple[Suppression, ...]:
        """Return those that hold now, or, `expired`, all."""
        ...


class IncidentWork(Protocol):
    """Incidents: declared, worked on by any number of operators, proved and reported.

    What is to be remembered is in PostgreSQL before a call returns: nothing is lost with a console.
    """

    def runbooks(self) -> tuple[Runbook, ...]:
        """Return the runbooks that there are, the built-in ones first. Raises RunbookError."""
        ...

    def runbook_troubles(self) -> tuple[str, ...]:
        """Return why runbooks of the team's can't be read, a sentence each."""
        ...

    def declare(self, runbook: str, scope: IncidentScope, title: str = "") -> int:
        """Open an incident and return its number.

        Raises RunbookError, RefusedError where the scope isn't what the runbook is about, ReadOnlyError,
        MissingSchemaError, DatabaseError.
        """
        ...

    def incidents(self, *, closed: bool = True, limit: int = 200) -> tuple[IncidentView, ...]:
        """Return incidents, open ones first, the newest first; without evidence and entries."""
        ...

    def show(self, incident: int) -> IncidentView:
        """Return an incident with all that is known of it. Quick. Raises UnknownIncidentError."""
        ...

    def join(self, incident: int) -> None:
        """Note that the present identity works on it, now. Called again every few seconds. Asks no AWS."""
        ...

    def fields(
        self,
        incident: int,
        step: str,
        inputs: Mapping[str, str | Secret] | None = None,
        *,
        cancelled: Event | None = None,
    ) -> tuple[InputField, ...]:
        """Return what has to be entered before a step's action can be planned."""
        ...

    def plan(
        self,
        incident: int,
        step: str,
        inputs: Mapping[str, str | Secret] | None = None,
        *,
        cancelled: Event | None = None,
    ) -> ActionPlan:
        """Return what a step's action would do. Raises RefusedError, KmsError, DatabaseError."""
        ...

    def run(
        self,
        incident: int,
        step: str,
        plan: ActionPlan,
        consent: Consent | None,
        inputs: Mapping[str, str | Secret] | None = None,
        *,
        progress: Callable[[int, int], None] | None = None,
        cancelled: Event | None = None,
    ) -> ActionResult:
        """Do what the plan says, keep what it found as evidence, and finish the step if its check passes.

        Raises ReadOnlyError, NotConfirmedError, ApprovalNeededError, and what the action raises.
        """
        ...

    def look(self, incident: int, step: str, *, cancelled: Event | None = None) -> CheckResult:
        """Return what a step's check sees now, and remember it. May take seconds."""
        ...

    def capture(
        self, incident: int, step: str, *, cancelled: Event | None = None
    ) -> tuple[EvidencePiece, ...]:
        """Keep the evidence that a step names. Raises what can't be had, after the rest was kept."""
        ...

    def finish(self, incident: int, step: str, *, cancelled: Event | None = None) -> StepView:
        """Capture what the step names, look at its check, and end the step if it passes or there is none.

        Raises RefusedError, naming what was seen, where the check does not pass.
        """
        ...

    def answer(self, incident: int, step: str, choice: str) -> StepView:
        """Decide what a step asks. Raises RefusedError for what isn't among its choices."""
        ...

    def skip(self, incident: int, step: str, reason: str) -> StepView:
        """End a step without doing it. Raises RefusedError without a reason."""
        ...

    def reopen(self, incident: int, step: str, reason: str) -> StepView:
        """Take a step up again that had ended. Raises RefusedError without a reason."""
        ...

    def note(self, incident: int, text: str, step: str = "") -> None:
        """Write a note into the timeline."""
        ...

    def evidence(self, incident: int, evidence: int) -> str:
        """Return a piece of evidence's content, JSON text, whose hash was compared. Raises EvidenceError."""
        ...

    def close(self, incident: int, outcome: str) -> IncidentView:
        """Close an incident. Raises RefusedError while steps are left, each named."""
        ...

    def drill_due(self) -> str:
        """Return a sentence if the last restore drill is older than the settings want, "" if it isn't."""
        ...

    def report(self, incident: int, form: str = "markdown") -> str:
        """Return the report as markdown, html or json, signed where a key is configured."""
        ...

    def reports(self, incident: int) -> Mapping[str, str]:
        """Return one document, signed once, as markdown, html and json."""
        ...

    def verify_report(self, text: str) -> ReportCheck:
        """Return whether an exported JSON report is what the configured key signed, or what is wrong with it.

        Raises RefusedError for a signed one where no key is configured, KmsError where KMS can't be asked.
        """
        ...


@dataclass(frozen=True, slots=True)
class Services:
    """All that the screens need, and nothing that they could build themselves."""

    surroundings: Callable[[], Surroundings]
    status: StatusSource
    inventory: InventorySource
    inspector: InspectionSource
    keys: KeySource
    policies: PolicySource
    posture: PostureSource
    work: TokenWork
    key_changes: KeyWork
    replacement: ReplacementSource
    materials: MaterialSource
    events: EventSource
    event_puller: PullSource
    event_coverage: EventCoverage
    event_use: UseSource
    key_monitor: MonitorSource
    trail_rules: TrailRuleSource
    read_only: bool
    write_key: str | None
    contexts: Contexts | None = None
    """None where the place can't be changed."""
    jobs: JobWork | None = None
    """None where many tokens can't be written as jobs."""
    job_processes: JobProcesses | None = None
    """None where this console starts no process that works on jobs."""
    undoing: JobUndoing | None = None
    """None where jobs can't be undone."""
    incidents: IncidentWork | None = None
    """None where incidents can't be kept."""
    approvals: ApprovalGate | None = None
    """None where nothing needs a second identity."""
