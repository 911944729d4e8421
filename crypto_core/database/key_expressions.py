"""SQL expressions for the key that sealed a token: its own answer from KMS if there is one, else its group's.

A group's v1 envelopes are told by how the stored string begins, so that nothing is decoded for a row: see
`in_group`. Only answers that say something else than the group's are joined, by a piece of the stored value
first, so that few values are hashed.
"""

from __future__ import annotations

import base64
import re
import string
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    FromClause,
    and_,
    case,
    false,
    func,
    not_,
    or_,
    select,
)

from crypto_core.coverage import Evidence
from crypto_core.database.answers import Wrapping
from crypto_core.database.expressions import (
    digest_of,
    edk_prefix_of,
    is_envelope,
    mark_of,
)
from crypto_core.envelope import STORED_PREFIXES, Format

EVIDENCES = tuple(Evidence)
"""In the order in which they sort: the best known first."""

_ALPHABET = string.ascii_uppercase + string.ascii_lowercase + string.digits + "+/"
_SURE, _CHARACTERS = 48, 51
"""Characters of the EDK's base64 that a prefix of 37 bytes determines, and that are looked at; in threes."""


def in_group(stored: Any, edk_prefix: bytes) -> ColumnElement[bool]:
    """True for envelopes of the key material group: for those whose `edk_prefix_of` is this."""
    v1 = _v1_in_group(stored, edk_prefix)
    v2 = and_(func.starts_with(stored, STORED_PREFIXES[Format.V2]), edk_prefix_of(stored) == edk_prefix)
    return or_(v1, v2)


def _v1_in_group(stored: Any, edk_prefix: bytes) -> ColumnElement[bool]:
    begins, follows = _beginnings(edk_prefix)
    next_ = func.substr(stored, len(begins) + 1, 4)
    return and_(func.starts_with(stored, begins), next_.regexp_match(follows))


@lru_cache(maxsize=256)
def _beginnings(edk_prefix: bytes) -> tuple[str, str]:
    """How v1 values of a group begin, and the pattern of the four characters that follow."""
    encoded = base64.b64encode(edk_prefix).decode()
    sure, last = encoded[:_SURE], encoded[_SURE : _SURE + 2]
    # The 37th byte ends two bits into the 50th character: any of those that agree in them may stand there.
    first = _ALPHABET.index(last[1]) & 0b110000
    fiftieth = _ALPHABET[first : first + 16]
    endings = {_base64(last[0] + a + b) for a in fiftieth for b in _ALPHABET}
    return STORED_PREFIXES[Format.V1] + _base64(sure), _pattern(endings)


def _pattern(texts: Iterable[str]) -> str:
    """A regular expression for some texts of four characters; a list of a thousand is slower to look up."""
    fourth: dict[str, set[str]] = {}
    for text in texts:
        fourth.setdefault(text[:3], set()).add(text[3])
    third: dict[tuple[str, str], set[str]] = {}
    for begins, ends in fourth.items():
        third.setdefault((begins[:2], "".join(sorted(ends))), set()).add(begins[2])
    ways = (f"{re.escape(two)}[{''.join(sorted(some))}][{ends}]" for (two, ends), some in third.items())
    return f"^(?:{'|'.join(sorted(ways))})$"


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@dataclass(frozen=True, slots=True)
class KeyView:
    """What is known of the keys while a query runs.

    `groups` are the wrappings that KMS named for each EDK prefix, `answers` those answers about single values
    that say something else than their group, `told` the wrappings among these.
    """

    groups: Mapping[bytes, frozenset[Wrapping]]
    answers: FromClause | None
    told: frozenset[Wrapping] = frozenset()

    @property
    def single(self) -> dict[bytes, Wrapping]:
        """The groups that have one wrapping."""
        return {prefix: next(iter(ws)) for prefix, ws in self.groups.items() if len(ws) == 1}

    @property
    def conflicts(self) -> tuple[bytes, ...]:
        """The groups that have more."""
        return tuple(prefix for prefix, ws in self.groups.items() if len(ws) > 1)

    @property
    def wrappings(self) -> frozenset[Wrapping]:
        """Every wrapping that a token can be shown with."""
        return self.told | frozenset(self.single.values())

    def joined(self, source: Any, stored: Any) -> Any:
        """The tokens with the answers about them."""
        if self.answers is None:
            return source
        a = self.answers.c
        # `is_(True)`: a join by the digest would hash every value, this one only those with such a mark.
        return source.outerjoin(
            self.answers,
            and_(a.mark == mark_of(stored), is_envelope(stored), (a.digest == digest_of(stored)).is_(True)),
        )

    def is_under(self, stored: Any, wanted: Iterable[Wrapping]) -> ColumnElement[bool]:
        """True for tokens under one of some wrappings. The tokens must be `joined`."""
        wrappings = frozenset(wanted)
        grouped = or_(
            false(), *(in_group(stored, prefix) for prefix, w in self.single.items() if w in wrappings)
        )
        if self.answers is None:
            return grouped
        own = or_(false(), *(_says(self.answers.c, w) for w in sorted(wrappings & self.told, key=str)))
        return case((self.answers.c.digest.is_not(None), own), else_=grouped)

    def named(self) -> dict[str, Wrapping]:
        """Every wrapping that a token can be shown with, by key ARN and material as one text."""
        return {f"{arn} {material or ''}": (arn, material) for arn, material in self.wrappings}

    def is_named(self, stored: Any, name: str) -> ColumnElement[bool]:
        """True for tokens under the wrapping of a name, with "" those under none that is known."""
        if name:
            return self.is_under(stored, [self.named()[name]])
        return not_(func.coalesce(self.is_under(stored, self.wrappings), False))

    def has_evidence(self, stored: Any, evidence: Evidence) -> ColumnElement[bool]:
        """True for tokens with the evidence. The tokens must be `joined` with all answers."""
        if evidence is Evidence.VERIFIED:
            return false() if self.answers is None else self.answers.c.key_arn.is_not(None)
        if evidence is Evidence.UNKNOWN:
            others = (e for e in Evidence if e is not Evidence.UNKNOWN)
            return not_(func.coalesce(or_(*(self.has_evidence(stored, e) for e in others)), False))
        prefixes = self.single if evidence is Evidence.INFERRED else self.conflicts
        grouped = or_(false(), *(in_group(stored, prefix) for prefix in prefixes))
        return grouped if self.answers is None else and_(self.answers.c.digest.is_(None), grouped)


def unlike_their_group(relation: FromClause, groups: Mapping[bytes, frozenset[Wrapping]]) -> FromClause:
    """Those answers that say something else about a value than is said of its group."""
    r = relation.c
    agreeing = []
    for prefix, wrappings in groups.items():
        if len(wrappings) == 1:
            (wrapping,) = wrappings
            agreeing.append(and_(r.edk_prefix == prefix, _says(r, wrapping)))
    agrees = func.coalesce(or_(false(), *agreeing), False)
    return select(*relation.c).where(~agrees).subquery("answers")


def _says(answer: Any, wrapping: Wrapping) -> ColumnElement[bool]:
    key_arn, material = wrapping
    same = answer.key_material_id.is_(None) if material is None else answer.key_material_id == material
    return and_(answer.key_arn == key_arn, same)
