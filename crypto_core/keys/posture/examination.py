"""The posture service: reads what the rules need, as far as that is allowed, and asks every rule."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Event

from crypto_core.aws.kms import KmsApi
from crypto_core.database.column_guards.model import ColumnGuard
from crypto_core.database.tokens.strays import Copies, Strays
from crypto_core.findings.finding import Finding, Gap, Severity, coverage_of, once_each
from crypto_core.findings.registry import Facts, Said, rules_about
from crypto_core.keys.grants import Grant
from crypto_core.keys.inventory import KeyInventory
from crypto_core.keys.policy.access import Access
from crypto_core.keys.policy.policy_reader import KeyPolicies
from crypto_core.keys.posture.access import policy_unknown
from crypto_core.keys.posture.facts import Estate, KeyFacts
from crypto_core.keys.posture.identities import IdentityPolicy, read_identities
from crypto_core.keys.posture.lifecycle import state_unknown
from crypto_core.keys.posture.limits import Limits
from crypto_core.keys.posture.pace import CallerPace
from crypto_core.keys.posture.trails import read_trails
from crypto_core.keys.service import StatusService
from crypto_core.keys.state import NOT_FOUND, KeyState
from crypto_core.keys.status import Status
from crypto_core.lists.coverage import Coverage
from crypto_core.values.cancellation import stop_if
from crypto_core.values.errors import DatabaseError, KmsError
from crypto_core.values.json_records import JsonRecord, shape
from crypto_core.values.key_names import parse_key_name, same_key

WORKERS = 8
GRANT_LISTS_PER_SECOND = 50.0
"""Half of what KMS answers of ListGrants for an account and Region (Developer Guide, "Request quotas")."""


@dataclass(frozen=True, slots=True)
class Posture(JsonRecord):
    taken_at: datetime
    findings: tuple[Finding, ...]
    gaps: tuple[Gap, ...] = ()

    json_shape = shape("findings coverage")

    @property
    def coverage(self) -> Coverage:
        """What was not examined: each gap names the key or trail and why, such as the IAM action."""
        return coverage_of(self.gaps)

    @property
    def examined(self) -> bool:
        """True if the gaps can't hide a finding of severity high or worse."""
        return not any(gap.hides.grave for gap in self.gaps)

    @property
    def well(self) -> bool:
        """True if nothing is of severity high or worse, nor can be unseen."""
        return self.examined and not any(finding.severity.grave for finding in self.findings)


@dataclass(eq=False)
class PostureService:
    """Examines the posture. Blocks on SQL, KMS and CloudTrail: call it from a worker.

    `trusted` gives the names of all configured keys, `write_key` is the one written under.
    """

    kms: KmsApi
    keys: KeyInventory
    policies: KeyPolicies
    status: StatusService
    write_key: str | None
    trusted: Callable[[], Sequence[str]] = tuple
    limits: Limits = field(default_factory=Limits)
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    pace: CallerPace = field(default_factory=lambda: CallerPace(GRANT_LISTS_PER_SECOND))

    def examine_keys(self, *, status: Status | None = None, cancelled: Event | None = None) -> Posture:
        """Return the posture now; what may not be read becomes a gap that names the key and the IAM action.

        `status` is one that was just taken, so that tokens are not counted twice. Without the database the
        keys are examined all the same. Raises KmsError where AWS can't be asked at all, InterruptedRunError.
        """
        gaps: list[Gap] = []
        if status is None:
            try:
                status = self.status.take_census(cancelled=cancelled)
            except DatabaseError as error:
                gaps.append(Gap(f"Tokens are not counted: {error.message}", Severity.CRITICAL))
        if status is not None:
            gaps += [Gap(reason, Severity.CRITICAL) for reason in status.coverage.reasons]
        stop_if(cancelled)
        # After the census the inventory knows the keys that tokens were found under, listed or not.
        states = self.keys.list()
        stop_if(cancelled)
        configured = self._resolved(self.trusted(), gaps)
        writing = self._resolved([self.write_key] if self.write_key else [], gaps)
        with ThreadPoolExecutor(max_workers=WORKERS) as pool:
            # IAM may be slow to answer, or not be there at all: it is waited for last.
            reading = pool.submit(read_identities, self.kms, cancelled=cancelled)
            facts = tuple(pool.map(lambda s: self._facts(s, status, writing, configured, cancelled), states))
            estate = Estate(
                self.clock(),
                self.limits,
                facts,
                self.write_key,
                next(iter(writing), None),
                guards=_guards(status) if status is not None else (),
                sweep=status.sweep if status is not None else None,
                strays=status.strays if status is not None else Strays(),
                copies=self._copies(gaps, cancelled) if status is not None else (),
            )
            trails = [*self._about_trails(estate, cancelled)]
            identities = reading.result()
        said: list[Finding | Gap] = [*gaps, *_about_keys(estate), *trails, *_about_identities(*identities)]
        return Posture(estate.now, *once_each(said))

    def _copies(self, gaps: list[Gap], cancelled: Event | None) -> tuple[Copies, ...]:
        try:
            return self.status.find_copies(cancelled=cancelled)
        except DatabaseError as error:
            reason = f"Whether envelopes are stored in several places is not known: {error.message}"
            gaps.append(Gap(reason, Severity.HIGH))
            return ()

    def _resolved(self, names: Iterable[str], gaps: list[Gap]) -> frozenset[str]:
        found = set()
        for name in names:
            if parse_key_name(name).is_key_arn:
                found.add(name)
                continue
            try:
                found.add(self.keys.describe(name).key_arn)
            except KmsError as error:
                gaps.append(Gap(f"{name}: which key it names: {error.why}", Severity.HIGH))
        return frozenset(found)

    def _facts(
        self,
        state: KeyState,
        status: Status | None,
        writing: frozenset[str],
        configured: frozenset[str],
        cancelled: Event | None,
    ) -> KeyFacts:
        stop_if(cancelled)
        accesses, grants, missing = self._read(state, cancelled)
        return KeyFacts(
            key=state,
            accesses=accesses,
            grants=grants,
            missing=missing,
            tokens=status.tokens_under(state.key_arn) if status else None,
            by_material=_by_material(state, status),
            writes=any(same_key(state.key_arn, arn) for arn in writing),
            trusted=any(same_key(state.key_arn, arn) for arn in configured),
        )

    def _read(
        self, state: KeyState, cancelled: Event | None
    ) -> tuple[tuple[Access, ...] | None, tuple[Grant, ...] | None, Mapping[str, str]]:
        if state.manager != "CUSTOMER" or state.state == NOT_FOUND:
            return None, None, {}
        missing: dict[str, str] = {}
        if state.grants is None:
            self.pace.wait(cancelled)
        try:
            policy = self.policies.of(state)
        except KmsError as error:
            missing["policy"] = error.why
            return None, self.policies.grants_of(state, missing), missing
        by_policy = tuple(a for a in policy.accesses if a.grant is None)
        return by_policy, None if policy.missing else policy.grants, {**policy.missing}

    def _about_trails(self, estate: Estate, cancelled: Event | None) -> Said:
        guarded = [facts.key.region for facts in estate.keys if facts.guards and facts.key.region]
        regions = tuple(dict.fromkeys([*self.kms.regions, *guarded]))
        trails, asked, gaps = read_trails(self.kms, regions, cancelled=cancelled)
        yield from gaps
        for rule in rules_about(Facts.TRAILS):
            yield from rule(trails, asked)


def _about_keys(estate: Estate) -> Said:
    rules = rules_about(Facts.KEY)
    for facts in estate.keys:
        if "other keys" in facts.key.missing:
            # Those that tokens are under are known all the same.
            yield Gap(f"{facts.key.region}: other keys: {facts.key.missing['other keys']}", Severity.MEDIUM)
        for part, why in facts.key.missing.items():
            if part.startswith("keys of "):
                yield Gap(f"{part.removeprefix('keys of ')}: keys: {why}", Severity.HIGH)
        if facts.key.state is None:
            yield from state_unknown(facts)
            continue
        yield from policy_unknown(facts)
        for rule in rules:
            yield from rule(facts, estate)
    for rule in rules_about(Facts.KEYS):
        yield from rule(estate)


def _about_identities(policies: Sequence[IdentityPolicy], gaps: Iterable[Gap]) -> Said:
    yield from gaps
    for rule in rules_about(Facts.IDENTITIES):
        yield from rule(policies)


def _guards(status: Status) -> tuple[ColumnGuard, ...]:
    holding = {share.column for share in status.by_column if share.tokens}
    return tuple(one for one in status.guards if one.constrained or str(one.column) in holding)


def _by_material(state: KeyState, status: Status | None) -> dict[str, int]:
    found: dict[str, int] = {}
    for share in status.shares_under(state.key_arn) if status else ():
        material = share.key_material_id or ""
        found[material] = found.get(material, 0) + share.tokens
    return found
