"""What screens and commands call to be guided through a manual rotation. It only looks.

AWS KMS Developer Guide, "Rotate keys manually" (keep the old key to open what it has wrapped) and "Delete an
AWS KMS key" (disable first, and see that nothing needs it).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from threading import Event

from crypto_core.cancelling import stop_if
from crypto_core.errors import KmsError
from crypto_core.key_names import same_key
from crypto_core.keys.replacement.guide import (
    Guide,
    GuideStepState,
    Instruction,
    Step,
    StepId,
    command,
    enabling,
    in_turn,
    note,
)
from crypto_core.keys.replacement.new_key import new_key, preflight
from crypto_core.keys.replacement.seen import RotationReader, RotationState
from crypto_core.keys.replacement.switching import in_use, is_trusted, switch, trust
from crypto_core.lists.coverage import Coverage
from crypto_core.text.counting import counted

NO_RECOVERY = (
    "Rewrapping is no recovery from a compromise: the data keys stay the same. If the old key leaked, "
    "re-encrypt, and have the providers issue new tokens."
)
DUMPS = (
    "Backups and dumps of the database may hold tokens under it: keep it, disabled, for as long as the "
    "oldest of them is kept. Do not schedule its deletion at once."
)

_log = logging.getLogger(__name__)
SHORTEST_SECONDS = 5.0
"""Between two looks: each takes a census and some ten calls of KMS."""


def rest(seen: RotationState) -> Step:
    """Return what is left under the old key; moving it is up to the operator."""
    if seen.same:
        return Step(StepId.REST, GuideStepState.NOW, optional=True)
    if seen.status is None:
        why = (f"Not counted: {seen.uncounted}",)
        return Step(StepId.REST, GuideStepState.UNKNOWN, why, optional=True)
    tokens = seen.tokens
    evidence = (
        f"Under the old key: {tokens}",
        *_by_material(seen),
        *(f"Not counted: {g}" for g in tokens.gaps),
    )
    if tokens.none:
        # While the platform may still write under it, there can be tokens again at any moment.
        state = GuideStepState.DONE if _is_left(seen) else GuideStepState.NOW
        return Step(StepId.REST, state, evidence, optional=True)
    if seen.new is None:
        return Step(StepId.REST, GuideStepState.NOW, evidence, optional=True)
    old, new = seen.old.key_arn, seen.new.key_arn
    do: list[Instruction] = []
    if tokens.under:
        do.append(command(f"keydeck reencrypt --from {old} --to {new}"))
        if seen.old.region == seen.new.region:
            do.append(note("Or, one by one, its data key alone; not for a v2 envelope, which names its key:"))
            do.append(command(f"keydeck rewrap REF --to {new}"))
    if not tokens.under or tokens.doubtful:
        do.append(command("keydeck verify --all"))
    return Step(StepId.REST, GuideStepState.NOW, evidence, tuple(do), (NO_RECOVERY,), optional=True)


def old_key(seen: RotationState) -> Step:
    """Return whether the old key still opens what is under it, and what may be done once nothing is."""
    if seen.same:
        return Step(StepId.OLD_KEY, GuideStepState.NOW)
    old, tokens = seen.old, seen.tokens
    evidence = [f"{old.key_arn} is {old.state}", f"Under it: {tokens}", _backups(seen)]
    if seen.status is None:
        evidence[1] = f"Not counted: {seen.uncounted}"
    if seen.old_use is not None:
        evidence.append(str(seen.old_use))
    needed = not tokens.none
    if needed and old.state != "Enabled":
        do = enabling(old)
        return Step(StepId.OLD_KEY, GuideStepState.NOW, tuple(evidence), do, (_shut(seen),), urgent=True)
    trusted = is_trusted(seen)
    if trusted:
        evidence.append("It is trusted for reading (KEYDECK_TRUSTED_KEYS)")
    elif needed:
        do = (trust(seen), note("The same where the platform reads through crypto_core."))
        evidence.append("It is not trusted for reading once it is no longer written under")
        return Step(StepId.OLD_KEY, GuideStepState.NOW, tuple(evidence), do)
    if needed:
        state = GuideStepState.UNKNOWN if seen.status is None else GuideStepState.DONE
        warning = "It must stay enabled while tokens are under it."
        return Step(StepId.OLD_KEY, state, tuple(evidence), (), (warning,))
    if not _is_left(seen):
        return Step(StepId.OLD_KEY, GuideStepState.NOW, tuple(evidence))
    do_: tuple[Instruction, ...] = ()
    if old.state == "Enabled":
        do_ = (
            note(
                "No token is under it, and CloudTrail shows no use of it so far. It may be disabled:"
                if seen.old_use is not None and seen.old_use.proves_no_use
                else "No token is under it. Once the platform no longer asks for it, it may be disabled:"
            ),
            command(f"keydeck keys disable {old.key_arn}"),
        )
    return Step(StepId.OLD_KEY, GuideStepState.DONE, tuple(evidence), do_, (DUMPS,))


def _is_left(seen: RotationState) -> bool:
    """True if the platform writes under the new key, and no longer under this one."""
    return in_use(seen).state is GuideStepState.DONE


def _by_material(seen: RotationState) -> Iterator[str]:
    old = seen.old
    for share in seen.status.keys if seen.status else ():
        if share.key_arn is None or not same_key(share.key_arn, old.key_arn):
            continue
        number = old.material_number(share.key_material_id)
        named = share.key_material_id[:8] if share.key_material_id else "not told"
        which = f"material {number} ({named})" if number else f"material {named}"
        yield f"{counted(share.tokens, 'token')} on {which}, {share.evidence.value}"


def _backups(seen: RotationState) -> str:
    backups = seen.tokens.backups
    if backups is None:
        return "Replaced envelopes under it that Keydeck keeps: not known"
    if not backups:
        return "Keydeck keeps no replaced envelope under it"
    return f"{counted(backups, 'replaced envelope')} under it in keydeck.envelope_backup: not without the key"


def _shut(seen: RotationState) -> str:
    what = "No token under it opens" if seen.tokens.under else "Tokens may be under it that do not open"
    until = f"; it is deleted on {seen.old.deletion_at:%Y-%m-%d %H:%M %Z}" if seen.old.deletion_at else ""
    return f"{what} while it is {seen.old.state}{until}."


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
    gaps = [*seen.old_allowed.gaps, *seen.new_allowed.gaps, *seen.tokens.gaps]
    for state in (seen.old, *seen.old_replicas, *((seen.new,) if seen.new else ())):
        gaps += [f"{part.capitalize()} of {state.key_arn}: {why}" for part, why in state.missing.items()]
    return tuple(dict.fromkeys(gaps))
