"""The old key: what is left under it, and whether it still opens that.

AWS KMS Developer Guide, "Rotate keys manually" (keep the old key to open what it has wrapped) and "Delete an
AWS KMS key" (disable first, and see that nothing needs it).
"""

from __future__ import annotations

from collections.abc import Iterator

from crypto_core.incidents.keys.rotation.look import RotationLook
from crypto_core.incidents.keys.rotation.switch import is_trusted, platform_switched, trust
from crypto_core.incidents.keys.rotation.verdict import Instruction, RotationVerdict, command, enabling, note
from crypto_core.incidents.model import CheckState
from crypto_core.keys.changes.plan import TokensAtRisk
from crypto_core.values.counts import counted

DUMPS = (
    "Backups and dumps of the database may hold tokens under it: keep it, disabled, for as long as the "
    "oldest of them is kept. Do not schedule its deletion at once."
)


def nothing_under_key(look: RotationLook) -> RotationVerdict:
    """Pass if no token is under the old key, and the platform writes none there any more."""
    if look.same:
        return RotationVerdict(CheckState.NOT_YET)
    tokens, status = look.counted.tokens, look.counted.status
    if status is None:
        return RotationVerdict(CheckState.UNKNOWN, (f"Not counted: {look.counted.trouble}",))
    evidence = (f"Under the old key: {tokens}", *_by_material(look), *not_counted(tokens))
    if tokens.none:
        # While the platform may still write under it, there can be tokens again at any moment.
        return RotationVerdict(CheckState.PASSED if _is_left(look) else CheckState.NOT_YET, evidence)
    do: list[Instruction] = []
    if look.new is not None and tokens.under:
        old, new = look.old.key_arn, look.new.key_arn
        do.append(command(f"keydeck reencrypt --from {old} --to {new}"))
        if look.old.region == look.new.region:
            do.append(note("Or, one by one, its data key alone; not for a v2 envelope, which names its key:"))
            do.append(command(f"keydeck rewrap REF --to {new}"))
    if look.new is not None and (not tokens.under or tokens.doubtful):
        do.append(command("keydeck verify --all"))
    return RotationVerdict(CheckState.NOT_YET, evidence, tuple(do))


def old_key_readable(look: RotationLook) -> RotationVerdict:
    """Pass if the old key opens what is under it, or nothing is; then with what may be done about it."""
    if look.same:
        return RotationVerdict(CheckState.NOT_YET)
    old, tokens, uncounted = look.old, look.counted.tokens, look.counted.status is None
    under = f"Not counted: {look.counted.trouble}" if uncounted else f"Under it: {tokens}"
    evidence = [f"{old.key_arn} is {old.state}", under, kept_backups(tokens.backups)]
    if look.old_use is not None:
        evidence.append(str(look.old_use))
    needed = not tokens.none
    if needed and old.state != "Enabled":
        return RotationVerdict(
            CheckState.NOT_YET, tuple(evidence), enabling(old), (_shut(look),), urgent=True
        )
    if is_trusted(look):
        evidence.append("It is trusted for reading (KEYDECK_TRUSTED_KEYS)")
    elif needed:
        do = (trust(look), note("The same where the platform reads through crypto_core."))
        evidence.append("It is not trusted for reading once it is no longer written under")
        return RotationVerdict(CheckState.NOT_YET, tuple(evidence), do)
    if needed:
        state = CheckState.UNKNOWN if uncounted else CheckState.PASSED
        warning = "It must stay enabled while tokens are under it."
        return RotationVerdict(state, tuple(evidence), (), (warning,))
    if not _is_left(look):
        return RotationVerdict(CheckState.NOT_YET, tuple(evidence))
    do_: tuple[Instruction, ...] = ()
    if old.state == "Enabled":
        do_ = (
            note(
                "No token is under it, and CloudTrail shows no use of it so far. It may be disabled:"
                if look.old_use is not None and look.old_use.proves_no_use
                else "No token is under it. Once the platform no longer asks for it, it may be disabled:"
            ),
            command(f"keydeck keys disable {old.key_arn}"),
        )
    return RotationVerdict(CheckState.PASSED, tuple(evidence), do_, (DUMPS,))


def not_counted(tokens: TokensAtRisk) -> tuple[str, ...]:
    """Return why a count may not be whole, a line each."""
    return tuple(f"Not counted: {gap}" for gap in tokens.gaps)


def kept_backups(number: int | None, why: str = "") -> str:
    """Return in words how many replaced envelopes Keydeck keeps under a key; None, and `why`, if unknown."""
    if number is None:
        return f"Replaced envelopes under it that Keydeck keeps: not known{f': {why}' if why else ''}"
    if not number:
        return "Keydeck keeps no replaced envelope under it"
    kept = counted(number, "replaced envelope")
    return f"{kept} under it in keydeck.envelope_backup: no tokens any more, and not without the key"


def _is_left(look: RotationLook) -> bool:
    """True if the platform writes under the new key, and no longer under this one."""
    return platform_switched(look).state is CheckState.PASSED


def _by_material(look: RotationLook) -> Iterator[str]:
    status = look.counted.status
    for share in status.shares_under(look.old.key_arn) if status else ():
        number = look.old.material_number(share.key_material_id)
        named = share.key_material_id[:8] if share.key_material_id else "not told"
        which = f"material {number} ({named})" if number else f"material {named}"
        yield f"{counted(share.tokens, 'token')} on {which}, {share.evidence.value}"


def _shut(look: RotationLook) -> str:
    under, old = look.counted.tokens.under, look.old
    what = "No token under it opens" if under else "Tokens may be under it that do not open"
    until = f"; it is deleted on {old.deletion_at:%Y-%m-%d %H:%M %Z}" if old.deletion_at else ""
    return f"{what} while it is {old.state}{until}."
