"""Blocking the suspects on the key, at once and before anything else; and whether that holds.

Who made data keys under it before the incident may have begun is the platform, and is not taken off the air
for having its credentials stolen: it is refused from anywhere but where it worked a day before. Who only says
to be the platform, by making data keys now, was not seen then; where nothing is known of then, the step stays
open until it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from crypto_core.incidents.event_fetch import begin_of, fetched
from crypto_core.incidents.key_users import SEEN_FOR, responder_of
from crypto_core.incidents.keys import subject
from crypto_core.incidents.keys.bundle import KeyAction, bundled
from crypto_core.incidents.keys.workers import Workers, blocks_of, workers_of
from crypto_core.incidents.model import CheckResult, CheckState
from crypto_core.incidents.runbooks.catalogue import ActionKind
from crypto_core.incidents.steps.step_contracts import ActionPlan, InputField, Situation
from crypto_core.incidents.suspects import Suspect, is_outside
from crypto_core.keys.changes.change import ChangeKind, KeyChange
from crypto_core.keys.policy.block_statement import MOST_SOURCES, BlockStatement, stands
from crypto_core.keys.policy.policy_reader import KeyPolicy
from crypto_core.keys.state import KeyState
from crypto_core.trail.rules.rule_context import name_of
from crypto_core.trail.use.filter_builder import asked_as, term
from crypto_core.values.counts import counted
from crypto_core.values.errors import DatabaseError, KmsError, RefusedError
from crypto_core.values.moments import in_utc
from crypto_core.values.references import TokenRef, parse_reference

PRINCIPALS, ONLY_FROM = "principals", "only_from"
FETCHING_SECONDS = 10.0
"""How long events are fetched first: every second counts, and what is not fetched is said."""
_HOLDS_AFTER = timedelta(minutes=5)
"""How long KMS may take until a policy holds everywhere (Developer Guide, "AWS KMS eventual consistency")."""
BACK = timedelta(days=10)
"""How far before the incident events are fetched: to see who the platform is, and where it works."""
KNOWN_FOR = timedelta(days=1)
"""Only from where one worked so long before counts: an incident may have begun earlier than it seems."""
_MOST_ROWS = 1_000
MOST_TOKENS = 25_000
"""Of so many tokens in scope the keys are asked for."""


_NAMED = (
    "is an actor according to the journal, where whoever may append to it can name anybody. If it is a "
    "colleague, leave it out."
)


_IMPORTED = (
    "events were imported from files, which may call anybody usual here. Keep those that keydeck events pull "
    "fetches in a store of their own, or skip the step with the reason why nobody is missing"
)


@dataclass(frozen=True, slots=True)
class _BlockSight:
    states: tuple[KeyState, ...]
    policies: Mapping[str, KeyPolicy]
    workers: Workers
    own: dict[str, tuple[str, ...]]
    """The platform's own among the suspects, and from where each worked before; nothing where not known."""
    unproved: frozenset[str] = frozenset()
    """Of these, who only may be the platform: no event of a day before is kept, or some were imported."""
    named: frozenset[str] = frozenset()
    """Whom entries of the journal name as actors, which anybody may write there: it shields nobody."""
    unreached: tuple[str, ...] = ()
    """Of which keys the policy is not known, and why."""
    gaps: tuple[str, ...] = ()

    def refuses(self, arn: str) -> bool:
        block = BlockStatement(arn)
        return all(stands(policy.document, block) for policy in self.policies.values())

    @property
    def proposed(self) -> tuple[str, ...]:
        """Who is refused from everywhere unless the operator says otherwise."""
        but = {self.workers.responder, *self.own}
        return tuple(arn for arn in self.workers.suspects.arns if arn not in but)


class BlockingSuspects(KeyAction):
    """Puts a denial of each suspect into the policy of the key, in each of its Regions.

    Of an incident about tokens: of every key that they are under, or, with a filter, that any tokens are.
    """

    def fields(self, situation: Situation) -> tuple[InputField, ...]:
        """Return who is refused, and from where the platform's own role is not. Fetches events first."""
        sight = self._read_keys(situation, fetch_since=begin_of(situation.incident) - BACK)
        own = (
            InputField(
                _source_field(number),
                f"{name_of(arn)} {'may be' if arn in sight.unproved else 'is'} the platform's own: refused "
                "but from these addresses and VPC endpoints",
                ", ".join(sources),
                required=False,
            )
            for number, (arn, sources) in enumerate(sight.own.items())
        )
        return (
            InputField(
                PRINCIPALS,
                "Refused from now on: calls, last use (UTC)",
                ", ".join(sight.proposed),
                sight.workers.choices(sight.proposed),
                required=False,
                several=True,
                suspects=sight.workers.suspects.arns,
            ),
            *own,
        )

    def plan_action(self, situation: Situation) -> ActionPlan:
        """Return who is refused by which policies. Raises RefusedError, KmsError."""
        sight = self._read_keys(situation)
        blocks = tuple(self._blocks(situation, sight))
        refused = {block.principal for block in blocks}
        left = [one for one in sight.workers.suspects.found if one.arn not in refused]
        plans = [
            self.plan_change(situation, KeyChange(ChangeKind.BLOCK, key=state.key_arn, blocks=blocks))
            for state in sight.states
            if blocks
        ]
        name = sight.states[0].name if len(sight.states) == 1 else counted(len(sight.states), "key")
        alone = (
            f"Block {counted(len(blocks), 'principal')} on {name}" if blocks else f"Block nobody on {name}"
        )
        return bundled(
            plans[0].title if len(plans) == 1 else alone,
            plans,
            does=() if blocks else ("Nobody is blocked.", *_why_nobody(sight)),
            does_not=("Moves no token, and gives the platform no other key: that comes next.",),
            warnings=(
                *(f"Nobody is blocked there: {why}" for why in sight.unreached),
                *(f"Not blocked: {_why_not(sight, one)}" for one in left),
                *(f"{arn} {_NAMED}" for arn in sorted(refused & sight.named)),
                *sight.gaps,
            ),
            values=(
                (subject.BLOCKED, subject.remembered(map(str, blocks))),
                (subject.UNBLOCKED, subject.remembered(one.arn for one in left)),
            ),
            told=(subject.BLOCKED, *map(str, blocks), subject.UNBLOCKED, *(one.arn for one in left)),
        )

    def suspects_blocked(self, situation: Situation) -> CheckResult:
        """Pass if each suspect's denial stands in each Region, and nothing got through since it holds.

        Who was left out in the plan does not count, and is named; but for whom nothing shows to be the
        platform, though it may be.
        """
        incident = situation.incident
        if subject.BLOCKED not in incident.values:
            return CheckResult(CheckState.NOT_YET, ("Nobody has been blocked for this incident yet.",))
        blocks = blocks_of(incident)
        left_out = subject.listed(incident.values.get(subject.UNBLOCKED, ""))
        since = _begun_at(situation)
        sight = self._read_keys(situation, fetch_since=since or begin_of(incident))
        known = {*(block.principal for block in blocks), *left_out, sight.workers.responder}
        lines = [
            f"{block.principal} is not refused in {state.region}{block.but}: the policy has no such statement"
            for state in sight.states
            for block in blocks
            if not stands(sight.policies[state.key_arn].document, block)
        ]
        lines += [
            f"Suspected by now, and not blocked: {one.arn}"
            for one in sight.workers.suspects.found
            if one.arn not in known and not sight.refuses(one.arn)
        ]
        lines += [
            f"Not blocked: {_unproved(arn)}"
            for arn in sorted(sight.unproved)
            if arn not in (block.principal for block in blocks) and not sight.refuses(arn)
        ]
        seen = [self._seen(situation, sight, block, since) for block in blocks] if since else []
        lines += [words for through, words in seen if through]
        if lines:
            return CheckResult(CheckState.NOT_YET, tuple(lines))
        unknown = sight.unreached if blocks else ()
        if self._services.events.imported():
            unknown = (*unknown, _IMPORTED)
        if more := sight.workers.accused.more:
            unknown = (*unknown, f"{more:,} more suspects are not listed")
        if unknown:
            return CheckResult(CheckState.UNKNOWN, tuple(f"Not known: {why}" for why in unknown))
        told = [words for _, words in seen]
        told += [f"Not blocked, as decided: {arn}" for arn in left_out]
        told += [f"Not known: {gap}" for gap in sight.gaps]
        regions = ", ".join(state.region for state in sight.states)
        head = f"{counted(len(blocks), 'principal')} refused; read back in {regions}" if blocks else ""
        return CheckResult(CheckState.PASSED, (head or "Nobody is blocked", *told))

    def _blocks(self, situation: Situation, sight: _BlockSight) -> Iterator[BlockStatement]:
        chosen = subject.listed(subject.entered(situation, PRINCIPALS, ", ".join(sight.proposed)))
        for arn in chosen:
            yield BlockStatement(subject.required_principal(arn, PRINCIPALS))
        for number, (arn, known) in enumerate(sight.own.items()):
            sources = subject.listed(subject.entered(situation, _source_field(number), ", ".join(known)))
            if sources and arn not in chosen:
                yield BlockStatement(arn, sources)

    def _read_keys(self, situation: Situation, *, fetch_since: datetime | None = None) -> _BlockSight:
        states, unreached = self._keys(situation)
        gaps = list[str]()
        if fetch_since is not None:
            arns, cancelled = [state.key_arn for state in states], situation.cancelled
            gaps += fetched(self._services.monitor, arns, fetch_since, cancelled, seconds=FETCHING_SECONDS)
        policies: dict[str, KeyPolicy] = {}
        for state in states:
            try:
                policies[state.key_arn] = self._services.policies.of(state)
            except KmsError as error:
                unreached.append(f"The policy of {state.key_arn} can't be read: {error}")
        states = tuple(state for state in states if state.key_arn in policies)
        if not states:
            raise RefusedError(
                "No policy of a key in question can be read.",
                remedy=" ".join(unreached[:3]) or "Declare an incident about the key.",
            )
        read = tuple(policies.values())
        workers = workers_of(self._services, states, read, situation.incident, situation.cancelled)
        imported = self._services.events.imported()
        own = {
            suspect.arn: () if imported else self._sources(situation, workers, suspect)
            for suspect in workers.accused.found
            if suspect.arn != workers.responder and self._is_platform(situation, workers, suspect)
        }
        known_until = begin_of(situation.incident) - KNOWN_FOR
        unproved = frozenset(arn for arn in own if imported or workers.users[arn].first > known_until)
        gaps += workers.gaps
        return _BlockSight(
            *(states, policies, workers, own),
            unproved=unproved,
            named=self._named(workers),
            unreached=tuple(unreached),
            gaps=tuple(gaps),
        )

    def _named(self, workers: Workers) -> frozenset[str]:
        try:
            named = (actor.partition(",")[0] for actor in self._services.actors())
            return frozenset(responder_of(identity, workers.known) for identity in named)
        except DatabaseError:
            return frozenset()

    def _of_tokens(self, references: Sequence[str]) -> list[str]:
        """The keys that tokens are under, as far as these are known."""
        refs = [ref for ref in map(parse_reference, references) if isinstance(ref, TokenRef)]
        rows = self._services.inventory.rows(refs[:MOST_TOKENS])
        return [*dict.fromkeys(row.key_arn for row in rows if row.key_arn)]

    def _keys(self, situation: Situation) -> tuple[tuple[KeyState, ...], list[str]]:
        """The keys in question in each Region: the incident's, or its tokens'; and which can't be asked."""
        services, unreached = self._services, list[str]()
        scope = situation.incident.scope
        names = [scope.key] if scope.key else self._of_tokens(scope.references)
        if not names:
            status = services.status.take_census(cancelled=situation.cancelled)
            names = [share.key_arn for share in status.keys if share.tokens and share.key_arn]
        found: dict[str, KeyState] = {}
        for name in names:
            try:
                found |= {state.key_arn: state for state in subject.everywhere(services.keys, name)}
            except KmsError as error:
                if len(names) == 1:
                    raise
                unreached.append(f"{name} can't be asked: {error}")
        unreached += subject.unasked(found.values())
        return tuple(state for state in found.values() if "state" not in state.missing), unreached

    @staticmethod
    def _is_platform(situation: Situation, workers: Workers, suspect: Suspect) -> bool:
        """True for who makes most data keys and did before, or if nothing is known of before.

        Where nobody is seen to make any: for who was there before, and uses the key most of those who were.
        """
        users, begin = workers.users, begin_of(situation.incident)
        user = users.get(suspect.arn)
        if user is None:
            return False
        before = [one for one in users.values() if one.first < begin]
        if not any(one.sealed for one in users.values()):
            return user in before and user.calls * 2 > sum(one.calls for one in before)
        if user.first_sealed is None:
            return False
        if before and user.first_sealed >= begin:
            return False
        return user.sealed * 2 > sum(one.sealed for one in users.values())

    def _sources(self, situation: Situation, workers: Workers, suspect: Suspect) -> tuple[str, ...]:
        """From where one worked long before the incident may have begun; nothing if not known of all.

        Who stole its credentials may have been there for hours when somebody noticed.
        """
        begin = begin_of(situation.incident).replace(microsecond=0)
        span = f"since:{(begin - SEEN_FOR).isoformat()} until:{begin.isoformat()} -failed"
        events, cancelled = self._services.events, situation.cancelled
        about = f"{term('principal', suspect.arn)} {term('source', 'kms.amazonaws.com')} {span}"
        found = events.tally(("ip", "endpoint"), about, limit=_MOST_ROWS, cancelled=cancelled)
        sources: dict[str, None] = {}
        for row in found.rows:
            address, endpoint = row.texts
            if row.first > begin - KNOWN_FOR:
                continue
            if not endpoint and not is_outside(address):
                return ()
            sources[endpoint or address] = None
        return tuple(sorted(sources)) if len(sources) <= MOST_SOURCES and not found.others else ()

    def _seen(
        self, situation: Situation, sight: _BlockSight, block: BlockStatement, since: datetime
    ) -> tuple[bool, str]:
        """Whether a call got through although it should be refused by now, and what is known, in words."""
        keys = dict.fromkeys(asked_as(state.key_arn) for state in sight.states)
        events, cancelled, start = self._services.events, situation.cancelled, since.replace(microsecond=0)
        who = term("principal", block.principal)
        used = f"{who} {term('key', *keys)} -failed since:{start.isoformat()}"
        found = events.tally(("ip", "endpoint"), used, limit=_MOST_ROWS, cancelled=cancelled)
        rows = [row for row in found.rows if not block.lets_in(*row.texts)]
        # A denied call does not say about which key it was.
        refused = f"{who} {term('source', 'kms.amazonaws.com')} error:AccessDenied since:{start.isoformat()}"
        denied = events.tally(("principal",), refused, limit=1, cancelled=cancelled).rows
        number = denied[0].events if denied else 0
        name = name_of(block.principal)
        last = max((row.last for row in rows), default=None)
        if found.others:
            return True, f"{name} called from more addresses since {in_utc(since)} than are looked at"
        if last is not None and last > since + _HOLDS_AFTER:
            calls = counted(sum(row.events for row in rows), "call")
            return True, f"{name} still gets in: {calls} since {in_utc(since)}, the last at {in_utc(last)}"
        words = (
            f"{name}: {counted(number, 'call')} refused since {in_utc(since)}, as far as events are fetched"
        )
        if last is not None:
            words += f"; the last that got through was at {in_utc(last)}"
        return False, words


def _source_field(number: int) -> str:
    return f"{ONLY_FROM}_{number + 1}" if number else ONLY_FROM


def _begun_at(situation: Situation) -> datetime | None:
    """When the suspects were blocked first, None while they were not."""
    begun = (v.begun_at for v in situation.steps if v.step.action is ActionKind.BLOCK_SUSPECTS and v.begun_at)
    return min(begun, default=None)


def _why_nobody(sight: _BlockSight) -> tuple[str, ...]:
    if sight.workers.suspects.found:
        return ()
    return ("Nobody is suspected as far as events are fetched. If you know better, enter the ARN.",)


def _unproved(arn: str) -> str:
    return (
        f"{arn}, a suspect that makes most data keys. Whether it is the platform's own is not known: no "
        "event of a day before is kept, or events were imported, which anybody may have made. Fetch older "
        "ones with: keydeck events pull. If you know that it is not the platform's, choose it."
    )


def _why_not(sight: _BlockSight, suspect: Suspect) -> str:
    if suspect.arn == sight.workers.responder:
        return f"{suspect.arn}: that is you."
    if suspect.arn in sight.unproved:
        return _unproved(suspect.arn)
    if suspect.arn in sight.own:
        return (
            f"{suspect.arn}, a suspect: it is the platform's own, and no address or VPC endpoint "
            "is named from which it works. Name them, or give the platform other credentials first."
        )
    return f"{suspect.arn}, a suspect: {'; '.join(suspect.why)}."
