"""Whether somebody sealed under a key since a moment, as far as KMS and CloudTrail tell.

GetKeyLastUsage has the last use alone, each Region's replica for itself; a later use of another kind hides a
seal. CloudTrail delivers minutes late. What is not known is said, never taken as no.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from crypto_core.keys.inventory import KeyInventory
from crypto_core.keys.replacement import UseWitness
from crypto_core.keys.state import LastUse, last_use_since
from crypto_core.values.clean_text import clean
from crypto_core.values.errors import KmsError, TrailError
from crypto_core.values.key_names import short_key
from crypto_core.values.moments import in_utc


@dataclass(frozen=True, slots=True)
class WritersSeen:
    """`sealed` says who or what sealed, "" where nobody is known to; `unknown` what can't be told."""

    sealed: str = ""
    unknown: tuple[str, ...] = ()


class Writers:
    """Looks for writers. Blocks on KMS and on the store of events."""

    def __init__(self, keys: KeyInventory, witness: UseWitness | None = None) -> None:
        """`witness` is who keeps CloudTrail's events, None where nobody does."""
        self._keys = keys
        self._witness = witness

    def between(self, key_arns: Sequence[str], since: datetime) -> WritersSeen:
        """Return whether somebody sealed under one of some keys since a moment. Raises nothing of KMS's."""
        unknown: list[str] = []
        for key_arn in key_arns:
            arns = self._replicas(key_arn)
            sealed, untold = self._by_kms(arns, since)
            if not sealed and untold:
                sealed, untold = self._by_trail(arns, since, untold)
            if sealed:
                return WritersSeen(sealed, tuple(unknown))
            if untold:
                name = short_key(key_arn)
                begin = in_utc(since)
                why = clean(untold.rstrip("."), 500)
                unknown.append(f"Whether anything was sealed under {name} since {begin} is not known: {why}.")
        return WritersSeen("", tuple(unknown))

    def _replicas(self, key_arn: str) -> tuple[str, ...]:
        try:
            return self._keys.replicas(key_arn)
        except KmsError:
            return (key_arn,)

    def _by_kms(self, arns: Sequence[str], since: datetime) -> tuple[str, str]:
        untold: list[str] = []
        for arn in arns:
            try:
                state = self._keys.show(arn)
            except KmsError as error:
                untold.append(error.message)
                continue
            use = last_use_since(state, since)
            if use is LastUse.SEALED:
                return f"{state.last_used_for} under {short_key(arn)} at {in_utc(state.last_used_at)}", ""
            untold.append(f"{short_key(arn)}: {use}")
        return "", "; ".join(untold)

    def _by_trail(self, arns: Sequence[str], since: datetime, untold: str) -> tuple[str, str]:
        if self._witness is None:
            return "", untold
        try:
            seen = self._witness.uses(arns, since)
        except TrailError as error:
            return "", f"{untold}; {error.message}"
        if seen.seals:
            return str(seen), ""
        return "", f"{untold}; {seen}"
