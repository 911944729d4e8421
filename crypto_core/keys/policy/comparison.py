"""What another key policy would change: who gains what, who loses what, and the lines that differ."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from crypto_core.keys.policy.access import Access, accesses
from crypto_core.keys.policy.actions import Power, in_words, power_of
from crypto_core.keys.policy.document import PolicyDocument
from crypto_core.values.clean_text import clean
from crypto_core.values.counts import listed
from crypto_core.values.json_records import JsonRecord, shape
from crypto_core.values.key_names import account_of

_MOST_NAMES = 12
_MOST_ACTIONS = 3


@dataclass(frozen=True, slots=True)
class Change(JsonRecord):
    """What one principal, under one set of conditions, would gain or lose. Actions without `kms:`."""

    who: str
    gains: frozenset[str]
    loses: frozenset[str]

    def __str__(self) -> str:
        words = []
        if self.gains:
            words.append(f"gains: {in_words(self.gains)}")
        if self.loses:
            words.append(f"loses: {in_words(self.loses)}")
        return f"{self.who} {'; '.join(words)}"


@dataclass(frozen=True, slots=True)
class PolicyComparison(JsonRecord):
    changes: tuple[Change, ...]
    lines: tuple[str, ...]
    """A unified diff of both as indented JSON. Cleaned text."""

    json_shape = shape("same changes diff=lines")

    @property
    def same(self) -> bool:
        return not self.lines


def compare(before: PolicyDocument, after: PolicyDocument, key_arn: str = "*") -> PolicyComparison:
    account = account_of(key_arn)
    was = _by_whom(accesses(before, (), key_arn), account)
    becomes = _by_whom(accesses(after, (), key_arn), account)
    changes = [
        Change(
            who,
            becomes.get(who, frozenset()) - was.get(who, frozenset()),
            was.get(who, frozenset()) - becomes.get(who, frozenset()),
        )
        for who in dict.fromkeys((*was, *becomes))
    ]
    lines = difflib.unified_diff(
        written(before.raw).splitlines(), written(after.raw).splitlines(), "now", "then", lineterm=""
    )
    return PolicyComparison(
        tuple(c for c in changes if c.gains or c.loses), tuple(clean(line, 2_000) for line in lines)
    )


def effects(changes: Sequence[Change]) -> tuple[str, ...]:
    """Return what changes by effect: who gains or loses opening, then sealing, then giving others access.

    All else is administration: one line says for whom how much of it changes.
    """
    lines = []
    for power in (Power.OPEN, Power.SEAL, Power.DELEGATE):
        for verb in ("gains", "loses"):
            by_actions: dict[str, list[str]] = {}
            for change in changes:
                moved = change.gains if verb == "gains" else change.loses
                if named := power_of(moved, power):
                    by_actions.setdefault(listed(named, _MOST_ACTIONS), []).append(change.who)
            lines += [f"{verb} {what}: {listed(whom, _MOST_NAMES)}" for what, whom in by_actions.items()]
    others = [told for change in changes if (told := _administration(change))]
    if others:
        lines.append(f"administrative actions: {listed(others, _MOST_NAMES)}")
    return tuple(lines)


def _administration(change: Change) -> str:
    uses = (Power.OPEN, Power.SEAL, Power.DELEGATE)
    numbers = []
    for verb, moved in (("gains", change.gains), ("loses", change.loses)):
        number = len(moved) - sum(len(power_of(moved, power)) for power in uses)
        numbers += [f"{verb} {number}"] if number else []
    return f"{change.who} {' and '.join(numbers)}" if numbers else ""


def written(raw: Mapping[str, Any]) -> str:
    return json.dumps(raw, indent=2, ensure_ascii=True)


def _by_whom(found: Sequence[Access], account: str | None) -> dict[str, frozenset[str]]:
    """The actions by who may do them: a principal under the same conditions is the same."""
    together: dict[str, frozenset[str]] = {}
    for access in found:
        who = access.seen_from(account)
        tests = sorted(
            f"{clean(c.key, 120)} {clean(c.operator, 60)} {' or '.join(clean(v, 200) for v in c.values)}"
            for c in access.conditions
        )
        if tests:
            who += f", if {' and '.join(tests)}"
        together[who] = together.get(who, frozenset()) | access.actions
    return together
