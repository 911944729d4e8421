"""What another key policy would change: who gains what, who loses what, and the lines that differ."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from crypto_core.key_names import account_of
from crypto_core.keys.policy.access import Access, accesses
from crypto_core.keys.policy.actions import in_words
from crypto_core.keys.policy.document import PolicyDocument
from crypto_core.text.cleaning import clean


@dataclass(frozen=True, slots=True)
class Change:
    """What one principal, under one set of conditions, would gain or lose. Actions without `kms:`."""

    who: str
    gains: frozenset[str]
    loses: frozenset[str]

    def __str__(self) -> str:
        """The change in words."""
        words = []
        if self.gains:
            words.append(f"gains: {in_words(self.gains)}")
        if self.loses:
            words.append(f"loses: {in_words(self.loses)}")
        return f"{self.who} {'; '.join(words)}"


@dataclass(frozen=True, slots=True)
class PolicyComparison:
    """Two policies of one key."""

    changes: tuple[Change, ...]
    lines: tuple[str, ...]
    """A unified diff of both as indented JSON. Cleaned text."""

    @property
    def same(self) -> bool:
        """True if both are the same, word for word."""
        return not self.lines


def compare(before: PolicyDocument, after: PolicyDocument, key_arn: str = "*") -> PolicyComparison:
    """Return what changes for whom from one policy to the other."""
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


def written(raw: Mapping[str, Any]) -> str:
    """Return a policy as indented JSON, in its own order."""
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
