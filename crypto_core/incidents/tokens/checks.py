"""Checks about tokens. They look at the database, at KMS and at what is remembered; none asks a provider."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from crypto_core.database.tokens.fingerprints import OutsideRows
from crypto_core.incidents.model import CheckResult, CheckState
from crypto_core.incidents.steps.step_contracts import Situation
from crypto_core.incidents.tokens.baseline import Baseline
from crypto_core.incidents.tokens.marks import Held
from crypto_core.incidents.tokens.restored_tokens import OpenRestored
from crypto_core.incidents.tokens.token_evidence import Before, counts
from crypto_core.incidents.tokens.verification_result import (
    FAILED,
    OPENED,
    UNSEALED,
    VERIFIED_AT,
    WHOLE,
    listed,
)
from crypto_core.incidents.tool_services import ToolServices
from crypto_core.providers.answers import Liveness
from crypto_core.values.counts import counted
from crypto_core.values.errors import DatabaseError, InvalidFilterError, RefusedError, SettingsError
from crypto_core.values.moments import in_utc
from crypto_core.values.references import TokenRef


def seen(state: CheckState, *lines: str, done: int = 0, total: int = 0) -> CheckResult:
    """Return a result, looked at now."""
    return CheckResult(state, lines, done, total, datetime.now(UTC))


def _counted(number: int) -> CheckResult:
    if not number:
        return seen(CheckState.FAILED, "No tokens in scope.")
    return seen(CheckState.PASSED, f"{counted(number, 'token')} in scope.", done=number, total=number)


def tokens_open(situation: Situation) -> CheckResult:
    """Every token that was tried opened, by the last verification of this incident."""
    values = situation.incident.values
    if OPENED not in values:
        return seen(CheckState.NOT_YET, "No token was tried yet: run the verification of this incident.")
    if values.get(WHOLE) == "no":
        return seen(CheckState.NOT_YET, "The last verification was interrupted: run it again.")
    opened, failed, unsealed = (int(values.get(name, "0")) for name in (OPENED, FAILED, UNSEALED))
    lines = [f"{opened:,} of {counted(opened + failed, 'sealed token')} opened, at {values[VERIFIED_AT]}."]
    if unsealed:
        lines.append(f"{counted(unsealed, 'token')} are not sealed: plaintext or dev format.")
    passed = opened > 0 and not failed
    state = CheckState.PASSED if passed else CheckState.FAILED
    return seen(state, *lines, done=opened, total=opened + failed)


class TokenChecks:
    """Looks at the tokens in scope. Blocks on SQL and KMS; changes nothing."""

    def __init__(self, baseline: Baseline, parts: ToolServices, open_restored: OpenRestored) -> None:
        self._baseline = baseline
        self._open = open_restored
        self._outside = parts.outside

    def scope_known(self, situation: Situation) -> CheckResult:
        """Return how many tokens are in scope. FAILED if there are none, or a declared one is not there.

        So it is if rows outside are known to hold one of these tokens; what is not known of that is named.
        """
        incident = situation.incident
        try:
            if incident.scope.database:
                with self._open(incident.scope.database) as database:
                    return _counted(database.tokens())
            found = self._baseline.scoped.resolve(incident, cancelled=situation.cancelled)
        except (RefusedError, SettingsError, InvalidFilterError) as error:
            return seen(CheckState.FAILED, str(error))
        if not found.failed and (found.missing or found.over):
            return seen(CheckState.FAILED, *listed(found.gaps), total=len(found.refs) + found.over)
        if found.failed or found.notes:
            return seen(CheckState.UNKNOWN, *listed(found.gaps))
        return self._with_outside(_counted(len(found.refs)), situation, found.refs)

    def _with_outside(
        self, counted_: CheckResult, situation: Situation, refs: Sequence[TokenRef]
    ) -> CheckResult:
        if counted_.state is not CheckState.PASSED or situation.incident.scope.key:
            return counted_
        try:
            outside = self._outside(refs, situation.cancelled)
        except (DatabaseError, RefusedError) as error:
            outside = OutsideRows((), f"Not known: whether other rows hold the same tokens. {error.message}")
        if not outside.references:
            known = [outside.unknown] if outside.unknown else ["No other row holds one of these tokens."]
            return replace(counted_, lines=(*counted_.lines, *known))
        others = counted(len(outside.references), "row")
        return seen(
            CheckState.FAILED,
            f"{others} outside the scope hold one of these tokens: declare the incident again with them.",
            *listed(map(str, outside.references)),
            *([outside.unknown] if outside.unknown else []),
            total=len(refs) + len(outside.references),
        )

    def tokens_dead(self, situation: Situation) -> CheckResult:
        """Return how many old tokens the providers have reported dead. Asks none.

        UNKNOWN while some were never asked about; silence is not death.
        """
        incident, remembered = situation.incident, self._baseline.remembered
        before = remembered.before(incident)
        if before is None:
            return seen(
                CheckState.NOT_YET, "The tokens in scope are not captured yet, and no provider was asked."
            )
        if (short := _falls_short(before)) is not None:
            return short
        answers = remembered.answers(incident)
        told = counts(before.marks, answers)
        dead, total = int(told["dead"]), len(before.marks)
        line = (
            f"{dead:,} of {counted(total, 'token')} dead, {told['alive']} alive, "
            f"{told['unknown_liveness']} not known. Last asked: {_moment(answers.at)}."
        )
        left = [mark for mark in before.marks if answers.of(mark) is not Liveness.DEAD]
        if not left:
            return seen(CheckState.PASSED, line, done=dead, total=total)
        state = CheckState.UNKNOWN if told["alive"] == "0" else CheckState.NOT_YET
        names = listed(f"{mark.ref}: {_said(answers.of(mark))}." for mark in left)
        return seen(state, line, *names, done=dead, total=total)

    def tokens_replaced(self, situation: Situation) -> CheckResult:
        """Return how many rows hold another token than when the tokens were first captured, sealed.

        A re-encrypted token is the same one; a row without a token counts as done.
        """
        incident = situation.incident
        before = self._baseline.remembered.before(incident)
        if before is None:
            return seen(
                CheckState.UNKNOWN,
                "The tokens were not captured, so their values at that time are not known.",
            )
        if (short := _falls_short(before)) is not None:
            return short
        compared = self._baseline.standing(situation).comparisons
        done = [c for c in compared if c.held is Held.GONE or (c.held is Held.REPLACED and c.sealed)]
        gone = sum(c.held is Held.GONE for c in compared)
        line = f"{len(done):,} of {counted(len(compared), 'row')} done."
        if gone:
            line += f" {gone:,} of them hold no token any more."
        if len(done) == len(compared):
            return seen(CheckState.PASSED, line, done=len(done), total=len(compared))
        finished = {c.ref for c in done}
        left = [c for c in compared if c.ref not in finished]
        unknown = all(c.held is Held.UNKNOWN for c in left)
        state = CheckState.UNKNOWN if unknown else CheckState.NOT_YET
        names = listed(f"{c.ref}: {_why(c.held, c.reason)}." for c in left)
        return seen(state, line, *names, done=len(done), total=len(compared))


def _falls_short(before: Before) -> CheckResult | None:
    """Why the check can't cover all tokens in scope; None if it can."""
    if not before.whole:
        return seen(CheckState.UNKNOWN, "Not all tokens in scope are captured.", *listed(before.gaps))
    return None if before.marks else seen(CheckState.FAILED, "No tokens in scope.")


def _said(liveness: Liveness | None) -> str:
    return "nobody was asked" if liveness is None else liveness.value


def _why(held: Held, reason: str) -> str:
    if held is Held.REPLACED:
        return "another token, and not sealed: encrypt it in place"
    return reason or f"it holds {held.value}"


def _moment(at: str) -> str:
    try:
        return in_utc(datetime.fromisoformat(at))
    except ValueError:
        return "never"
