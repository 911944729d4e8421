"""How one kind of change is planned, made by calls that are recorded, and read back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from threading import Event
from typing import Any

from crypto_core.aws.kms import KmsApi
from crypto_core.keys.changes.change import KeyChange
from crypto_core.keys.changes.key_reader import KeyReader, key_id_of
from crypto_core.keys.changes.plan import ChangePlan, Draft
from crypto_core.keys.state import KeyState
from crypto_core.values.cancellation import stop_if
from crypto_core.values.errors import RefusedError


class CallRecorder:
    """One change on its way. `done` are the operations that KMS carried out."""

    def __init__(self, kms: KmsApi, key_arn: str, region: str, cancelled: Event | None = None) -> None:
        self._kms = kms
        self._region = region
        self._cancelled = cancelled
        self.key_arn = key_arn
        self.done: list[str] = []
        self.trying = ""
        """The operation that was sent and has not been answered."""

    @property
    def key_id(self) -> str:
        return key_id_of(self.key_arn)

    def call(self, operation: str, **parameters: Any) -> dict[str, Any]:
        """Return KMS's answer. Raises KmsError, and InterruptedRunError before sending once cancelled."""
        stop_if(self._cancelled)
        self.trying = operation
        answer = self._kms.call(operation, region=self._region, **parameters)
        self.trying = ""
        self.done.append(operation)
        return answer


Readings = Mapping[str, str]


def as_expected(plan: ChangePlan, now: Readings) -> bool:
    return all(now.get(name) == value for name, value in plan.expected.items())


def nothing_more(plan: ChangePlan, key_arn: str, done: Sequence[str]) -> tuple[str, ...]:
    return ()


def the_key(plan: ChangePlan, key_id: str) -> dict[str, Any]:
    return {"KeyId": key_id}


@dataclass(frozen=True, slots=True)
class Recipe:
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


def of_key(
    draft: Callable[[KeyReader, KeyChange, KeyState], Draft],
    read: Callable[[KeyReader, KeyChange, KeyState], Readings],
    parameters: Callable[[ChangePlan, str], dict[str, Any]] = the_key,
    there: Callable[[ChangePlan, Readings], bool] = as_expected,
    follow: Callable[[ChangePlan, str, Sequence[str]], tuple[str, ...]] = nothing_more,
) -> Recipe:
    """Return the recipe of a change of a key that is there.

    `read` gives the facts that the change is about, as they are now; `parameters` those of its operations, by
    the key's id.
    """

    def plan(reader: KeyReader, change: KeyChange) -> ChangePlan:
        state = reader.key(change.key)
        drafted = draft(reader, change, state)
        told = {one.name: getattr(drafted, one.name) for one in fields(drafted)}
        return ChangePlan(
            change=change, key_arn=state.key_arn, key_name=state.name, region=state.region, **told
        )

    def act(calls: CallRecorder, plan: ChangePlan) -> None:
        for operation in plan.operations:
            calls.call(operation, **parameters(plan, calls.key_id))

    def read_back(reader: KeyReader, plan: ChangePlan, key_arn: str) -> Readings:
        return read(reader, plan.change, reader.keys.describe(key_arn))

    return Recipe(plan, act, read_back, there, follow)


def require_state(state: KeyState, *allowed: str, remedy: str) -> None:
    if state.state not in allowed:
        raise RefusedError(
            f"{state.name} is {state.state or 'in an unknown state'}; this takes a key that is "
            f"{' or '.join(allowed)}.",
            remedy=remedy,
        )
