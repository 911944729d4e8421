"""Whom an incident is about: its suspects, by what findings and events say since it may have begun.

A suspect is

- who is named by the event or finding that the incident was declared from, or did what that finding is about;
- who any finding names, of whatever severity, or did what a finding of high severity or worse is about;
- who got access to the key since then: by a grant, by its policy, or as a role that a suspect assumed;
- who shares an address, an access key or a session's name with one of these (see `accomplices`).

Findings that a deployment explains name the platform in every other incident. So of a principal that has used
the key for days before the incident, those about its habits (HABITS) are no suspicion by themselves: only
both another network, outside one's own, and other software are. Of who makes data keys under the key as a
matter of course, the platform, only findings of high severity or worse are; and that it opens much, only
where it is known what was usual. New access says nothing of who has had it for days. Whoever works with
Keydeck here is a suspect only where the incident was declared from it: its own work makes findings.
"""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any

from crypto_core.findings.finding import Finding
from crypto_core.incidents.event_fetch import begin_of
from crypto_core.incidents.key_users import KeyUsers, key_users, responder_of
from crypto_core.incidents.model import Incident, finding_origin
from crypto_core.incidents.scope_check import ORIGIN_LIMIT
from crypto_core.incidents.steps.evidence_text import kept_text
from crypto_core.keys.policy.access import accesses
from crypto_core.keys.policy.document import parse_policy
from crypto_core.keys.policy.least_privilege import is_principal
from crypto_core.keys.replacement import USES
from crypto_core.lists.coverage import Coverage
from crypto_core.lists.paging import Query
from crypto_core.trail.event import TrailEvent
from crypto_core.trail.rules.bulk import bulk_decrypt, bulk_tokens, failed_burst
from crypto_core.trail.rules.contexts import context_missing, context_wrong
from crypto_core.trail.rules.novelty import is_private, network, new_agent, new_network
from crypto_core.trail.rules.rule_context import BASELINE_DAYS, name_of, request, text
from crypto_core.trail.rules.service import TrailRules
from crypto_core.trail.rules.wrong_keys import wrong_write_key
from crypto_core.trail.store import EventStore
from crypto_core.trail.store.tallies import EventTally, Tallies
from crypto_core.trail.use.filter_builder import asked_as, term
from crypto_core.values.clean_text import clean, cleans
from crypto_core.values.errors import KmsError, PolicyError, RefusedError, TrailError
from crypto_core.values.json_records import JsonRecord, shape

MOST_EVENTS = 500
"""So many changes of a key's access, the newest, are looked at."""

Gained = tuple[str, str]
"""The ARN of who got access, and how, in words."""

HABITS = frozenset(
    rule.id
    for rule in (new_network, new_agent, context_missing, context_wrong, wrong_write_key, failed_burst)
)
"""Rules about what a deployment, a new subnet, a damaged row or a missing right changes as well."""
_VOLUME = frozenset({bulk_decrypt.id, bulk_tokens.id})
MOST = 300
"""So many suspects are listed."""
_KEPT = 16
"""Of so many incidents the last answer is kept."""


def access_gained(
    events: EventStore, key: str, since: datetime, but: str, gaps: list[str], cancelled: Event | None = None
) -> Iterator[Gained]:
    """Yield who got access to a key since then, but from `but`, the ARN of who works here.

    Where the policy before is not in the store, only who changed it and is named in it counts: it let itself
    in. What is not looked at is added to `gaps`. Raises TrailError, InterruptedRunError.
    """
    asked = f"{term('key', asked_as(key))} {term('name', 'CreateGrant', 'PutKeyPolicy', 'CreateKey')} -failed"
    page = events.page(Query(asked, descending=True), limit=MOST_EVENTS, cancelled=cancelled)
    if page.below and page.rows[-1].event.time >= since:
        gaps.append(f"of the changes of who may use the key only the last {MOST_EVENTS:,} were looked at")
    before: frozenset[str] | None = None
    for event in (row.event for row in reversed(page.rows)):
        late = event.time >= since and event.principal.arn != but
        if event.name == "CreateGrant":
            grantee = text(request(event).get("granteePrincipal"), 700)
            if late and not event.by_service and is_principal(grantee):
                yield grantee, f"got a grant on the key from {name_of(event.principal.arn)} {_at(event)}"
            continue
        after = _named(event)
        if late and event.name == "PutKeyPolicy":
            gained = after - before if before is not None else after & {event.principal.arn}
            for arn in sorted(gained):
                yield arn, f"got access by the policy that {name_of(event.principal.arn)} put {_at(event)}"
        before = after


def roles_assumed(
    events: EventStore, by: Sequence[str], since: datetime, gaps: list[str], cancelled: Event | None = None
) -> Iterator[Gained]:
    """Yield the roles that some principals assumed since then; see `access_gained`."""
    asked = f"{term('name', 'AssumeRole')} {term('principal', *by)} -failed since:{since.isoformat()}"
    page = events.page(Query(asked, descending=True), limit=MOST_EVENTS, cancelled=cancelled)
    if page.below:
        gaps.append(f"of the roles that suspects assumed only the last {MOST_EVENTS:,} calls were looked at")
    found: Mapping[str, TrailEvent] = {
        text(request(row.event).get("roleArn"), 700): row.event for row in page.rows
    }
    for role, event in sorted(found.items()):
        if is_principal(role):
            yield role, f"assumed by {name_of(event.principal.arn)} {_at(event)}"


def _named(event: TrailEvent) -> frozenset[str]:
    """Whom the policy of a record lets use the key, by ARN; nobody where it can't be read."""
    policy = request(event).get("policy")
    key = event.key_arns[0] if event.key_arns else "*"
    try:
        found = accesses(parse_policy(policy), (), key) if isinstance(policy, str) else ()
    except PolicyError:
        return frozenset()
    return frozenset(
        access.principal.value
        for access in found
        if any(action in access.actions for action in USES)
        and is_principal(access.principal.value)
        and not (access.principal.is_account or access.all_but)
    )


def _at(event: TrailEvent) -> str:
    return f"on {event.time:%Y-%m-%d at %H:%M} UTC"


@dataclass(frozen=True, slots=True)
@cleans(arn=700, why=400, findings=300)
class Suspect(JsonRecord):
    """A principal, by its ARN, that an incident is about, and why. Cleaned text.

    `findings` are the titles of those that name it. `calls` are its events since the incident may have begun,
    with the times of the `first` and the `last`: None where the store has none.
    """

    arn: str
    why: tuple[str, ...]
    findings: tuple[str, ...] = ()
    calls: int = 0
    first: datetime | None = None
    last: datetime | None = None

    json_shape = shape("principal=arn why calls first? last? findings")

    @property
    def name(self) -> str:
        """The principal as a row has room for it, such as user/build-bot."""
        return name_of(self.arn)


@dataclass(frozen=True, slots=True)
@cleans(gaps=600)
class Suspects(JsonRecord):
    """Those with most reasons first; `more` are not listed, and `gaps` say why these may not be all."""

    found: tuple[Suspect, ...] = ()
    gaps: tuple[str, ...] = ()
    more: int = 0

    json_shape = shape("suspects=found suspects_coverage")

    @property
    def suspects_coverage(self) -> Coverage:
        more = (f"{self.more:,} more suspects are not listed",) if self.more else ()
        return Coverage((*self.gaps, *more))

    @property
    def arns(self) -> tuple[str, ...]:
        return tuple(one.arn for one in self.found)

    def named(self, arn: str) -> Suspect | None:
        """Return the suspect that an ARN gives access to: itself, or one of a whole account."""
        for suspect in self.found:
            if suspect.arn == arn:
                return suspect
        if not arn.endswith(":root"):
            return None
        account = arn.removesuffix("root")
        return next((one for one in self.found if one.arn.startswith(account)), None)

    def without(self, arns: Iterable[str]) -> tuple[str, ...]:
        """Return the ARNs that are no suspect's: nobody where not all suspects are listed."""
        return () if self.more else tuple(arn for arn in arns if self.named(arn) is None)


@dataclass(eq=False)
class SuspectSearch:
    """Finds the suspects of incidents. Blocks on the events' store: call it from a worker. Thread-safe.

    `identity` is the ARN of who works with Keydeck (raises KmsError). While the store stays as it is, so does
    the answer.
    """

    events: EventStore
    rules: TrailRules
    identity: Callable[[], str]
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    _known: dict[object, Suspects] = field(default_factory=dict, repr=False)

    def suspects_of(self, incident: Incident, cancelled: Event | None = None) -> Suspects:
        """Return an incident's suspects; what can't be read is a gap. Raises InterruptedRunError."""
        try:
            asked = (incident.scope, begin_of(incident), self.events.state(), self.rules.suppressions())
            known = self._known.get(asked)
            if known is None:
                known = _Inquiry(self, incident, cancelled).suspects()
                for old in list(self._known)[: max(len(self._known) - _KEPT, 0)]:
                    self._known.pop(old, None)
                self._known[asked] = known
        except (TrailError, RefusedError) as error:
            return Suspects(gaps=(f"Who is suspected is not known: {error}",))
        return known


class _Inquiry:
    """One examination, and what it has against whom."""

    def __init__(self, search: SuspectSearch, incident: Incident, cancelled: Event | None) -> None:
        self._events, self._rules = search.events, search.rules
        self._scope, self._begin = incident.scope, begin_of(incident).replace(microsecond=0)
        self._cancelled = cancelled
        self._gaps: list[str] = []
        self._why: dict[str, dict[str, None]] = defaultdict(dict)
        self._findings: dict[str, dict[str, None]] = defaultdict(dict)
        keys = (incident.scope.key,) if incident.scope.key else ()
        self._users: KeyUsers = key_users(self._events, keys, search.clock(), cancelled)
        if self._users.others:
            self._gaps.append(f"{self._users.others:,} more users of the key were not looked at")
        if self._events.imported():
            self._gaps.append("events were imported, which may call anybody usual here")
        try:
            self._own = responder_of(search.identity(), self._users.by_arn)
        except KmsError:
            self._own = ""

    def suspects(self) -> Suspects:
        """Return whom it is about. Raises TrailError, RefusedError, InterruptedRunError."""
        examined = self._rules.examine_events(self._begin, None, self._cancelled)
        if self._scope.principal:
            self._say(self._scope.principal, "the incident was declared from what it did")
        self._examine(examined.findings)
        if self._scope.key:
            for arn, how in access_gained(
                self._events, self._scope.key, self._begin, self._own, self._gaps, self._cancelled
            ):
                if arn != self._own and not self._settled(arn):
                    self._say(arn, how)
        for arn, how in self._followers():
            if arn != self._own:
                self._say(arn, how)
        return self._with_use((*examined.coverage.reasons, *self._gaps))

    def _followers(self) -> Iterator[tuple[str, str]]:
        """Yield who is a suspect for the sake of others, and why, once those are all known."""
        more = (self._begin, self._gaps, self._cancelled)
        if of := sorted(self._why):
            yield from roles_assumed(self._events, of, *more)
        if of := sorted(self._why):
            yield from accomplices(self._events, of, [*filter(self._settled, of)], *more)

    def _say(self, arn: str, why: str, finding: str = "") -> None:
        self._why[arn][why] = None
        if finding:
            self._findings[arn][finding] = None

    def _examine(self, findings: Iterable[Finding]) -> None:
        habits: dict[str, dict[str, Finding]] = defaultdict(dict)
        for finding in findings:
            origin = bool(self._scope.origin) and self._scope.origin == kept_text(
                finding_origin(finding), ORIGIN_LIMIT
            )
            named = is_principal(finding.subject)
            for arn in (finding.subject,) if named else self._actors(finding, origin=origin):
                if origin:
                    self._say(arn, f"the incident was declared from: {finding.title}", finding.title)
                elif arn != self._own and self._is_misuse(finding, arn):
                    self._say(arn, finding.title, finding.title)
                elif named and arn != self._own:
                    habits[arn][finding.rule] = finding
        for arn, known in habits.items():
            moved, software = known.get(new_network.id), known.get(new_agent.id)
            if moved and software and self._from_outside(moved):
                for finding in (moved, software):
                    self._say(arn, finding.title, finding.title)

    def _actors(self, finding: Finding, *, origin: bool) -> tuple[str, ...]:
        """Who did what a finding about a key is about, where that is grave."""
        if not finding.events or not (origin or finding.severity.grave):
            return ()
        found = self._events.tally(("principal",), term("id", *finding.events), cancelled=self._cancelled)
        return tuple(row.texts[0] for row in found.rows if is_principal(row.texts[0]))

    def _from_outside(self, finding: Finding) -> bool:
        found = self._events.tally(("ip",), term("id", *finding.events), cancelled=self._cancelled)
        return any(is_outside(row.texts[0]) for row in found.rows)

    def _is_misuse(self, finding: Finding, arn: str) -> bool:
        """True if a finding speaks of misuse by this principal; see the module."""
        settled, writes = self._settled(arn), self._writes(arn)
        if settled and finding.rule in HABITS:
            return False
        if not writes:
            return True
        return finding.severity.grave and (settled or finding.rule not in HABITS | _VOLUME)

    def _settled(self, arn: str) -> bool:
        """True for who used the key for days before the incident may have begun."""
        user = self._users.by_arn.get(arn)
        return user is not None and user.first <= self._begin - timedelta(days=BASELINE_DAYS)

    def _writes(self, arn: str) -> bool:
        """True for who makes data keys as a matter of course: before the incident, or most of all."""
        user = self._users.by_arn.get(arn)
        if user is None or user.first_sealed is None:
            return False
        if self._settled(arn) and user.first_sealed < self._begin:
            return True
        return user.sealed * 2 > sum(one.sealed for one in self._users.by_arn.values())

    def _with_use(self, reasons: Iterable[str]) -> Suspects:
        arns = sorted(self._why)
        use: Mapping[str, Any] = {}
        if arns:
            asked = f"{term('principal', *arns)} since:{self._begin.isoformat()}"
            found = self._events.tally(("principal",), asked, limit=len(arns), cancelled=self._cancelled)
            use = {row.texts[0]: row for row in found.rows}
        suspects = []
        for arn in arns:
            row = use.get(arn)
            times = {"calls": row.events, "first": row.first, "last": row.last} if row is not None else {}
            suspects.append(Suspect(arn, tuple(self._why[arn]), tuple(self._findings[arn]), **times))
        suspects.sort(key=lambda one: (-len(one.findings), -one.calls, one.arn))
        gaps = tuple(clean(f"Suspects may be missing: {reason}", 600) for reason in reasons)
        return Suspects(tuple(suspects[:MOST]), gaps, max(len(suspects) - MOST, 0))


TRACES = {"ip": "address", "access_key": "access key", "session": "session name"}
"""What two principals may have in common, and what it is called."""
MOST_PAIRS = 1_000
"""So many pairs of a principal and a trace of each kind are looked at, those with most events."""


def accomplices(
    events: EventStore,
    of: Collection[str],
    settled: Collection[str],
    since: datetime,
    gaps: list[str],
    cancelled: Event | None = None,
) -> Iterator[tuple[str, str]]:
    """Yield the ARN of each principal that left a trace of one of these since then, and which, in words.

    An address of one's own network is no trace, nor one that the other came from before; nor is an earlier
    address of the `settled` among these principals. A principal is no accomplice where it is at home: it was
    there first, makes most of its calls from there, and no fewer than these principals do together, as a
    platform behind the address that all of an office share. What is not looked at is added to `gaps`. Raises
    TrailError, InterruptedRunError.
    """
    for trace, words in TRACES.items():
        lately = f"since:{since.isoformat()}"
        own = events.tally(
            ("principal", trace), f"{term('principal', *of)} {lately}", limit=MOST_PAIRS, cancelled=cancelled
        )
        _note(own, words, gaps)
        left = {row.texts for row in own.rows if _tells(trace, row.texts[1])}
        traces = sorted({one for _, one in left})
        if not traces:
            continue
        with_it = term(trace, *traces)
        usual: set[tuple[str, ...]] = set()
        if trace == "ip":
            earlier = f"{with_it} until:{since.isoformat()}"
            before = events.tally(("principal", trace), earlier, limit=MOST_PAIRS, cancelled=cancelled)
            usual = {row.texts for row in before.rows if row.first < since}
        left -= {pair for pair in usual if pair[0] in settled}
        shared = events.tally(
            ("principal", trace), f"{with_it} {lately}", limit=MOST_PAIRS, cancelled=cancelled
        )
        _note(shared, words, gaps)
        by_trace: dict[str, list[EventTally]] = defaultdict(list)
        for row in shared.rows:
            by_trace[row.texts[1]].append(row)
        others = sorted({row.texts[0] for row in shared.rows} - {*of})
        if not others:
            continue
        in_all = events.tally(
            ("principal",), f"{term('principal', *others)} {lately}", limit=len(others), cancelled=cancelled
        )
        calls = {row.texts[0]: row.events for row in in_all.rows}
        for left_by, rows in sorted(by_trace.items()):
            theirs = [row for row in rows if row.texts in left]
            for row in rows:
                who = row.texts[0]
                if not theirs or who in of or row.texts in usual or not is_principal(who):
                    continue
                if not _at_home(row, theirs, calls.get(who, 0)):
                    yield who, f"shares the {words} {left_by} with {name_of(theirs[0].texts[0])}"


def _note(found: Tallies, words: str, gaps: list[str]) -> None:
    if found.others:
        gaps.append(f"{found.others:,} pairs of a principal and its {words} were not looked at")


def _tells(field: str, trace: str) -> bool:
    """True for what two have in common only if they are one, or know each other."""
    return bool(trace) and (field != "ip" or is_outside(trace))


def is_outside(address: str) -> bool:
    """True for an IP address outside one's own networks and this machine."""
    try:
        return not (ipaddress.ip_address(address).is_loopback or is_private(network(address)))
    except ValueError:
        return False


def _at_home(row: EventTally, theirs: list[EventTally], calls: int) -> bool:
    first = row.first <= min(one.first for one in theirs)
    return first and row.events * 2 > calls and row.events >= sum(one.events for one in theirs)
