"""Facts from what the services return: everything that no control asks about is left out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

from crypto_core.compliance import facts
from crypto_core.compliance.change_reader import policy_digest
from crypto_core.compliance.facts import MaterialFact
from crypto_core.compliance.journal_changes import without_rows
from crypto_core.database.state.journal_verification import JournalCheck
from crypto_core.findings.finding import Finding, Gap
from crypto_core.findings.registry import Facts as RuleFacts
from crypto_core.findings.registry import rules_about
from crypto_core.incidents.model import IncidentView
from crypto_core.incidents.people import IncidentRole
from crypto_core.incidents.runbooks.catalogue import SubjectKind
from crypto_core.incidents.runbooks.runbook import Runbook
from crypto_core.incidents.times import times_of
from crypto_core.keys.policy.access import Access
from crypto_core.keys.policy.policy_reader import KeyPolicy
from crypto_core.keys.state import PENDING_DELETION, KeyMaterial, KeyState
from crypto_core.keys.status import ProblemKind, Status
from crypto_core.trail.store.suppressions import Suppressed
from crypto_core.values.clean_text import NO_TEXT, CleanText, clean
from crypto_core.values.errors import KmsError
from crypto_core.values.key_names import account_of, same_key

PRE_ACTIVE, ACTIVE, SUSPENDED = clean("pre-active"), clean("active"), clean("suspended")
DEACTIVATED, COMPROMISED, DESTROYED = clean("deactivated"), clean("compromised"), clean("destroyed")

OF_KEYS = {
    "Creating": PRE_ACTIVE,
    "PendingImport": PRE_ACTIVE,
    "Disabled": SUSPENDED,
    "Unavailable": SUSPENDED,
    **dict.fromkeys(PENDING_DELETION, SUSPENDED),
}
"""States by NIST SP 800-57 part 1 revision 5, section 7, as far as KMS's words tell.

KMS Developer Guide, "Key states of AWS KMS keys". Of others the material decides: KMS encrypts with the
newest one, and older ones only decrypt: deactivated, in the standard's words. That one is compromised is what
an incident says, never KMS.
"""


def materials_of(
    state: KeyState, status: Status | None, compromised_at: Iterable[datetime] = ()
) -> tuple[MaterialFact, ...]:
    """Return a key's materials with the tokens under each; without a census these are None.

    `compromised_at` is when incidents about a compromise of the key were declared.
    """
    shares = status.shares_under(state.key_arn) if status else ()
    last = max(compromised_at, default=None)
    return tuple(
        MaterialFact(
            id=clean(one.key_material_id),
            state=one.state,
            since=one.since,
            tokens=sum(share.tokens for share in shares if share.key_material_id == one.key_material_id)
            if status
            else None,
            standing=_standing(state, one, last),
        )
        for one in state.materials
    )


def _standing(state: KeyState, material: KeyMaterial, compromised_at: datetime | None) -> CleanText:
    if compromised_at is not None and (material.since is None or material.since <= compromised_at):
        return COMPROMISED
    if material.import_state == "PENDING_IMPORT":
        return DESTROYED
    told = str(material.state or "")
    if told.startswith("PENDING"):
        return PRE_ACTIVE
    if (of_key := OF_KEYS.get(str(state.state))) is not None:
        return of_key
    if state.state is None:
        return clean("")
    newest = material.key_material_id == (state.current_material_id or state.materials[-1].key_material_id)
    return ACTIVE if told == "CURRENT" or (not told and newest) else DEACTIVATED


def token_facts(status: Status) -> facts.TokenFacts:
    guards = {str(guard.column): guard.state for guard in status.guards}
    return facts.TokenFacts(
        tokens=status.tokens,
        protected=status.protected,
        by_format={kind.value: number for kind, number in status.by_format.items()},
        columns=tuple(
            facts.ColumnFact(
                clean(share.column),
                share.tokens,
                {kind.value: number for kind, number in share.by_format.items()},
                guards.get(share.column),
            )
            for share in status.by_column
        ),
        problems=tuple(
            facts.ProblemFact(
                ProblemKind(one.rule),
                one.severity,
                clean(one.title),
                without_rows(one.evidence),
                one.tokens,
                clean(one.subject),
            )
            for one in status.problems
        ),
        gaps=tuple(clean(reason, 600) for reason in status.coverage.reasons),
        swept=status.sweep is not None,
    )


def finding_facts(
    asked: Sequence[RuleFacts], findings: Iterable[Finding], hidden: Iterable[Suppressed], gaps: Iterable[Gap]
) -> facts.FindingFacts:
    """Return what rules said of `asked`, suppressed findings among it."""
    told = [(finding, "") for finding in findings]
    told += [
        (one.finding, f"until {one.by.until:%Y-%m-%d} by {one.by.by}: {one.by.reason}") for one in hidden
    ]
    return facts.FindingFacts(
        rules=tuple(clean(rule.id) for rule in rules_about(*asked)),
        findings=tuple(
            facts.FindingFact(
                clean(one.rule),
                one.severity,
                without_rows(one.subject),
                without_rows(one.title),
                one.first_at,
                without_rows(why),
            )
            for one, why in told
        ),
        gaps=tuple(dict.fromkeys(clean(gap.reason, 600) for gap in gaps)),
    )


def guarding_keys(
    states: Iterable[KeyState], status: Status | None, write_key: str | None, write_arn: str
) -> tuple[KeyState, ...]:
    """Return the keys that tokens are under, or that are written under; without a census the latter alone."""
    under = [share.key_arn for share in status.keys if share.key_arn and share.tokens] if status else []
    wanted = [*under, *([write_arn] if write_key and write_arn else [])]
    return tuple(state for state in states if any(same_key(state.key_arn, arn) for arn in wanted))


def key_facts(
    state: KeyState,
    status: Status | None,
    write_arn: str,
    *,
    policy: str = "",
    compromised_at: Iterable[datetime] = (),
) -> facts.KeyFact:
    """Return what is known of a key, and of the materials that tokens are under.

    `policy` is its own, "" where it wasn't read; `compromised_at` is when incidents about it were declared.
    """
    shares = status.shares_under(state.key_arn) if status else ()
    used = {share.key_material_id for share in shares if share.tokens}
    since = [material.since for material in state.materials if material.key_material_id in used]
    known = [moment for moment in since if moment is not None]
    return facts.KeyFact(
        arn=clean(state.key_arn),
        name=clean(state.name),
        state=state.state,
        spec=state.spec,
        origin=state.origin,
        manager=state.manager,
        rotates=state.rotation_enabled if state.rotatable else state.rotation_enabled or False,
        rotation_days=state.rotation_period_days,
        oldest_in_use=min(known) if known and len(known) == len(since) == len(used) else None,
        tokens=sum(share.tokens for share in shares) if status else None,
        writes=(writes := bool(write_arn) and same_key(state.key_arn, write_arn)),
        missing={part: clean(why, 600) for part, why in state.missing.items()},
        purpose=clean("data keys of tokens" if writes else "data keys of tokens, of earlier writes alone"),
        owner=next((value for name, value in state.tags.items() if name.lower() == "owner"), NO_TEXT),
        usage=state.usage,
        created_at=state.created_at,
        deletion_at=state.deletion_at,
        last_used_at=state.last_used_at,
        policy_sha256=clean(policy and policy_digest(policy)),
        materials=materials_of(state, status, compromised_at),
    )


def compromises(views: Iterable[IncidentView], state: KeyState) -> tuple[datetime, ...]:
    """Return when incidents were declared that say that a key is compromised.

    Those that are closed count where the key is not in use any more: else its compromise was not confirmed.
    """
    return tuple(
        view.incident.declared_at
        for view in views
        if view.runbook.subject is SubjectKind.KEY
        and view.incident.scope.key
        and same_key(view.incident.scope.key, state.key_arn)
        and (view.incident.closed_at is None or not state.usable)
    )


def access_facts(states: Sequence[KeyState], policy_of: Callable[[KeyState], KeyPolicy]) -> facts.AccessFacts:
    """Return who may use these keys, by policies and grants; what may not be read is a gap."""
    accesses: list[facts.AccessFact] = []
    gaps: list[str] = []
    for state in states:
        try:
            policy = policy_of(state)
        except KmsError as error:
            gaps.append(f"{state.name}: policy: {error.why}")
            continue
        accesses += [_access(state, one) for one in policy.accesses]
        gaps += [f"{state.name}: {part}: {why}" for part, why in policy.missing.items()]
    names = tuple(clean(state.name) for state in states)
    return facts.AccessFacts(names, tuple(accesses), tuple(clean(gap, 600) for gap in gaps))


def _access(state: KeyState, access: Access) -> facts.AccessFact:
    by = f"grant {access.grant.grant_id[:8]}" if access.grant else access.statement
    return facts.AccessFact(
        key=clean(state.name),
        who=clean(access.seen_from(account_of(state.key_arn))),
        actions=tuple(clean(action) for action in sorted(access.actions)),
        by=clean(by),
        delegated=access.principal.is_account and not access.all_but,
    )


def journal_facts(found: JournalCheck, *, signs: bool, places: int) -> facts.JournalFacts:
    return facts.JournalFacts(
        entries=found.entries,
        problems=tuple(clean(problem, 600) for problem in found.problems),
        acknowledged=tuple(clean(problem, 600) for problem in found.acknowledged),
        signs=signs,
        checkpoints=found.checkpoints,
        anchored=found.anchored,
        anchored_at=found.anchored_at,
        unchecked=clean(found.unchecked, 600),
        outside=max((one.seq for one in found.outside), default=0),
        places=places,
    )


def incident_facts(
    views: Iterable[IncidentView], runbooks: Iterable[Runbook], troubles: Iterable[str], now: datetime
) -> facts.IncidentFacts:
    return facts.IncidentFacts(
        tuple(_incident(view, now) for view in views),
        tuple(dict.fromkeys(one.subject for one in runbooks)),
        tuple(clean(trouble, 600) for trouble in troubles),
    )


def _incident(view: IncidentView, now: datetime) -> facts.IncidentFact:
    contain = times_of(view, now).contain
    return facts.IncidentFact(
        name=clean(view.incident.name),
        runbook=view.runbook.id,
        declared_at=view.incident.declared_at,
        closed_at=view.incident.closed_at,
        contained_seconds=contain.seconds,
        contained_in_time=contain.within,
        lead=bool(view.people.who(IncidentRole.LEAD)),
        follow_ups=len(view.people.follow_ups),
        overdue=sum(one.overdue(now.date()) for one in view.people.follow_ups),
        budget_seconds=contain.budget_seconds,
        unread=view.unread or None,
    )
