"""The state of a key's materials by NIST SP 800-57 part 1 revision 5, section 7, as far as KMS's words tell.

KMS uses the newest material to encrypt, and older ones to decrypt alone: they are deactivated in the
standard's words. A disabled key, and one that waits for its deletion, can be used again: suspended. That one
is compromised is what an incident says, never KMS.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from crypto_core.compliance.facts import MaterialFact
from crypto_core.key_names import same_key
from crypto_core.keys.state import PENDING_DELETION, KeyMaterial, KeyState
from crypto_core.keys.status import Status
from crypto_core.text.cleaning import CleanText, clean

PRE_ACTIVE, ACTIVE, SUSPENDED = clean("pre-active"), clean("active"), clean("suspended")
DEACTIVATED, COMPROMISED, DESTROYED = clean("deactivated"), clean("compromised"), clean("destroyed")

OF_KEYS = {
    "Creating": PRE_ACTIVE,
    "PendingImport": PRE_ACTIVE,
    "Disabled": SUSPENDED,
    "Unavailable": SUSPENDED,
    **dict.fromkeys(PENDING_DELETION, SUSPENDED),
}
"""KMS Developer Guide, "Key states of AWS KMS keys"; of the others the material decides, or nothing."""


def materials_of(
    state: KeyState, status: Status | None, compromised_at: Iterable[datetime] = ()
) -> tuple[MaterialFact, ...]:
    """Return a key's materials with the tokens under each; without a census these are None.

    `compromised_at` is when incidents about a compromise of the key were declared.
    """
    shares = (
        [one for one in status.keys if one.key_arn and same_key(one.key_arn, state.key_arn)] if status else []
    )
    last = max(compromised_at, default=None)
    return tuple(
        MaterialFact(
            id=clean(one.key_material_id),
            state=one.state,
            since=one.since,
            tokens=sum(share.tokens for share in shares if share.key_material_id == one.key_material_id)
            if status
            else None,
            standing=_standing(state, one, last),
        )
        for one in state.materials
    )


def _standing(state: KeyState, material: KeyMaterial, compromised_at: datetime | None) -> CleanText:
    if compromised_at is not None and (material.since is None or material.since <= compromised_at):
        return COMPROMISED
    if material.import_state == "PENDING_IMPORT":
        return DESTROYED
    told = str(material.state or "")
    if told.startswith("PENDING"):
        return PRE_ACTIVE
    if (of_key := OF_KEYS.get(str(state.state))) is not None:
        return of_key
    if state.state is None:
        return clean("")
    newest = material.key_material_id == (state.current_material_id or state.materials[-1].key_material_id)
    return ACTIVE if told == "CURRENT" or (not told and newest) else DEACTIVATED
