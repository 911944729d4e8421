"""Who works with a key: by its policy and grants, and by the events that are kept.

Where a key policy names the account, IAM policies decide who of it may use the key: then only CloudTrail
tells who does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Event

from crypto_core.errors import TrailError
from crypto_core.findings.severity import Severity
from crypto_core.incidents.keys.dependencies import KeyDependencies
from crypto_core.key_names import is_multi_region
from crypto_core.keys.policy.access import Access
from crypto_core.keys.policy.least_privilege import Role, is_principal
from crypto_core.keys.replacement.access import USES
from crypto_core.keys.replacement.making import roles
from crypto_core.keys.state import KeyState
from crypto_core.text.cleaning import clean
from crypto_core.trail.rules.novelty import new_principal
from crypto_core.trail.use.asking import term

SEEN_FOR = timedelta(days=90)
"""How far back events are looked at: as far as LookupEvents reaches."""
_SEALING = ("Encrypt", "GenerateDataKey", "GenerateDataKeyWithoutPlaintext")
_OPENING = ("Decrypt", "ReEncrypt")
_SESSION = re.compile(r"arn:(aws[a-z-]*):sts::([0-9]{12}):assumed-role/([^/]+)/.+")


@dataclass(frozen=True, slots=True)
class Workers:
    """Who works with a key, as ARNs in an order that does not change with every call.

    `by_role` are those that its policy or a grant names plainly. `sealing` were seen to make data keys under
    it, `opening` only to open some. `others` may use it in another way, each in words and as a principal.
    """

    by_role: dict[Role, tuple[str, ...]] = field(default_factory=dict)
    sealing: tuple[str, ...] = ()
    opening: tuple[str, ...] = ()
    others: tuple[tuple[str, str], ...] = ()
    named: tuple[str, ...] = ()
    """All principals that its policy or a grant lets use it."""
    gaps: tuple[str, ...] = ()
    suspected: Mapping[str, str] = field(default_factory=dict)
    """Users of the key with a serious finding: its title by the principal's ARN."""
    strangers: frozenset[str] = frozenset()
    """Who of them never opened anything before."""

    @property
    def known(self) -> tuple[str, ...]:
        """All principals that may use it by name or did; some appear more than once."""
        return (*self.named, *self.sealing, *self.opening)

    def platform(self, responder: str) -> tuple[str, ...]:
        """Return who makes and opens data keys under it, but for operators and the responder.

        A stranger is not among them, unless the key's policy itself names it as the platform. Others who are
        suspected are: without its own principal the platform would go dark, which the operator decides.
        """
        working = dict.fromkeys(
            arn for role in (Role.OPERATOR, Role.RESPONDER) for arn in self.by_role.get(role, ())
        )
        sealing = (arn for arn in self.sealing if arn not in self.strangers)
        found = dict.fromkeys((*self.by_role.get(Role.PLATFORM, ()), *sealing))
        return tuple(arn for arn in found if arn not in working and arn != responder)


def workers_of(
    services: KeyDependencies,
    key: KeyState,
    accesses: Sequence[Access],
    since: datetime,
    cancelled: Event | None = None,
) -> Workers:
    """Return who works with a key. Blocks on the events' store; what that can't tell is a gap.

    Findings from `since` on tell who is suspected.
    """
    actions: dict[str, frozenset[str]] = {}
    others: dict[tuple[str, str], None] = {}
    named: dict[str, None] = {}
    for access in accesses:
        who = access.principal.value
        uses = any(action in access.actions for action in USES)
        if uses and not access.principal.is_gone and not access.all_but:
            named[who] = None
        plain = is_principal(who) and not (access.principal.is_account or access.all_but)
        if plain and not access.conditions:
            actions[who] = actions.get(who, frozenset()) | access.actions
        elif uses and not access.principal.is_gone:
            others[who, _in_words(access)] = None
    by_role: dict[Role, dict[str, None]] = {}
    for who, may in actions.items():
        for role in roles(may):
            by_role.setdefault(role, {})[who] = None
    sealing, opening, gaps = _seen(services, key, cancelled)
    suspected, strangers, unexamined = _suspected(services, since, cancelled)
    return Workers(
        {role: tuple(arns) for role, arns in by_role.items()},
        sealing,
        opening,
        tuple(others),
        tuple(named),
        (*gaps, *unexamined),
        {arn: title for arn, title in suspected.items() if arn in (*sealing, *opening)},
        strangers,
    )


def responder_of(identity: str, known: Iterable[str] = ()) -> str:
    """Return the ARN by which a policy names who works with Keydeck, "" where it can name nobody.

    STS leaves out the path that IAM has in a role's ARN: `known` are ARNs among which the whole one may be.
    """
    session = _SESSION.fullmatch(identity)
    if session is None:
        return identity if is_principal(identity) else ""
    partition, account, role = session.groups()
    prefix = f"arn:{partition}:iam::{account}:role/"
    for arn in known:
        if arn.startswith(prefix) and arn.rsplit("/", 1)[-1] == role:
            return arn
    return f"{prefix}{role}"


def _suspected(
    services: KeyDependencies, since: datetime, cancelled: Event | None
) -> tuple[dict[str, str], frozenset[str], tuple[str, ...]]:
    """Who has a grave finding since then, with its title; who is a stranger; and why that may not be all."""
    try:
        found = services.trail_rules.examine_events(since, None, cancelled).findings
    except TrailError as error:
        return {}, frozenset(), (clean(f"Whether one of them is suspected is not known: {error}", 600),)
    grave = (Severity.HIGH, Severity.CRITICAL)
    of_principals = [f for f in found if f.severity in grave and is_principal(f.subject)]
    strangers = frozenset(f.subject for f in of_principals if f.rule == new_principal.id)
    return {f.subject: f.title for f in of_principals}, strangers, ()


def _in_words(access: Access) -> str:
    who = access.principal.name
    who = f"everyone but {who}" if access.all_but else who
    what = " and ".join(action for action in USES if action in access.actions)
    source = f"grant {access.grant.grant_id}" if access.grant else access.statement
    return clean(f"{who} may {what} under the old key ({source})", 400)


def _seen(
    services: KeyDependencies, key: KeyState, cancelled: Event | None
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Who made data keys, who only opened some, and why that may not be all."""
    arns = dict.fromkeys((key.key_arn, key.primary_arn or key.key_arn, *key.replica_arns))
    ids = dict.fromkeys(arn.rsplit("/", 1)[-1] if is_multi_region(arn) else arn for arn in arns)
    since = (services.clock() - SEEN_FOR).replace(microsecond=0)
    asked = f"{term('key', *ids)} {term('name', *_SEALING, *_OPENING)} -failed since:{since.isoformat()}"
    try:
        found = services.events.tally(("principal", "name"), asked, limit=1_000, cancelled=cancelled)
    except TrailError as error:
        return (), (), (clean(f"Who used the key lately is not known: {error}", 600),)
    plain = [row.texts for row in found.rows if is_principal(row.texts[0])]
    sealing = {who for who, name in plain if name in _SEALING}
    opening = {who for who, _ in plain} - sealing
    gaps: tuple[str, ...] = ()
    if not found.rows:
        gaps = (
            (
                "No event about the key is kept: who uses it by IAM policies is not known. "
                "Fetch them first: keydeck events pull."
            ),
        )
    elif found.others:
        gaps = (f"{found.others:,} more principals used it than were looked at.",)
    return tuple(sorted(sealing)), tuple(sorted(opening)), gaps
