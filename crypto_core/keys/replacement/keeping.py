"""The last two steps: the tokens that are left under the old key, and that key, which goes on opening them.

AWS KMS Developer Guide, "Rotate keys manually" (keep the old key to open what it has wrapped) and "Delete an
AWS KMS key" (disable first, and see that nothing needs it).
"""

from __future__ import annotations

from collections.abc import Iterator

from crypto_core.key_names import same_key
from crypto_core.keys.replacement.guide import (
    GuideStepState,
    Instruction,
    Step,
    StepId,
    command,
    enabling,
    note,
)
from crypto_core.keys.replacement.seen import RotationState
from crypto_core.keys.replacement.switching import in_use, is_trusted, trust
from crypto_core.text.counting import counted

NO_RECOVERY = (
    "Rewrapping is no recovery from a compromise: the data keys stay the same. If the old key leaked, "
    "re-encrypt, and have the providers issue new tokens."
)
DUMPS = (
    "Backups and dumps of the database may hold tokens under it: keep it, disabled, for as long as the "
    "oldest of them is kept. Do not schedule its deletion at once."
)


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
