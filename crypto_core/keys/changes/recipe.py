"""How one kind of change is planned, made, and looked for afterwards."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from crypto_core.errors import RefusedError
from crypto_core.keys.changes.acting import CallRecorder
from crypto_core.keys.changes.change import KeyChange
from crypto_core.keys.changes.plan import ChangePlan
from crypto_core.keys.changes.reading import KeyReader
from crypto_core.keys.state import KeyState

Readings = Mapping[str, str]


def as_expected(plan: ChangePlan, now: Readings) -> bool:
    """True if what is read now is all that the plan expects."""
    return all(now.get(name) == value for name, value in plan.expected.items())


def nothing_more(plan: ChangePlan, key_arn: str, done: Sequence[str]) -> tuple[str, ...]:
    """What follows a change that is one call: nothing."""
    return ()


@dataclass(frozen=True, slots=True)
class Recipe:
    """One kind of change."""

    draft: Callable[[KeyReader, KeyChange], ChangePlan]
    """Reads and plans. Raises RefusedError where the change can't be, KmsError."""
    act: Callable[[CallRecorder, ChangePlan], None]
    """Asks KMS for it. Raises KmsError; what was done till then is in its CallRecorder."""
    look: Callable[[KeyReader, ChangePlan, str], Readings]
    """Reads again what the plan has seen, of the key with this ARN. Raises KmsError."""
    there: Callable[[ChangePlan, Readings], bool] = as_expected
    """Whether what was read afterwards is the effect."""
    follow: Callable[[ChangePlan, str, Sequence[str]], tuple[str, ...]] = nothing_more
    """How to go on, once these operations were carried out on the key with this ARN."""


def require_state(state: KeyState, *allowed: str, remedy: str) -> None:
    """Raise RefusedError unless the key is in one of these states."""
    if state.state not in allowed:
        raise RefusedError(
            f"{state.name} is {state.state or 'in a state that is not known'}; this takes a key that is "
            f"{' or '.join(allowed)}.",
            remedy=remedy,
        )
