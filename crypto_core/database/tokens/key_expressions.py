"""SQL expressions for the key that sealed a token: its own answer from KMS if there is one, else its group's.

A group's v1 envelopes are told by how the stored string begins, so that nothing is decoded for a row: see
`in_groups`. Only answers that say something else than the group's are joined, by a piece of the stored value
first, so that few values are hashed.
"""

from __future__ import annotations

import base64
import string
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import sqlalchemy as sa

from crypto_core.database.tokens import expressions as sql
from crypto_core.database.tokens.attribution_cache import Wrapping
from crypto_core.envelope import ENVELOPE_FORMATS, STORED_PREFIXES
from crypto_core.lists.coverage import Evidence

_ALPHABET = string.ascii_uppercase + string.ascii_lowercase + string.digits + "+/"
_SURE = 48
"""Characters of the EDK's base64 that 37 bytes determine, in whole threes."""


def in_groups(stored: Any, edk_prefixes: Iterable[bytes]) -> sa.ColumnElement[bool]:
    """True for envelopes whose `edk_prefix_of` is one of these."""
    return _in_groups(stored, tuple(sorted(set(edk_prefixes))))


@lru_cache(maxsize=128)
def _in_groups(stored: Any, prefixes: tuple[bytes, ...]) -> sa.ColumnElement[bool]:
    if not prefixes:
        return sa.false()
    by_head = sa.func.left(stored, sql.HEAD_CHARACTERS).in_(_heads(prefixes))
    named = (
        sa.and_(
            sa.func.starts_with(stored, STORED_PREFIXES[f]), sql.edk_prefix_behind_key(stored).in_(prefixes)
        )
        for f in ENVELOPE_FORMATS
        if f.names_key
    )
    return sa.or_(by_head, *named, sa.and_(sql.is_respelt(stored), sql.respelt_prefix(stored).in_(prefixes)))


def _heads(edk_prefixes: tuple[bytes, ...]) -> sa.SelectBase:
    """How values of some groups begin where the EDK is first: some thousand texts, put together in SQL."""
    marks = [STORED_PREFIXES[f] for f in ENVELOPE_FORMATS if not f.names_key]
    ways = []
    for begins, endings in map(_beginnings, edk_prefixes):
        for mark in marks:
            ending = sa.func.unnest(sa.func.string_to_array(endings, ",")).column_valued("ending")
            ways.append(sa.select(sa.func.concat(mark + begins, ending)))
    return sa.union_all(*ways)


@lru_cache(maxsize=256)
def _beginnings(edk_prefix: bytes) -> tuple[str, str]:
    """How a group's values go on behind their mark, and the four characters that may follow."""
    encoded = base64.b64encode(edk_prefix).decode()
    sure, last = encoded[:_SURE], encoded[_SURE : _SURE + 2]
    # The 37th byte ends two bits into the 50th character: any of those that agree in them may stand there.
    first = _ALPHABET.index(last[1]) & 0b110000
    fiftieth = _ALPHABET[first : first + 16]
    endings = {_base64(last[0] + a + b) for a in fiftieth for b in _ALPHABET}
    return _base64(sure), ",".join(sorted(endings))


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@dataclass(frozen=True, slots=True)
class KeyView:
    """What is known of the keys while a query runs.

    `groups` are the wrappings that KMS named for each EDK prefix, `answers` those answers about single values
    that say something else than their group, `told` the wrappings among these. `damaged` is False where none
    of them is about an envelope that can't be opened.
    """

    groups: Mapping[bytes, frozenset[Wrapping]]
    answers: sa.FromClause | None
    told: frozenset[Wrapping] = frozenset()
    damaged: bool = True

    @property
    def single(self) -> dict[bytes, Wrapping]:
        return {prefix: next(iter(ws)) for prefix, ws in self.groups.items() if len(ws) == 1}

    @property
    def conflicts(self) -> tuple[bytes, ...]:
        return tuple(prefix for prefix, ws in self.groups.items() if len(ws) > 1)

    @property
    def wrappings(self) -> frozenset[Wrapping]:
        return self.told | frozenset(self.single.values())

    def joined(self, source: Any, stored: Any) -> Any:
        if self.answers is None:
            return source
        a = self.answers.c
        # `is_(True)`: a join by the digest would hash every value, this one only those with such a mark.
        same_mark = a.mark == sql.envelopes_mark(stored, sql.is_respelt(stored))
        return source.outerjoin(
            self.answers, sa.and_(same_mark, (a.digest == sql.digest_of(stored)).is_(True))
        )

    def is_under(self, stored: Any, wanted: Iterable[Wrapping]) -> sa.ColumnElement[bool]:
        """True under one of some wrappings. The tokens must be `joined`."""
        wrappings = frozenset(wanted)
        grouped = in_groups(stored, (prefix for prefix, w in self.single.items() if w in wrappings))
        if self.answers is None:
            return grouped
        own = sa.or_(sa.false(), *(_says(self.answers.c, w) for w in sorted(wrappings, key=str)))
        return sa.case((self.answers.c.digest.is_not(None), own), else_=grouped)

    def named(self) -> dict[str, Wrapping]:
        return {f"{arn} {material or ''}": (arn, material) for arn, material in self.wrappings}

    def is_named(self, stored: Any, names: Sequence[str]) -> sa.ColumnElement[bool]:
        """True under the wrapping of one of some names, "" for none that is known."""
        known = self.named()
        told = self.is_under(stored, [known[name] for name in names if name])
        if "" not in names:
            return told
        return sa.or_(told, sa.not_(sa.func.coalesce(self.is_under(stored, self.wrappings), False)))

    def has_evidence(self, stored: Any, evidence: Evidence) -> sa.ColumnElement[bool]:
        """The tokens must be `joined` with all answers."""
        if evidence is Evidence.VERIFIED:
            return sa.false() if self.answers is None else self.answers.c.key_arn.is_not(None)
        if evidence is Evidence.UNKNOWN and not self.damaged:
            # The answers are joined after that to what is in no group, not to each row that is looked at.
            ungrouped = sa.not_(sa.func.coalesce(in_groups(stored, self.groups), False))
            return ungrouped if self.answers is None else sa.and_(ungrouped, self.answers.c.digest.is_(None))
        if evidence is Evidence.UNKNOWN:
            others = (e for e in Evidence if e is not Evidence.UNKNOWN)
            return sa.not_(sa.func.coalesce(sa.or_(*(self.has_evidence(stored, e) for e in others)), False))
        prefixes = self.single if evidence is Evidence.INFERRED else self.conflicts
        grouped = in_groups(stored, prefixes)
        return grouped if self.answers is None else sa.and_(self.answers.c.digest.is_(None), grouped)


def unlike_their_group(relation: sa.FromClause, groups: Mapping[bytes, frozenset[Wrapping]]) -> sa.FromClause:
    r = relation.c
    agreeing = []
    for prefix, wrappings in groups.items():
        if len(wrappings) == 1:
            (wrapping,) = wrappings
            agreeing.append(sa.and_(r.edk_prefix == prefix, _says(r, wrapping)))
    agrees = sa.func.coalesce(sa.or_(sa.false(), *agreeing), False)
    return sa.select(*relation.c).where(~agrees).subquery("answers")


def _says(answer: Any, wrapping: Wrapping) -> sa.ColumnElement[bool]:
    key_arn, material = wrapping
    same = answer.key_material_id.is_(None) if material is None else answer.key_material_id == material
    return sa.and_(answer.key_arn == key_arn, same)
