"""What a scan has counted so far: of each key material, of each format, of each provider, and where."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from crypto_core.database.tokens.store import digest
from crypto_core.envelope import Envelope, Format
from crypto_core.forensics.copies.values import FoundValue
from crypto_core.values.clean_text import CleanText, clean

MOST_DISTINCT = 2_000_000
"""Values that are told from others; of more, distinct ones are no longer counted."""
MOST_GROUPS = 10_000
"""Key materials that are counted one by one; what is under more of them is one group."""
OTHERS = b""
MOST_SAMPLES = 3
MOST_PLACES = 20
"""Places that are named of what is damaged, or stored without protection."""


@dataclass(frozen=True, slots=True)
class GroupKey:
    """What envelopes of one group have in common: the key that they name, or the head of their data keys."""

    format: Format
    named_key: str | None
    edk_prefix: bytes | None


@dataclass(frozen=True, slots=True, repr=False)
class Sample:
    """A member of a group: what KMS can be asked about, and what tells its stored value from others."""

    encrypted_data_key: bytes
    digest: bytes


@dataclass(eq=False)
class CopyGroup:
    envelopes: int = 0
    distinct: int = 0
    samples: list[Sample] = field(default_factory=list, repr=False)


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands: the file, the members of archives, and the byte of what was unpacked."""

    name: CleanText
    offset: int

    def __str__(self) -> str:
        return f"{self.name}, byte {self.offset:,}"


@dataclass(eq=False)
class Tally:
    """Counts of one copy. Memory is bounded: values are told from each other by eight bytes of a hash."""

    files: int = 0
    size: int = 0
    """Bytes read, before anything was unpacked."""
    groups: dict[GroupKey, CopyGroup] = field(default_factory=dict)
    dev: int = 0
    dev_distinct: int = 0
    plaintext: Counter[str] = field(default_factory=Counter)
    plaintext_distinct: Counter[str] = field(default_factory=Counter)
    damaged: int = 0
    damaged_places: list[Place] = field(default_factory=list)
    exposed_places: list[Place] = field(default_factory=list)
    uncounted: bool = False
    """True if there were too many values to tell all from each other."""
    _seen: set[int] = field(default_factory=set, repr=False)
    _groups: dict[tuple[type[Envelope], str | None, bytes | None], CopyGroup] = field(
        default_factory=dict, repr=False
    )

    def count(self, value: FoundValue, name: str, offset: int) -> None:
        if value.envelope is not None:
            self._count_envelope(value.envelope, value.text, self._is_new(value.text))
            return
        if value.damaged:
            self.damaged += 1
            _note(self.damaged_places, name, offset)
            return
        new = self._is_new(value.text)
        _note(self.exposed_places, name, offset)
        if value.format is Format.DEV:
            self.dev += 1
            self.dev_distinct += new
        elif value.provider:
            self.plaintext[value.provider] += 1
            self.plaintext_distinct[value.provider] += new

    def _count_envelope(self, envelope: Envelope, text: bytes, new: bool) -> None:
        # Envelopes come by the million: a group is found without making its key.
        of = (type(envelope), envelope.named_key, envelope.edk_prefix)
        group = self._groups.get(of) or self._group_of(of)
        group.envelopes += 1
        group.distinct += new
        if new and len(group.samples) < MOST_SAMPLES:
            group.samples.append(Sample(envelope.encrypted_data_key, digest(text.decode("ascii"))))

    def _group_of(self, of: tuple[type[Envelope], str | None, bytes | None]) -> CopyGroup:
        version, named_key, edk_prefix = of
        if len(self.groups) >= MOST_GROUPS:
            key = GroupKey(version.format, None, OTHERS)
            return self.groups.setdefault(key, CopyGroup())
        group = self.groups[GroupKey(version.format, named_key, edk_prefix)] = CopyGroup()
        self._groups[of] = group
        return group

    def _is_new(self, text: bytes) -> bool:
        mark = hash(text)
        if mark in self._seen:
            return False
        if len(self._seen) >= MOST_DISTINCT:
            self.uncounted = True
            return False
        self._seen.add(mark)
        return True

    def done(self) -> None:
        self._seen = set()


def _note(places: list[Place], name: str, offset: int) -> None:
    if len(places) < MOST_PLACES:
        places.append(Place(clean(name, 600), offset))
