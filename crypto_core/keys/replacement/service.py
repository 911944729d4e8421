"""What screens and commands call to be guided through a manual rotation. It only looks."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from threading import Event

from crypto_core.cancelling import stop_if
from crypto_core.errors import KmsError
from crypto_core.keys.replacement.guide import Guide, GuideStepState, Step, StepId, in_turn
from crypto_core.keys.replacement.keeping import old_key, rest
from crypto_core.keys.replacement.new_key import new_key, preflight
from crypto_core.keys.replacement.seen import RotationReader, RotationState
from crypto_core.keys.replacement.switching import in_use, switch
from crypto_core.lists.coverage import Coverage

_log = logging.getLogger(__name__)

SHORTEST_SECONDS = 5.0
"""Between two looks: each takes a census and some ten calls of KMS."""

_STEPS: tuple[Callable[[RotationState], Step], ...] = (new_key, preflight, switch, in_use, rest, old_key)


class ManualRotation:
    """Tells where a manual rotation stands. Blocks on KMS and SQL: call it from a worker.

    Nothing is remembered between two looks, here or anywhere: a rotation can be taken up again by another
    process, on another machine.
    """

    def __init__(
        self, reader: RotationReader, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._reader = reader
        self._clock = clock

    def read_guide(
        self,
        old: str,
        new: str | None = None,
        *,
        since: datetime | None = None,
        accepted: Sequence[str] = (),
        cancelled: Event | None = None,
    ) -> Guide:
        """Return the guide as things are now.

        `new` is the key that takes the place of `old`; None stands for the configured one, if that is
        another. Only what came after `since` counts as the platform's use. `accepted` are principals that may
        do less under the new key: ARNs or accounts, `*` and `?` as in IAM. Raises SettingsError for what is
        no key name; KmsError where the old key can't be described, or AWS does not answer at all;
        InterruptedRunError once `cancelled` is set. A database that does not answer is in the guide's
        `outside`.
        """
        seen = self._reader.read_state(old, new, since=since, accepted=accepted, cancelled=cancelled)
        steps = [step(seen) for step in _STEPS]
        if steps[list(StepId).index(StepId.IN_USE)].state is GuideStepState.DONE:
            # The platform's own use says more than what this identity would be permitted.
            steps = [replace(s, optional=True) if s.id is StepId.PREFLIGHT else s for s in steps]
        return Guide(
            taken_at=self._clock(),
            old=seen.old,
            new=seen.new,
            steps=tuple(in_turn(steps)),
            tokens=seen.tokens.under if seen.status else None,
            coverage=Coverage(_gaps(seen)),
            outside=seen.uncounted,
        )

    def watch(
        self,
        old: str,
        new: str | None = None,
        *,
        every: float,
        cancelled: Event,
        since: datetime | None = None,
        accepted: Sequence[str] = (),
        missed: Callable[[KmsError], None] | None = None,
    ) -> Iterator[Guide]:
        """Yield the guide now and every so many seconds, until the platform is seen to use the new key.

        It ends too where a step is not possible. A look that fails in passing, but for the first one, is
        made again the next time, and `missed` told of it. Raises as `read_guide`, InterruptedRunError once
        `cancelled` is set, ValueError for less than `SHORTEST_SECONDS`.
        """
        if every < SHORTEST_SECONDS:
            raise ValueError(f"At least {SHORTEST_SECONDS:g} seconds lie between two looks.")
        guide = self.read_guide(old, new, since=since, accepted=accepted, cancelled=cancelled)
        yield guide
        while guide.possible and not guide.in_use:
            cancelled.wait(every)
            stop_if(cancelled)
            try:
                guide = self.read_guide(old, new, since=since, accepted=accepted, cancelled=cancelled)
            except KmsError as error:
                if not error.transient:
                    raise
                _log.warning("Could not look how far the rotation is: %s", error.message)
                if missed is not None:
                    missed(error)
                continue
            yield guide


def _gaps(seen: RotationState) -> tuple[str, ...]:
    """What could not be read."""
    gaps = [*seen.old_allowed.gaps, *seen.new_allowed.gaps, *seen.tokens.gaps]
    for state in (seen.old, *seen.old_replicas, *((seen.new,) if seen.new else ())):
        gaps += [f"{part.capitalize()} of {state.key_arn}: {why}" for part, why in state.missing.items()]
    return tuple(dict.fromkeys(gaps))
