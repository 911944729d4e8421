"""How one kind of change is planned, made, and looked for afterwards."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields

from crypto_core.errors import RefusedError
from crypto_core.keys.changes.acting import CallRecorder
from crypto_core.keys.changes.change import KeyChange
from crypto_core.keys.changes.plan import ChangePlan, Draft
from crypto_core.keys.changes.reading import KeyReader
from crypto_core.keys.state import KeyState

Readings = Mapping[str, str]


def as_expected(plan: ChangePlan, now: Readings) -> bool:
    """True if what is read now is all that the plan expects."""
    return all(now.get(name) == value for name, value in plan.expected.items())


def nothing_more(plan: ChangePlan, key_arn: str, done: Sequence[str]) -> tuple[str, ...]:
    """What follows a change that is one call: nothing."""
    return ()


def of_key(
    draft: Callable[[KeyReader, KeyChange, KeyState], Draft],
) -> Callable[[KeyReader, KeyChange], ChangePlan]:
    """Return how to plan a change of a key that is there: read the key, and draft by it."""

    def plan(reader: KeyReader, change: KeyChange) -> ChangePlan:
        state = reader.key(change.key)
        drafted = draft(reader, change, state)
        told = {one.name: getattr(drafted, one.name) for one in fields(drafted)}
        return ChangePlan(
            change=change, key_arn=state.key_arn, key_name=state.name, region=state.region, **told
        )

    return plan


def send_each(acting: CallRecorder, plan: ChangePlan) -> None:
    """Ask KMS for operations that need no more than the key."""
    for operation in plan.operations:
        acting.call(operation, KeyId=acting.key_id)


@dataclass(frozen=True, slots=True)
class Recipe:
    """One kind of change."""

    draft: Callable[[KeyReader, KeyChange], ChangePlan]
    """Reads and plans. Raises RefusedError where the change can't be, KmsError."""
    act: Callable[[CallRecorder, ChangePlan], None]
    """Asks KMS for it. Raises KmsError; what was done till then is in its CallRecorder."""
    read_back: Callable[[KeyReader, ChangePlan, str], Readings]
    """Reads the plan's facts again, of the key with this ARN. Raises KmsError."""
    there: Callable[[ChangePlan, Readings], bool] = as_expected
    """Whether the state read afterwards shows the effect."""
    follow: Callable[[ChangePlan, str, Sequence[str]], tuple[str, ...]] = nothing_more
    """How to go on, once these operations were carried out on the key with this ARN."""


def require_state(state: KeyState, *allowed: str, remedy: str) -> None:
    """Raise RefusedError unless the key is in one of these states."""
    if state.state not in allowed:
        raise RefusedError(
            f"{state.name} is {state.state or 'in an unknown state'}; this takes a key that is "
            f"{' or '.join(allowed)}.",
            remedy=remedy,
        )
