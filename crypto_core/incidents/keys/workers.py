"""Who works with a key: by its policy and grants, and by the events that are kept.

Where a key policy names the account, IAM policies decide who of it may use the key: then only CloudTrail
tells who does.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from threading import Event

from crypto_core.incidents.event_fetch import begin_of
from crypto_core.incidents.key_users import KeyUser, days_of_use, key_users, responder_of
from crypto_core.incidents.keys.rotation.new_key import by_role, named_plainly
from crypto_core.incidents.keys.subject import BLOCKED
from crypto_core.incidents.keys.subject import listed as listed_values
from crypto_core.incidents.model import Incident
from crypto_core.incidents.suspects import Suspects
from crypto_core.incidents.tool_services import ToolServices
from crypto_core.keys.policy.access import Access
from crypto_core.keys.policy.block_statement import BlockStatement, stands
from crypto_core.keys.policy.least_privilege import Role, is_principal
from crypto_core.keys.policy.policy_reader import KeyPolicy
from crypto_core.keys.principals import is_service_linked
from crypto_core.keys.replacement import USES
from crypto_core.keys.state import KeyState
from crypto_core.trail.rules.rule_context import name_of
from crypto_core.values.clean_text import clean
from crypto_core.values.counts import listed
from crypto_core.values.errors import KmsError, TrailError


class RoleGuess(StrEnum):
    """What a principal seems to be to a key. Suspects stand first, then who is proposed for what."""

    SUSPECT = "suspect"
    WRITER = "platform writer"
    READER = "platform reader"
    RESPONDER = "responder"
    UNKNOWN = "unknown"


_GUESSES = tuple(RoleGuess)
_MOST_NAME = 28
_MOST_COUNTED = 100
"""So many users at most are asked about day by day."""


@dataclass(frozen=True, slots=True)
class Workers:
    """Who works with a key, as ARNs in an order that does not change with every call.

    `by_role` are those that its policy or a grant names plainly, `users` those that were seen to use it, by
    ARN. `others` may use it in another way, each in words and as a principal.
    """

    by_role: dict[Role, tuple[str, ...]] = field(default_factory=dict)
    users: Mapping[str, KeyUser] = field(default_factory=dict)
    others: tuple[tuple[str, str], ...] = ()
    named: tuple[str, ...] = ()
    """All principals that its policy or a grant lets use it."""
    may_seal: frozenset[str] = frozenset()
    """Who of those that its policy names plainly may make data keys."""
    gaps: tuple[str, ...] = ()
    suspects: Suspects = field(default_factory=Suspects)
    """But for those that are refused from anywhere but where the platform works."""
    accused: Suspects = field(default_factory=Suspects)
    """All suspects."""
    blocks: tuple[BlockStatement, ...] = ()
    """Who was blocked for the incident, and still is, by the keys' policies."""
    responder: str = ""
    """By which ARN a policy names who works with Keydeck; "" if it can name nobody, or that is not known."""
    days: Mapping[str, int] = field(default_factory=dict)
    """On how many days before the incident each opened data keys; empty where the platform shows anyway."""

    @property
    def known(self) -> tuple[str, ...]:
        """All principals that may use it by name or did; some appear more than once."""
        return (*self.named, *self.users)

    @property
    def platform(self) -> tuple[str, ...]:
        """Who makes and opens data keys under it, but for operators, the responder, suspects and AWS's roles.

        Where nobody is known to make any, it is `steady_user`.
        The platform's own principal may be a suspect: what would leave the platform without one is refused
        until the operator names it.
        """
        working = {
            self.responder,
            *(arn for role in (Role.OPERATOR, Role.RESPONDER) for arn in self.by_role.get(role, ())),
        }
        sealing = (arn for arn, user in self.users.items() if user.sealed)
        found = dict.fromkeys((*self.by_role.get(Role.PLATFORM, ()), *sealing))
        others = (arn for arn in found if arn not in working and not is_service_linked(arn))
        left = self.suspects.without(others)
        steady = "" if left else self.steady_user(working)
        return (steady,) if steady else left

    def steady_user(self, working: Collection[str]) -> str:
        """Return who opened data keys day by day before the incident, while hardly anybody else did.

        On three days at least, three times as many as anybody else but suspects and who is `working` with
        Keydeck, and twice as many as any suspect: the platform may be one. "" for nobody.
        """
        others = {
            arn: n
            for arn in self.suspects.without(self.days)
            if (n := self.days[arn]) and arn not in working and not is_service_linked(arn)
        }
        steady = max(others, key=lambda arn: others[arn], default="")
        suspected = max((n for arn, n in self.days.items() if self.suspects.named(arn)), default=0)
        second = max((days for arn, days in others.items() if arn != steady), default=0)
        least = max(3, 3 * second, 2 * suspected)
        return steady if others.get(steady, 0) >= least else ""

    def way_out(self) -> str:
        """Return what to do where nobody is proposed as the platform."""
        writers = [one.name for one in self.suspects.found if (u := self.users.get(one.arn)) and u.sealed]
        if writers:
            return (
                f"Suspects are not proposed: {listed(writers, 5)} made data keys under the key. Choose the "
                "platform's own principal all the same: its name is then typed."
            )
        return "Name the platform's role as arn:aws:iam::123456789012:role/name."

    def roles_of_others(self) -> dict[Role, tuple[str, ...]]:
        """Return whom its policy names plainly, by role, without suspects but for the responder."""
        return {
            role: tuple(arn for arn in arns if arn == self.responder or self.suspects.without((arn,)))
            for role, arns in self.by_role.items()
        }

    def guess(self, arn: str) -> RoleGuess:
        if self.suspects.named(arn) is not None:
            return RoleGuess.SUSPECT
        working = (*self.by_role.get(Role.OPERATOR, ()), *self.by_role.get(Role.RESPONDER, ()))
        if arn == self.responder or arn in working:
            return RoleGuess.RESPONDER
        user = self.users.get(arn)
        if user is not None and user.sealed:
            return RoleGuess.WRITER
        if arn in self.by_role.get(Role.PLATFORM, ()):
            seals = user is None and arn in self.may_seal
            return RoleGuess.WRITER if seals else RoleGuess.READER
        return RoleGuess.READER if user is not None else RoleGuess.UNKNOWN

    def choices(self, also: Iterable[str] = ()) -> tuple[tuple[str, str], ...]:
        """Return the principals to choose from, suspects first, each with its calls and last use, in UTC.

        `also` are further ones, such as were chosen before. Accounts are not among them: an account lets all
        of its principals in.
        """
        suspects = (suspect.arn for suspect in self.suspects.found)
        found = dict.fromkeys((*suspects, *self.users, *self.named, *also))
        rows = [(arn, self.guess(arn)) for arn in found if is_principal(arn) and not arn.endswith(":root")]
        rows.sort(key=lambda row: _GUESSES.index(row[1]))
        width = min(max((len(name_of(arn)) for arn, _ in rows), default=0), _MOST_NAME)
        return tuple((arn, self._in_words(arn, guess, width)) for arn, guess in rows)

    def _in_words(self, arn: str, guess: RoleGuess, width: int) -> str:
        suspect, user = self.suspects.named(arn), self.users.get(arn)
        seen = user or suspect
        use = "not seen"
        if seen is not None and seen.last is not None:
            use = f"{seen.calls:>6,} {seen.last:%d %b %H:%M}"
        why = f"  {suspect.why[0]}" if suspect is not None else ""
        return clean(f"{name_of(arn):<{width}}  {guess.value:<15} {use}{why}", 300)


def workers_of(
    services: ToolServices,
    keys: Sequence[KeyState],
    policies: Sequence[KeyPolicy],
    incident: Incident,
    cancelled: Event | None = None,
) -> Workers:
    """Return who works with an incident's key, or several. Blocks on the events' store; its gaps are kept."""
    accesses = [access for policy in policies for access in policy.accesses]
    actions, others = named_plainly(accesses)
    named = dict.fromkeys(
        access.principal.value
        for access in accesses
        if any(action in access.actions for action in USES)
        and not (access.principal.is_gone or access.all_but)
    )
    users, gaps = _seen(services, keys, cancelled)
    accused = services.suspects.suspects_of(incident, cancelled)
    # What an incident remembers counts only as long as the keys say the same.
    blocks = [b for b in blocks_of(incident) if policies and all(stands(p.document, b) for p in policies)]
    limited = {block.principal for block in blocks if block.only_from}
    suspects = replace(accused, found=tuple(one for one in accused.found if one.arn not in limited))
    workers = Workers(
        by_role(actions),
        users,
        tuple(dict.fromkeys((access.principal.value, _in_words(access)) for access in others)),
        tuple(named),
        frozenset(arn for arn, may in actions.items() if "GenerateDataKey" in may),
        (*gaps, *suspects.gaps),
        suspects,
        accused,
        tuple(blocks),
    )
    try:
        workers = replace(workers, responder=responder_of(services.identity(), workers.known))
    except KmsError as error:
        workers = replace(workers, gaps=(*workers.gaps, f"Who you are is not known: {clean(error, 300)}"))
    if workers.platform or len(users) > _MOST_COUNTED:
        return workers
    try:
        days = days_of_use(services.events, _arns(keys), users, begin_of(incident), cancelled)
    except TrailError as error:
        return replace(
            workers, gaps=(*workers.gaps, clean(f"Who used the key before is not known: {error}", 600))
        )
    return replace(workers, days=days)


def blocks_of(incident: Incident) -> tuple[BlockStatement, ...]:
    """Return who was blocked on the old key for an incident, as was agreed to."""
    return tuple(map(BlockStatement.read, listed_values(incident.values.get(BLOCKED, ""))))


def _in_words(access: Access) -> str:
    who = access.principal.name
    who = f"everyone but {who}" if access.all_but else who
    what = " and ".join(action for action in USES if action in access.actions)
    source = f"grant {access.grant.grant_id}" if access.grant else access.statement
    return clean(f"{who} may {what} under the old key ({source})", 400)


def _seen(
    services: ToolServices, keys: Sequence[KeyState], cancelled: Event | None
) -> tuple[Mapping[str, KeyUser], tuple[str, ...]]:
    """Who used the keys lately, and why that may not be all."""
    try:
        found = key_users(services.events, _arns(keys), services.clock(), cancelled)
    except TrailError as error:
        return {}, (clean(f"Who used the key lately is not known: {error}", 600),)
    gaps: tuple[str, ...] = ()
    if not found.events:
        gaps = (
            (
                "No event about the key is kept: who uses it by IAM policies is not known. "
                "Fetch them first: keydeck events pull."
            ),
        )
    elif found.others:
        gaps = (f"{found.others:,} more principals used it than were looked at.",)
    return found.by_arn, gaps


def _arns(keys: Sequence[KeyState]) -> tuple[str, ...]:
    """The keys with their primaries and replicas, each once."""
    return tuple(
        dict.fromkeys(
            arn for key in keys for arn in (key.key_arn, key.primary_arn or key.key_arn, *key.replica_arns)
        )
    )
