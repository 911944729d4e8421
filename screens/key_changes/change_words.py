"""A change of a key in words: its plan and its outcome."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from crypto_core.keys.changes.plan import ChangedFact, ChangePlan, ChangeResult
from screens.styled_text import BAD, BLANK, GOOD, WARNING, StyledLine, effect_lines

NOTHING_TO_DO = "Already in this state; nothing to do."
VERIFIED = "Done and verified."
UNVERIFIED = "KMS reported success, but the change could not be confirmed."


def plan_lines(plan: ChangePlan, most: int | None = None) -> Iterator[StyledLine]:
    """Yield what a change does, does not do and risks; at most `most` lines of a policy's difference."""
    yield (plan.key_name, "bold"), f"  {plan.region}"
    if plan.key_arn:
        yield ((plan.key_arn, "$muted"),)
    if plan.changes_nothing:
        yield BLANK
        yield GOOD, (NOTHING_TO_DO, "bold")
    if plan.refused_unless_typed:
        lost = f"{plan.tokens} can't be opened while the key can't be used. To accept that, type "
        yield BLANK
        yield BAD, (lost, "bold"), plan.shown_confirmation, "."
        for gap in plan.tokens.gaps if plan.tokens is not None else ():
            yield WARNING, "not counted: ", gap
    yield BLANK
    yield from effect_lines(plan.does, plan.does_not, plan.warnings)
    yield from _facts(plan.facts)
    if plan.policy_changes:
        yield BLANK
        yield from effect_lines(plan.policy_changes)
    if plan.policy_lines:
        yield BLANK
        yield from (_difference(line) for line in plan.policy_lines[:most])
        if most is not None and len(plan.policy_lines) > most:
            yield (f"and {len(plan.policy_lines) - most:,} more lines",)
    if plan.operations:
        yield BLANK
        yield ((f"calls {_calls(plan.operations)}", "$muted"),)


def stop_lines(result: ChangeResult) -> Iterator[StyledLine]:
    """Yield what stopped a change, nothing where nothing did."""
    if result.stopped_by:
        yield BAD, (result.stopped_by, "bold")


def outcome_lines(result: ChangeResult) -> Iterator[StyledLine]:
    if result.plan.changes_nothing:
        yield GOOD, (NOTHING_TO_DO, "bold")
    elif result.verified and not result.stopped_by:
        yield GOOD, (VERIFIED, "bold")
    elif result.verified:
        yield GOOD, "The change took effect all the same."
    elif not result.stopped_by:
        yield WARNING, (UNVERIFIED, "bold")
    if result.unverified:
        yield WARNING, result.unverified
    if result.done and (result.stopped_by or not result.verified):
        yield (f"Carried out: {_calls(result.done)}.",)


def effect_facts(result: ChangeResult) -> Iterator[StyledLine]:
    if result.key_arn:
        yield ((result.key_arn, "$muted"),)
    yield from _facts(result.facts)


def _facts(facts: Iterable[ChangedFact]) -> Iterator[StyledLine]:
    facts = tuple(facts)
    width = max((len(fact.name) for fact in facts), default=0)
    if facts:
        yield BLANK
    for fact in facts:
        before, after = fact.before, fact.after
        name = (fact.name.ljust(width), "$muted")
        yield (name, "  ", before, " → ", (after, "bold")) if before != after else (name, "  ", before)


def _difference(line: str) -> StyledLine:
    style = "$success" if line.startswith("+") else "$error" if line.startswith("-") else "$muted"
    return ((line, style),)


def _calls(operations: Iterable[str]) -> str:
    return ", ".join(f"kms:{operation}" for operation in operations)
