"""Who is blocked on which keys: by the policies that KMS has now; since when and by whom, by the journal."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from fnmatch import fnmatchcase
from threading import Event

from crypto_core.database.state.journal import EntryFilter, Journal
from crypto_core.guard.guarded_change import Outcome
from crypto_core.guard.operations import ChangeKind
from crypto_core.keys.changes.key_reader import KeyReader
from crypto_core.keys.policy.block_statement import arns_of, blocked_by
from crypto_core.keys.policy.document import parse_policy
from crypto_core.keys.state import KeyState
from crypto_core.values.cancellation import stop_if
from crypto_core.values.clean_text import cleans
from crypto_core.values.errors import DatabaseError, KmsError, PolicyError, RefusedError
from crypto_core.values.key_names import region_of, short_key

MOST_KEYS = 50
"""Of so many keys the policy is read: KMS answers GetKeyPolicy a limited number of times a second."""


@dataclass(frozen=True, slots=True)
@cleans(principal=700, only_from=60, by=500, raw=("key_arn", "patterns"))
class Block:
    """A principal that a key refuses. `principal` is the ARN by which that is undone.

    `since` and `by` are None and "" where the journal has no entry about it. `patterns` are all the ARNs that
    the policy's statement names, `only_from` the addresses and VPC endpoints from which it does not refuse.
    """

    key_arn: str
    principal: str
    patterns: tuple[str, ...]
    since: datetime | None = None
    by: str = ""
    only_from: tuple[str, ...] = ()

    def refuses(self, principal: str) -> bool:
        try:
            arns = arns_of(principal)
        except RefusedError:
            return False
        return any(fnmatchcase(arn, pattern) for arn in arns for pattern in self.patterns)


@dataclass(frozen=True, slots=True)
@cleans(gaps=600)
class Blocks:
    """The blocks on some keys. `gaps` say why these may not be all, or what is not known of them."""

    found: tuple[Block, ...] = ()
    gaps: tuple[str, ...] = ()

    def of(self, principals: Iterable[str], keys: Iterable[str] = ()) -> tuple[Block, ...]:
        """Return those that refuse one of some principals, on some keys only where any are named."""
        arns, on = tuple(principals), frozenset(keys)
        return tuple(
            block for block in self.found if (not on or block.key_arn in on) and any(map(block.refuses, arns))
        )


def read_blocks(
    reader: KeyReader, journal: Journal, keys: Iterable[str], cancelled: Event | None = None
) -> Blocks:
    """Return who is blocked on keys, by their ARNs; what can't be read is a gap.

    Blocks on KMS and SQL. Raises InterruptedRunError once `cancelled` is set.
    """
    asked = tuple(dict.fromkeys(keys))
    found: list[Block] = []
    gaps: list[str] = []
    for key_arn in asked[:MOST_KEYS]:
        stop_if(cancelled)
        try:
            policy = parse_policy(reader.policy_text(KeyState(key_arn, region_of(key_arn) or "")))
        except (KmsError, PolicyError) as error:
            gaps.append(f"Who is blocked on {short_key(key_arn)} is not known: {error}")
            continue
        found += [
            Block(key_arn, one.patterns[0], one.patterns, only_from=one.only_from)
            for one in blocked_by(policy)
        ]
    if len(asked) > MOST_KEYS:
        gaps.append(f"Who is blocked on {len(asked) - MOST_KEYS:,} more keys was not asked.")
    if not found:
        return Blocks((), tuple(gaps))
    try:
        known = dict(_journaled(journal))
    except DatabaseError as error:
        return Blocks(tuple(found), (*gaps, f"Since when principals are blocked is not known: {error}"))
    for number, block in enumerate(found):
        since, by = known.get((block.key_arn, block.principal), (None, ""))
        found[number] = replace(block, since=since, by=by)
    return Blocks(tuple(found), tuple(gaps))


def _journaled(journal: Journal) -> Iterator[tuple[tuple[str, str], tuple[datetime, str]]]:
    """Yield when and by whom a principal was blocked on a key, the latest last."""
    which = EntryFilter(action=f"keys {ChangeKind.BLOCK}", outcome=Outcome.DONE.value)
    for entry in journal.entries(which=which):
        try:
            told = json.loads(entry.detail)
            named = [one["principal"] for one in told.get("blocks", ())] or [told["principal"]]
            principals = [arns_of(one)[0] for one in named]
        except (ValueError, KeyError, TypeError, AttributeError, RefusedError):
            continue
        for principal in principals:
            yield (str(told.get("key_arn")), principal), (entry.at, entry.actor)
