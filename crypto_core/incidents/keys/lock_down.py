"""Locking the old key down: nothing is sealed under it any more, and only named principals open the rest.

Tokens that are still under it must stay readable for the platform until they are moved, so it may keep
Decrypt till then. AWS KMS Developer Guide, "Key policies", "Grants in AWS KMS".
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from crypto_core.incidents.keys.bundle import KeyAction, bundled, suspects_among
from crypto_core.incidents.keys.subject import (
    LEFT_OUT,
    PLATFORM_PRINCIPALS,
    READERS,
    RESPONDER,
    entered,
    everywhere,
    listed,
    old_key,
    remembered,
    required_principal,
    unasked,
)
from crypto_core.incidents.keys.workers import Workers, workers_of
from crypto_core.incidents.steps.step_contracts import ActionPlan, InputField, Situation
from crypto_core.keys.changes.change import ChangeKind, KeyChange
from crypto_core.keys.changes.key_reader import proven_at_risk
from crypto_core.keys.changes.plan import ChangePlan
from crypto_core.keys.grants import Grant
from crypto_core.keys.policy.access import accesses
from crypto_core.keys.policy.actions import POWERS, Power
from crypto_core.keys.policy.conditions import narrowings
from crypto_core.keys.policy.document import PolicyDocument, Statement, parse_policy
from crypto_core.keys.policy.least_privilege import NEEDS, Role
from crypto_core.keys.policy.policy_reader import KeyPolicy
from crypto_core.keys.principals import PolicyPrincipal
from crypto_core.keys.state import KeyState
from crypto_core.values.errors import DatabaseError, InvalidFieldError

PLATFORM, GRANTS = "platform", "grants"
YES, NO = "yes", "no"
REVOKE, KEEP = "revoke", "keep"


@dataclass(frozen=True, slots=True)
class _LockDownSight:
    states: tuple[KeyState, ...]
    policies: Mapping[str, KeyPolicy]
    readers: tuple[str, ...]
    """Who makes and opens data keys under it, as far as that is known."""
    gaps: tuple[str, ...]
    workers: Workers

    def grants(self) -> Iterator[tuple[KeyState, Grant]]:
        """The grants that allow opening or sealing, with their keys."""
        for state in self.states:
            for grant in self.policies[state.key_arn].grants:
                if USES & set(grant.operations):
                    yield state, grant


class LockingKey(KeyAction):
    """Puts the policy, and revokes the grants, in each Region of the key."""

    def fields(self, situation: Situation) -> tuple[InputField, ...]:
        """Return who goes on opening what is under the key."""
        sight = self._read_key(situation)
        number = len([*sight.grants()])
        grants = (
            InputField(
                GRANTS,
                f"{number:,} {'grant lets' if number == 1 else 'grants let'} somebody use the key",
                REVOKE,
                ((REVOKE, "revoke them"), (KEEP, "leave them, and name them")),
            ),
        )
        return (
            InputField(
                RESPONDER,
                "Who opens what is under the key: one, such as you",
                sight.workers.responder,
                sight.workers.choices((sight.workers.responder,)),
                several=True,
                suspects=sight.workers.suspects.arns,
            ),
            InputField(
                PLATFORM,
                "Tokens that are still under the key",
                self._default(situation),
                ((YES, "the platform keeps reading until they are moved"), (NO, "nobody but the responder")),
            ),
            InputField(
                READERS,
                "The platform's readers: calls, last use (UTC)",
                ", ".join(sight.readers),
                sight.workers.choices(sight.readers),
                required=False,
                several=True,
                suspects=sight.workers.suspects.arns,
            ),
            *(grants if number else ()),
        )

    def plan_action(self, situation: Situation) -> ActionPlan:
        """Return the policy that is put and the grants that are revoked. Raises RefusedError, KmsError."""
        sight = self._read_key(situation)
        responder = _responder(entered(situation, RESPONDER, sight.workers.responder))
        keeps = entered(situation, PLATFORM) or self._default(situation)
        wanted = listed(entered(situation, READERS, ", ".join(sight.readers))) if keeps != NO else ()
        readers = tuple(
            required_principal(arn, READERS, ", for the platform") for arn in wanted if arn != responder
        )
        revokes = (entered(situation, GRANTS) or REVOKE) != KEEP
        plans: list[ChangePlan] = []
        warnings: list[str] = [*sight.gaps]
        suspects = suspects_among(sight.workers.suspects, (responder, *readers))
        if keeps != NO and not readers:
            if self._default(situation) != NO:
                raise InvalidFieldError(
                    "No reader of the platform is named: it could not open the tokens under the key.",
                    field=READERS,
                    remedy=f"{sight.workers.way_out()} Or decide that nobody but the responder reads.",
                )
            warnings.append("No platform reader is named: the platform can't open anything under the key.")
        warnings += [
            f"{arn} keeps Decrypt. Is it beyond suspicion?"
            for arn in readers
            if sight.workers.suspects.named(arn) is None
        ]
        for state in sight.states:
            policy = self._policy(sight, state, responder, readers, warnings)
            put = KeyChange(ChangeKind.PUT_POLICY, key=state.key_arn, policy=policy)
            plans.append(self.plan_change(situation, put))
        for state, grant in sight.grants():
            if not revokes:
                warnings.append(
                    f"Grant {grant.grant_id} goes on letting {grant.grantee.name} use the key. Revoke it "
                    f"with: keydeck keys revoke-grant {state.key_arn} {grant.argument}"
                )
                continue
            if grant.grantee.kind == "Service":
                warnings.append(
                    f"Grant {grant.grant_id} is of the AWS service {grant.grantee.name}: what it keeps under "
                    "the key, such as a volume, stops working."
                )
            revoke = KeyChange(ChangeKind.REVOKE_GRANT, key=state.key_arn, grant_id=grant.grant_id)
            plans.append(self.plan_change(situation, revoke))
        return bundled(
            f"Lock {sight.states[0].name} down",
            plans,
            does=(
                f"Only {responder} opens what is under the key"
                + (f", and until the tokens are moved {', '.join(readers)}." if readers else "."),
                "Nothing can be sealed under it any more.",
            ),
            does_not=("Re-encrypts nothing: a leaked data key opens its token until that is done.",),
            warnings=warnings,
            values=((RESPONDER, responder), (READERS, remembered(readers))),
            told=() if len(plans) == 1 else (responder, *readers),
            suspects=suspects,
        )

    @staticmethod
    def _policy(
        sight: _LockDownSight, state: KeyState, responder: str, readers: tuple[str, ...], warnings: list[str]
    ) -> str:
        now = sight.policies[state.key_arn].document
        locked = locked_policy(now, state.key_arn, responder, readers)
        warnings += [f"{state.name} in {state.region}: {words}." for words in locked.dropped]
        for who in locked.administrators:
            warnings.append(f"{who} may still change the policy. Make sure that no suspect is part of it.")
        return json.dumps(locked.raw)

    def _default(self, situation: Situation) -> str:
        """Whether the platform keeps reading: as long as there may be something under the key."""
        arn = self._services.keys.describe(old_key(situation)).key_arn
        try:
            proof = self._services.status.prove(in_full=True, cancelled=situation.cancelled)
        except DatabaseError:
            return YES
        return NO if proven_at_risk(proof, arn, None).none else YES

    def _read_key(self, situation: Situation) -> _LockDownSight:
        found = everywhere(self._services.keys, old_key(situation))
        policies, gaps = {}, [f"Not locked down: {why}" for why in unasked(found)]
        states = tuple(state for state in found if "state" not in state.missing)
        for state in states:
            policy = policies[state.key_arn] = self._services.policies.of(state)
            gaps += [f"{part.capitalize()} of {state.key_arn}: {why}" for part, why in policy.missing.items()]
        first = (policies[states[0].key_arn],)
        workers = workers_of(self._services, states[:1], first, situation.incident, situation.cancelled)
        # Who was left out of the new key is suspected, or not of the platform. What was chosen then is kept:
        # a suspect among those was typed, and is typed again.
        values = situation.incident.values
        but = {workers.responder, *listed(values.get(LEFT_OUT, ""))}
        told = [arn for name in (READERS, PLATFORM_PRINCIPALS) for arn in listed(values.get(name, ""))]
        seen = [arn for arn in workers.platform if arn not in but]
        readers = dict.fromkeys(arn for arn in (*told, *seen) if not arn.endswith(":root"))
        return _LockDownSight(
            states,
            policies,
            tuple(arn for arn in readers if arn != workers.responder),
            (*gaps, *workers.gaps),
            workers,
        )


def _responder(text: str) -> str:
    chosen = listed(text)
    if len(chosen) > 1:
        raise InvalidFieldError(
            f"{len(chosen):,} principals are chosen: one alone opens what is under the key.",
            field=RESPONDER,
            remedy="Choose one; who reads for the platform is named below.",
        )
    return required_principal("".join(chosen), RESPONDER, ", for the responder")


ADMINISTERS = NEEDS[Role.ADMINISTRATOR] - {"ReplicateKey"}
"""What is left to those who administer the key: a replica would have a policy of its own."""
USES = frozenset(a for a, power in POWERS.items() if power in (Power.OPEN, Power.SEAL)) | {
    "CreateGrant",
    "ReplicateKey",
}
"""What opens or seals data keys, or gives others that."""
READS = ("kms:Decrypt", "kms:DescribeKey")

_RESPONDER = "KeydeckLockdownResponderOpens"
_READERS = "KeydeckLockdownReadersUntilMoved"
_ACCOUNT = "KeydeckLockdownAccountAdministers"
_OURS = (_RESPONDER, _READERS, _ACCOUNT)


@dataclass(frozen=True, slots=True)
class LockedPolicy:
    """The policy, and the dropped parts of the old one in words."""

    raw: dict[str, Any]
    dropped: tuple[str, ...] = ()
    administrators: tuple[str, ...] = ()
    """Who may put another policy, in words."""


def locked_policy(
    now: PolicyDocument, key_arn: str, responder: str, readers: Sequence[str] = ()
) -> LockedPolicy:
    """Return what becomes of a key's policy. `responder` and `readers` are ARNs that may open data keys."""
    statements: list[dict[str, Any]] = []
    dropped: list[str] = []
    raws = now.raw.get("Statement")
    for number, (statement, raw) in enumerate(
        zip(now.statements, raws if isinstance(raws, list) else [raws], strict=True), start=1
    ):
        if statement.sid in _OURS:
            continue
        kept = _kept(statement, dict(raw), now)
        if kept is not None:
            statements.append(kept)
        elif statement.allows:
            dropped.append(f"{statement.sid or f'statement {number}'} is dropped")
    document = {"Version": now.raw.get("Version", "2012-10-17"), "Statement": statements}
    if not statements or not _administrators(document, key_arn):
        statements.append(_allow(_ACCOUNT, (_root(key_arn),), (f"kms:{a}" for a in sorted(ADMINISTERS))))
    looks = (f"kms:{action}" for action in sorted(NEEDS[Role.INSPECTOR]))
    statements.append(_allow(_RESPONDER, (responder,), ("kms:Decrypt", *looks)))
    if readers:
        statements.append(_allow(_READERS, readers, READS))
    if "Id" in now.raw:
        document["Id"] = now.raw["Id"]
    return LockedPolicy(document, tuple(dropped), _administrators(document, key_arn))


def _kept(statement: Statement, raw: dict[str, Any], now: PolicyDocument) -> dict[str, Any] | None:
    """What is left of a statement, None if nothing is."""
    name = "NotPrincipal" if statement.all_principals_but else "Principal"
    principal = _without_deleted(raw[name], statement.principals)
    if principal is None:
        return None
    raw[name] = principal
    if not statement.allows:
        return raw
    if statement.all_principals_but:
        return None
    everyone = any(p.is_everyone for p in statement.principals)
    if everyone and not narrowings(statement, [s for s in now.statements if not s.allows]):
        return None
    left = statement.covers & ADMINISTERS
    if not left:
        return None
    if left != statement.covers:
        raw.pop("NotAction", None)
        raw["Action"] = [f"kms:{action}" for action in sorted(left)]
    return raw


def _without_deleted(raw: Any, principals: Sequence[PolicyPrincipal]) -> Any:
    """The principals but for deleted ones, whom KMS takes in no policy; None if none is left."""
    gone = {p.value for p in principals if p.is_gone}
    if not gone or not isinstance(raw, Mapping):
        return raw
    found: dict[str, Any] = {}
    for kind, values in raw.items():
        left = [v for v in (values if isinstance(values, list) else [values]) if v not in gone]
        if left:
            found[kind] = left
    return found or None


def _administrators(document: Mapping[str, Any], key_arn: str) -> tuple[str, ...]:
    found = accesses(parse_policy(json.dumps(document)), (), key_arn)
    return tuple(
        dict.fromkeys(
            a.principal.name
            for a in found
            if "PutKeyPolicy" in a.actions and a.principal.kind == "AWS" and not a.principal.is_gone
        )
    )


def _root(key_arn: str) -> str:
    parts = key_arn.split(":")
    return f"arn:{parts[1]}:iam::{parts[4]}:root"


def _allow(sid: str, principals: Sequence[str], actions: Any) -> dict[str, Any]:
    return {
        "Sid": sid,
        "Effect": "Allow",
        "Principal": {"AWS": list(principals) if len(principals) > 1 else principals[0]},
        "Action": list(actions),
        "Resource": "*",
    }
