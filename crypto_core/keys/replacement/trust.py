"""Whether the old key may be read with once it is no longer written under, and the line that lets it."""

from __future__ import annotations

from crypto_core.key_names import parse_key_name, same_key
from crypto_core.keys.replacement.guide import Instruction, setting
from crypto_core.keys.replacement.seen import RotationState


def is_trusted(seen: RotationState) -> bool:
    """True if the old key may be read with, whatever becomes of the key to write under.

    A name counts as long as it goes on meaning the old key: an alias that is to be moved does not.
    """
    moving = {name.alias for name in (seen.write, seen.alias) if name is not None and name.alias}
    return any(
        name.key_arn is not None
        and same_key(name.key_arn, seen.old.key_arn)
        and parse_key_name(name.name).alias not in moving
        for name in seen.trusted
    )


def trust(seen: RotationState) -> Instruction:
    """Return the line that lets the old key be read with."""
    now = ",".join(name.name for name in seen.trusted)
    line = ",".join([*(name.name for name in seen.trusted), seen.old.key_arn])
    return setting(f"KEYDECK_TRUSTED_KEYS={line}", f"KEYDECK_TRUSTED_KEYS={now}" if now else "")
