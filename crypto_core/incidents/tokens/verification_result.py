"""What came of opening tokens: counted, in words, and as evidence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Event
from time import monotonic
from typing import Any

from crypto_core.database.tokens.store import TokenScope
from crypto_core.envelope import Format
from crypto_core.incidents.runbooks.catalogue import CaptureKind
from crypto_core.incidents.steps.step_contracts import Captured, Progress
from crypto_core.reencryption.bulk.token_opener import NOT_AN_ENVELOPE
from crypto_core.reencryption.plan import RunProgress, Verification
from crypto_core.reencryption.verification import Verifier
from crypto_core.values.clean_text import clean
from crypto_core.values.counts import counted, first_lines
from crypto_core.values.json_records import JsonRecord, shape

_NAMED = 200
_REASONS = 50
_LISTED = 20

_UNSEALED = frozenset({NOT_AN_ENVELOPE[Format.PLAINTEXT], NOT_AN_ENVELOPE[Format.DEV]})
_EMPTY = NOT_AN_ENVELOPE[Format.EMPTY]

OPENED, FAILED, UNSEALED, VERIFIED_AT = "opened", "not_opened", "unsealed", "verified_at"
WHOLE = "verified_to_the_end"
"""Names of the values that an incident remembers of a verification."""


@dataclass(frozen=True, slots=True)
class Verified(JsonRecord):
    """What came of opening tokens. `of` is how many there are, `tried` how many were taken of them.

    `failed` did not open, `unsealed` are plaintext or dev format: there is nothing to open. `empty` hold no
    token. `reasons` are those of `failed`, with how many each; `examples` are some of these, with theirs.
    `by_key` are the opened ones by the key that KMS named.
    """

    of: int
    tried: int
    opened: int
    failed: int
    unsealed: int
    empty: int
    reasons: tuple[tuple[str, int], ...]
    examples: tuple[tuple[str, str], ...]
    by_key: Mapping[str, int]
    began_at: datetime
    seconds: float
    interrupted: bool = False

    json_shape = shape(
        "result began_at seconds tokens=of tried opened not_opened=failed unsealed empty interrupted reasons "
        "not_opened_examples opened_by_key=by_key",
        result=lambda done: "passed" if done.passed else "not passed",
        seconds=lambda done: round(done.seconds, 3),
        reasons=lambda done: [{"reason": reason, "tokens": number} for reason, number in done.reasons],
        not_opened_examples=lambda done: [
            {"reference": ref, "reason": reason} for ref, reason in done.examples
        ],
    )

    @property
    def passed(self) -> bool:
        """True if there was something to open, and all of it opened."""
        return self.opened > 0 and not self.failed and not self.interrupted

    @property
    def lines(self) -> tuple[str, ...]:
        opened = f"{self.opened:,} of {counted(self.tried, 'token')} opened, {self.failed:,} did not"
        return (
            f"{opened}; {self.of:,} there are. {self.seconds:,.1f} s.",
            *(
                (f"{counted(self.unsealed, 'token')} are not sealed: anyone opens them.",)
                * bool(self.unsealed)
            ),
            *((f"{self.empty:,} are empty.",) * bool(self.empty)),
            *listed(f"{counted(number, 'token')}: {reason}" for reason, number in self.reasons),
            *(("Interrupted before the end.",) * self.interrupted),
        )

    @property
    def values(self) -> dict[str, str]:
        return {
            OPENED: str(self.opened),
            FAILED: str(self.failed),
            UNSEALED: str(self.unsealed),
            VERIFIED_AT: self.began_at.isoformat(),
            WHOLE: "no" if self.interrupted else "yes",
        }


def verified_of(
    verifier: Verifier,
    scope: TokenScope,
    of: int,
    progress: Progress | None,
    cancelled: Event | None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Verified:
    """Return what comes of opening every token of a scope. Raises KmsError, DatabaseError."""

    def told(so_far: RunProgress) -> None:
        if progress is not None:
            progress(so_far.done + so_far.poisoned, so_far.total)

    began_at, began = clock(), monotonic()
    found = verifier.verify_scope(scope, progress=told, cancelled=cancelled)
    return _verified(
        found, of, began_at, monotonic() - began, interrupted=cancelled is not None and cancelled.is_set()
    )


def captured_verification(verified: Verified, content: Mapping[str, Any]) -> Captured:
    title = f"{verified.opened:,} of {counted(verified.tried, 'token')} opened"
    return Captured(CaptureKind.VERIFICATION, title, content)


def share(sample: int, own: int, all_: int) -> int:
    """Return how many of a column's tokens belong into a sample: one at least."""
    return min(own, max(1, round(sample * own / all_))) if all_ else 0


def _verified(
    found: Iterable[Verification], of: int, began_at: datetime, seconds: float, *, interrupted: bool
) -> Verified:
    tried = opened = unsealed = empty = 0
    reasons: Counter[str] = Counter()
    by_key: Counter[str] = Counter()
    examples: list[tuple[str, str]] = []
    for one in found:
        tried += 1
        if one.opened:
            opened += 1
            by_key[one.key_arn or ""] += 1
        elif one.reason in _UNSEALED:
            unsealed += 1
        elif one.reason == _EMPTY:
            empty += 1
        else:
            reason = clean(one.reason)
            reasons[reason] += 1
            if len(examples) < _NAMED:
                examples.append((str(one.ref), reason))
    return Verified(
        of,
        tried,
        opened,
        sum(reasons.values()),
        unsealed,
        empty,
        tuple(reasons.most_common(_REASONS)),
        tuple(examples),
        dict(by_key),
        began_at,
        seconds,
        interrupted,
    )


def listed(lines: Iterable[str]) -> tuple[str, ...]:
    """Return the first lines, and how many more there are. Cleaned."""
    return first_lines([clean(line) for line in lines], _LISTED)
