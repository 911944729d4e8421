"""Checks of the keys themselves: the new one is ready, the old one locked down or out of use."""

from __future__ import annotations

from collections.abc import Callable

from crypto_core.incidents.key_users import responder_of
from crypto_core.incidents.keys.lock_down import USES
from crypto_core.incidents.keys.rotation.look import RotationLook
from crypto_core.incidents.keys.rotation.verdict import RotationVerdict
from crypto_core.incidents.keys.subject import (
    LEFT_OUT,
    READERS,
    RESPONDER,
    everywhere,
    listed,
    new_key,
    old_key,
    unasked,
)
from crypto_core.incidents.model import CheckResult, CheckState
from crypto_core.incidents.steps.step_contracts import Situation
from crypto_core.incidents.tool_services import ToolServices
from crypto_core.keys.changes.key_reader import proven_at_risk
from crypto_core.keys.policy.access import Access
from crypto_core.keys.policy.actions import in_words
from crypto_core.keys.state import PENDING_DELETION, KeyState
from crypto_core.values.counts import counted
from crypto_core.values.errors import KeyNotFoundError
from crypto_core.values.key_names import account_of
from crypto_core.values.moments import in_utc


class KeyChecks:
    """Looks at keys. Blocks on KMS, the database and the events' store; changes nothing."""

    def __init__(self, services: ToolServices) -> None:
        self._services = services

    def scope_known(self, situation: Situation) -> CheckResult:
        """Pass if the key is there and the tokens under it are counted, all of them."""
        name = old_key(situation)
        try:
            states = everywhere(self._services.keys, name)
        except KeyNotFoundError as error:
            return CheckResult(CheckState.FAILED, (str(error),))
        lines = [_is(state) for state in states]
        arn = states[0].key_arn
        proof = self._services.status.prove(cancelled=situation.cancelled)
        tokens = proven_at_risk(proof, arn, None)
        lines.append(f"Under it: {tokens}, of {counted(proof.tokens, 'token')} in all")
        lines += [f"Not counted: {gap}" for gap in tokens.gaps]
        since = situation.incident.scope.since
        lines.append(f"Suspected since {in_utc(since)}" if since else "Since when is not said")
        known = tokens.none or (tokens.under and not tokens.gaps)
        return CheckResult(CheckState.PASSED if known else CheckState.UNKNOWN, tuple(lines))

    def locked_down(self, situation: Situation) -> CheckResult:
        """Pass if only named principals can open under the old key and none can seal, in all its Regions."""
        states = everywhere(self._services.keys, old_key(situation))
        values = situation.incident.values
        allowed = {*listed(values.get(RESPONDER, "")), *listed(values.get(READERS, ""))}
        missing = [*unasked(states)]
        states = tuple(state for state in states if "state" not in state.missing)
        policies = [self._services.policies.of(state) for state in states]
        if RESPONDER not in values:
            known = [a.principal.value for policy in policies for a in policy.accesses]
            allowed.add(responder_of(self._services.identity(), known))
        lines: list[str] = []
        for state, policy in zip(states, policies, strict=True):
            missing += [f"{p.capitalize()} of {state.key_arn}: {why}" for p, why in policy.missing.items()]
            for access in policy.accesses:
                too_much = access.actions & USES
                if access.principal.value in allowed and not access.all_but:
                    too_much -= {"Decrypt"}
                if too_much:
                    lines.append(_too_much(state, access, too_much))
        if lines:
            return CheckResult(CheckState.NOT_YET, tuple(lines))
        if missing:
            return CheckResult(CheckState.UNKNOWN, tuple(f"Not known: {x}" for x in missing))
        who = ", ".join(sorted(allowed - {""})) or "nobody"
        where = ", ".join(state.region for state in states)
        return CheckResult(
            CheckState.PASSED,
            (
                f"Decrypt under the old key: {who}, and nobody else",
                f"Nobody seals under it; read back in {where}",
            ),
        )

    def copies_known(self, situation: Situation) -> CheckResult:
        """Pass if copies are registered and none needs the key; what is not registered is not known."""
        arn = everywhere(self._services.keys, old_key(situation))[0].key_arn
        copies = self._services.copies.needing(arn)
        if copies.needing:
            state = CheckState.NOT_YET
        else:
            sure = copies.registered and not copies.doubtful and not copies.unknown
            state = CheckState.PASSED if sure else CheckState.UNKNOWN
        return CheckResult(state, tuple(copies.lines))

    def key_state(self, situation: Situation) -> CheckResult:
        """Pass if the key is in the state of the step's option, out of use in all Regions if it is to be."""
        wanted = str(situation.step.check_options.get("state", "Enabled"))
        try:
            states = everywhere(self._services.keys, old_key(situation))
        except KeyNotFoundError as error:
            return CheckResult(CheckState.FAILED, (str(error), "KMS has no key of this name any more."))
        lines = [_is(state) for state in states]
        accepted = PENDING_DELETION if wanted == "PendingDeletion" else (wanted,)
        # A replica that is still enabled opens what the key sealed.
        asked = states if wanted in ("Disabled", "PendingDeletion") else states[:1]
        behind = [state for state in asked if state.state not in accepted]
        if not behind:
            return CheckResult(CheckState.PASSED, tuple(lines), len(asked), len(asked))
        blind = all("state" in state.missing for state in behind)
        lines += unasked(behind) if blind else [f"{state.key_arn} is not {wanted}" for state in behind]
        seen = CheckState.UNKNOWN if blind else CheckState.NOT_YET
        return CheckResult(seen, tuple(lines), len(asked) - len(behind), len(asked))


def rotation_check(
    services: ToolServices, check: Callable[[RotationLook], RotationVerdict], situation: Situation
) -> CheckResult:
    """Return what a check of a rotation proves of an incident's keys.

    Who was left out on purpose when the new key was made may lose access, and whom nothing names.
    """
    name = new_key(situation)
    if not name:
        return CheckResult(CheckState.NOT_YET, ("There is no new key yet.",))
    left_out = [a for a in listed(situation.incident.values.get(LEFT_OUT, "")) if "*" not in a]
    keys = (old_key(situation), name)
    look = RotationLook(
        services.rotation, *keys, accepted=left_out, of_users=True, cancelled=situation.cancelled
    )
    if look.new is None:
        return CheckResult(CheckState.FAILED, (f"{name}: {look.new_trouble}",))
    return check(look).as_check()


def _is(state: KeyState) -> str:
    until = f", deleted on {in_utc(state.deletion_at)}" if state.deletion_at else ""
    return f"{state.key_arn} is {state.state or 'in an unknown state'}{until}"


def _too_much(state: KeyState, access: Access, actions: frozenset[str]) -> str:
    who = access.principal.seen_from(account_of(state.key_arn))
    who = f"everyone but {who}" if access.all_but else who
    if access.grant is not None:
        grant = access.grant
        source = f"grant {grant.grant_id}: keydeck keys revoke-grant {state.key_arn} {grant.argument}"
    else:
        source = access.statement
    return f"{who} may still {in_words(actions)} in {state.region} ({source})"
