"""The key that replaces the old one: created for all of its users, or chosen.

Whoever is suspected must not get it too, so the platform's principals are entered, and whoever is left out is
named in the plan. A key that was made before a crash is found again by its description.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from crypto_core.guard.consent import Danger, require
from crypto_core.incidents.keys.bundle import Bundle, KeyAction, bundled, given_to, suspects_among
from crypto_core.incidents.keys.rotation.new_key import unfit
from crypto_core.incidents.keys.subject import (
    LEFT_OUT,
    NEW_KEY,
    PLATFORM_PRINCIPALS,
    entered,
    listed,
    old_key,
    remembered,
    required_principal,
    said,
)
from crypto_core.incidents.keys.workers import Workers, workers_of
from crypto_core.incidents.model import Incident
from crypto_core.incidents.steps.step_contracts import (
    ActionPlan,
    ActionResult,
    InputField,
    Progress,
    Situation,
    plan_digest,
)
from crypto_core.incidents.suspects import Suspect
from crypto_core.keys.changes.change import DEFAULT_PERIOD_DAYS, ChangeKind, KeyChange
from crypto_core.keys.policy.least_privilege import Role
from crypto_core.keys.replacement import USES
from crypto_core.keys.state import PENDING_DELETION, KeyState
from crypto_core.values.clean_text import clean
from crypto_core.values.errors import InvalidFieldError, KmsError
from crypto_core.values.key_names import short_key

NEW = "new"
KEY, ALIAS, PLATFORM = "key", "alias", "platform"
_TRIES = 20


def description_of(incident: Incident, old_arn: str) -> str:
    """Return the description of the key that is made for an incident: it is found again by it."""
    declared_at = incident.declared_at.astimezone(UTC)
    return f"Keydeck {incident.name} of {declared_at:%Y-%m-%dT%H:%M:%SZ}, in place of {old_arn}"


@dataclass(frozen=True, slots=True)
class _Sight:
    """What is asked before: the old key, who works with it, and the key that was made for this incident."""

    old: KeyState
    workers: Workers
    made: KeyState | None
    unknown: str = ""
    """Why who may use the old key is not known, "" if it is."""
    targets: tuple[KeyState, ...] = ()
    """The keys that could take its place."""

    def given_suspects(self, given: Mapping[Role, Sequence[str]]) -> tuple[Suspect, ...]:
        """Who of the suspects would get the new key."""
        return suspects_among(self.workers.suspects, (arn for arns in given.values() for arn in arns))


class MakingKey(KeyAction):
    """Makes or chooses the new key; becomes value `new_key`."""

    def fields(self, situation: Situation) -> tuple[InputField, ...]:
        """Return which key, and for a new one its alias and who makes and opens data keys under it."""
        sight = self._read_keys(situation)
        targets = [
            (state.key_arn, clean(f"{state.name} {short_key(state.key_arn)} in {state.region}", 200))
            for state in sight.targets
        ]
        made = sight.made.key_arn if sight.made is not None and sight.made.usable else ""
        proposed = sight.workers.platform
        return (
            InputField(
                KEY, "Which key takes its place", made or NEW, ((NEW, "a key that is made now"), *targets)
            ),
            InputField(ALIAS, "Alias of a new key", self._alias(situation, sight.old), required=False),
            InputField(
                PLATFORM,
                "Principals of a new key: calls, last use (UTC)",
                ", ".join(proposed),
                sight.workers.choices(),
                required=not proposed,
                several=True,
                suspects=sight.workers.suspects.arns,
            ),
        )

    def plan_action(self, situation: Situation) -> ActionPlan:
        """Return which key is made, for whom, and who is left out. Raises RefusedError, KmsError."""
        sight = self._read_keys(situation)
        chosen = entered(situation, KEY, NEW)
        if sight.made is not None and chosen in (NEW, sight.made.key_arn):
            return self._going_on(situation, sight, sight.made)
        if chosen != NEW:
            return self._choosing(situation, sight, chosen)
        return self._making(situation, sight)

    def run_action(
        self, situation: Situation, plan: ActionPlan, consent: Any, progress: Progress | None = None
    ) -> ActionResult:
        """Make the key, unless it was made meanwhile, and remember it. See IncidentAction.run_action."""
        bundle: Bundle = plan.inner
        if any(p.change.kind is ChangeKind.CREATE for p in bundle.plans):
            old = self._services.keys.describe(old_key(situation))
            made = self._made(situation.incident, old, self._services.keys.list())
            if made is not None:
                require(consent, plan)
                values = dict(bundle.values) | {NEW_KEY: made.key_arn}
                return ActionResult(True, (f"{made.key_arn} has been made for this by now.",), values)
        result, changes = self.run_changes(situation, plan, consent, progress)
        arn = next((c.key_arn for c in changes if c.key_arn), dict(bundle.values).get(NEW_KEY, ""))
        values = dict(result.values) | ({NEW_KEY: arn} if arn else {})
        lines = result.lines if changes else (f"{arn} is the new key of {situation.incident.name}.",)
        if arn and (others := self._services.trust(arn)):
            lines += (f"This console trusts it from now on. For every other process: {others}",)
        return ActionResult(result.complete, lines, values)

    def _making(self, situation: Situation, sight: _Sight) -> ActionPlan:
        old, given = sight.old, self._principals(situation, sight)
        left_out = _left_out(sight.workers, given)
        inner = self.plan_change(
            situation,
            KeyChange(
                ChangeKind.CREATE,
                period_days=old.rotation_period_days or DEFAULT_PERIOD_DAYS,
                alias=entered(situation, ALIAS, self._alias(situation, old)),
                description=description_of(situation.incident, old.key_arn),
                principals=given,
                blocks=sight.workers.blocks,
                multi_region=old.multi_region,
            ),
        )
        warnings = [*_warnings(sight, left_out)]
        if inner.region != old.region:
            warnings.append(
                f"It would be made in {inner.region}, the old key is in {old.region}: put {old.region} first "
                "in KEYDECK_REGIONS, or every reader must ask both."
            )
        others = [arn for arn in old.replica_arns if not old.is_replica]
        if others:
            warnings.append(
                "The old key has replicas, a new one has none: keydeck keys replicate, once it is made."
            )
        return bundled(
            inner.title,
            (inner,),
            does=(f"It takes the place of {old.name} ({old.key_arn}).",),
            does_not=("Moves no token, and does not touch the old key.",),
            warnings=warnings,
            values=_named(given, left_out),
            told=(LEFT_OUT, *left_out),
            suspects=sight.given_suspects(given),
        )

    def _going_on(self, situation: Situation, sight: _Sight, made: KeyState) -> ActionPlan:
        """What is left to do for the key that was made before."""
        alias = entered(situation, ALIAS, self._alias(situation, sight.old))
        plans = []
        if alias and not made.aliases:
            change = KeyChange(ChangeKind.POINT_ALIAS, key=made.key_arn, alias=alias)
            plans.append(self.plan_change(situation, change))
        given = self._principals(situation, sight)
        left_out = _left_out(sight.workers, given)
        return bundled(
            f"Take {made.name}, which was made for {situation.incident.name}",
            plans,
            does=(f"{made.key_arn} is {made.state}; no other key is made.",),
            warnings=_warnings(sight, left_out),
            values=((NEW_KEY, made.key_arn), *_named(given, left_out)),
            told=(made.key_arn, *given[Role.PLATFORM], LEFT_OUT, *left_out),
            suspects=sight.given_suspects(given),
        )

    def _choosing(self, situation: Situation, sight: _Sight, name: str) -> ActionPlan:
        key = self._services.keys.describe(name)
        old = sight.old
        why = unfit(key, old)
        if why or not key.usable:
            why = why or f"{key.name} is {key.state}: tokens need an enabled key."
            raise InvalidFieldError(why, field=KEY, remedy="Choose another one, or make a new one.")
        suspects = self._let_in(sight, key)
        names = " ".join(suspect.name for suspect in suspects)
        compared = self._services.rotation.access.compare_access(old.key_arn, key.key_arn)
        values = ((NEW_KEY, key.key_arn), (LEFT_OUT, ""))
        return ActionPlan(
            title=f"Take {key.name} in place of {old.name}",
            digest=plan_digest(
                "choose", situation.incident.id, old.key_arn, key.key_arn, *compared.losses, names
            ),
            danger=Danger.TYPED if suspects else Danger.CONFIRM,
            confirmation=names,
            does=(f"{key.key_arn} is remembered as the new key.",),
            does_not=("Changes nothing in AWS, and moves no token.",),
            warnings=said(
                [
                    *map(given_to, suspects),
                    *(f"Before the first token moves: {x}" for x in compared.losses),
                    *compared.notes,
                ]
            ),
            inner=Bundle((), values, suspects=names),
        )

    def _let_in(self, sight: _Sight, key: KeyState) -> tuple[Suspect, ...]:
        """Return the suspects that a key's policy and grants name as users.

        Raises RefusedError where nobody but them and who works with Keydeck may open, or seal, under it.
        """
        try:
            found = [a for a in self._services.policies.of(key).accesses if not a.principal.is_gone]
        except KmsError:
            return ()  # who may use it is not known, which the comparison of both keys says
        workers = sight.workers
        plain = {a.principal.value for a in found if any(u in a.actions for u in USES) and not a.all_but}
        suspects = suspects_among(workers.suspects, (who for who in plain if not who.endswith(":root")))
        working = {sight.workers.responder, *(one.arn for one in suspects)}
        working |= {arn for role in (Role.OPERATOR, Role.RESPONDER) for arn in workers.by_role.get(role, ())}
        for use, what in zip(USES, ("reader", "writer"), strict=True):
            if not any(use in a.actions and (a.all_but or a.principal.value not in working) for a in found):
                raise InvalidFieldError(
                    f"Under {key.name} the platform would have no {what}: nobody else may {use}.",
                    field=KEY,
                    remedy="Make a new key, or let the platform in first: keydeck keys put-policy "
                    f"{key.key_arn} FILE.",
                )
        return suspects

    def _principals(self, situation: Situation, sight: _Sight) -> Mapping[Role, tuple[str, ...]]:
        platform = listed(entered(situation, PLATFORM, ", ".join(sight.workers.platform)))
        for arn in platform:
            required_principal(arn, PLATFORM, or_account=True)
        if not platform:
            raise InvalidFieldError(
                "No principal would seal and open tokens under the new key: the platform would go dark.",
                field=PLATFORM,
                remedy=sight.workers.way_out(),
            )
        given = {**sight.workers.roles_of_others(), Role.PLATFORM: platform}
        responder = sight.workers.responder
        if responder and responder not in given.get(Role.RESPONDER, ()):
            given[Role.RESPONDER] = (*given.get(Role.RESPONDER, ()), responder)
        return given

    def _read_keys(self, situation: Situation) -> _Sight:
        old = self._services.keys.show(old_key(situation))
        why = ""
        try:
            found = [self._services.policies.of(old)]
        except KmsError as error:
            found, why = [], clean(error, 600)
        workers = workers_of(self._services, (old,), found, situation.incident, situation.cancelled)
        states = self._services.keys.list()
        return _Sight(
            old,
            workers,
            self._made(situation.incident, old, states),
            why,
            tuple(s for s in states if s.usable and not unfit(s, old)),
        )

    @staticmethod
    def _made(incident: Incident, old: KeyState, states: Iterable[KeyState]) -> KeyState | None:
        wanted = description_of(incident, old.key_arn)
        for state in states:
            if state.description == wanted and state.state not in PENDING_DELETION and not state.is_replica:
                return state
        return None

    def _alias(self, situation: Situation, old: KeyState) -> str:
        """An alias that is free, after the old key's."""
        base = old.aliases[0] if old.aliases else "alias/tokens"
        wanted = f"{base}-inc{situation.incident.id}"
        taken = {name for names in self._services.keys.known_aliases().values() for name in names}
        return next((w for w in (wanted, *(f"{wanted}-{n}" for n in range(2, _TRIES))) if w not in taken), "")


def _left_out(workers: Workers, given: Mapping[Role, Sequence[str]]) -> tuple[str, ...]:
    """Who uses the old key, or may, and gets nothing of the new one."""
    gets = {arn for arns in given.values() for arn in arns}
    who = dict.fromkeys((*workers.known, *(o for o, _ in workers.others)))
    return tuple(arn for arn in who if arn not in gets and "*" not in arn)


def _named(
    given: Mapping[Role, Sequence[str]], left_out: Sequence[str]
) -> tuple[tuple[str, str], tuple[str, str]]:
    """What later steps go by: who is the platform, and who is not."""
    return (PLATFORM_PRINCIPALS, remembered(given[Role.PLATFORM])), (LEFT_OUT, remembered(left_out))


def _warnings(sight: _Sight, left_out: Sequence[str]) -> list[str]:
    workers = sight.workers
    told = [f"Who may use the old key is not known: {sight.unknown}"] if sight.unknown else []
    told += workers.gaps
    told += [
        f"{arn} was not seen to make data keys. It is taken for the platform because it opened them on "
        f"{workers.days[arn]} days before the incident, and hardly anybody else did."
        for arn in workers.platform
        if arn in workers.days and arn not in left_out
    ]
    told += [
        f"Gets nothing, a suspect: {suspect.arn}. {'; '.join(suspect.why)}."
        for suspect in workers.suspects.found
        if suspect.arn in left_out
    ]
    for arn in left_out:
        if arn in workers.users:
            told.append(f"Loses access: {arn}, which used the old key in the last 90 days.")
        elif not any(arn == who for who, _ in workers.others):
            told.append(f"Loses access: {arn}, which may use the old key.")
    told += [f"Not so under the new key: {words}." for who, words in workers.others if who in left_out]
    if not workers.responder:
        told.append("You are not among those who may use it: no policy can name who you are.")
    return told
