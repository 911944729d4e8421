"""A copy as it was scanned beside the database that was restored from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

from crypto_core.forensics.copies.register import RegisteredCopy
from crypto_core.forensics.copies.report import ENABLED, KeyNeed
from crypto_core.envelope import ENVELOPE_FORMATS, Format
from crypto_core.key_names import short_key
from crypto_core.text.counting import counted


def key_of(need: KeyNeed) -> str:
    return need.alias or (short_key(need.key_arn) if need.key_arn else "a key that is not known")


def needed_keys(copy: RegisteredCopy) -> Iterator[str]:
    """Say beforehand which keys a copy needs, and how they stand."""
    holds, scanned = copy.holds, f"{copy.scanned_at:%Y-%m-%d}"
    yield f"Copy {copy.name}, scanned {scanned}: {counted(holds.envelopes, 'envelope')}, {_aside(copy)}."
    for need in holds.needs:
        state = need.key_state or "its state is not known"
        yield f"It needs {key_of(need)} for {counted(need.envelopes, 'envelope')}: {state}."


def unusable_keys(copy: RegisteredCopy) -> Iterator[str]:
    """Name the keys of a copy that open nothing now."""
    for need in copy.holds.needs:
        if need.key_arn and need.key_state and need.key_state != ENABLED:
            number = counted(need.envelopes, "envelope")
            yield f"{key_of(need)} is {need.key_state}: {number} of the copy will not open."


def compared(copy: RegisteredCopy, restored: Mapping[str, int]) -> Iterator[str]:
    holds = copy.holds
    scanned = {f.value: 0 for f in (*ENVELOPE_FORMATS, Format.DEV)}
    for need in holds.needs:
        for name, number in need.by_format.items():
            scanned[name] += number
    scanned["dev"] = sum(one.values for one in holds.exposed if one.kind == "dev")
    for name, found in scanned.items():
        there = restored.get(name, 0)
        if there or found:
            yield f"{name}: {there:,} in the restored token columns, {found:,} in the scanned copy"
    # What is damaged begins as an envelope: the census counts it by that.
    surplus = sum(restored.get(name, 0) for name in scanned) - sum(scanned.values()) - holds.damaged
    if surplus > 0:
        yield f"{surplus:,} more than in the copy: not the one that was scanned, or written to since"
    elif surplus < 0:
        yield (
            f"{-surplus:,} only in the copy: replaced envelopes that Keydeck keeps, other tables, or rows "
            "that the restore lacks"
        )


def _aside(copy: RegisteredCopy) -> str:
    dated: datetime | None = copy.taken_at
    return f"taken {dated:%Y-%m-%d}" if dated else "when it was taken is not noted"
