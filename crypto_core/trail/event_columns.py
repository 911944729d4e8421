"""Events as the store's columns, made without the database: in another process, or before a transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, compress
from typing import TypeVar

from crypto_core.trail.columns import marks, seconds, stored_id
from crypto_core.trail.event import KMS, TrailEvent
from crypto_core.trail.event_fields import DETAILS, EVENT_FIELDS, ROLLED
from crypto_core.trail.receipt_match import request_of
from crypto_core.trail.record_compression import Block, pack, unpack

NETWORK = "AwsVpceEvent"


def twin_keys(event: TrailEvent) -> tuple[bytes, ...]:
    """Return what another record of the same call has too; nothing where there can be none.

    CloudTrail User Guide, "CloudTrail record contents": a call of one account on another's key is recorded in
    both, with the same sharedEventID. "Logging network activity events": a call through a VPC endpoint may
    have a record of its way beside its own, with the same requestID.
    """
    found = [b"s" + event.shared_id.encode()] if event.shared_id else []
    if event.request_id and event.vpc_endpoint:
        found.append(b"r" + event.request_id.encode())
    return tuple(found)


def detail(event: TrailEvent) -> int:
    """Return how much a record tells: the call before its way, then the caller by name before an account."""
    named = any(kind in event.principal.arn for kind in (":user/", ":role/"))
    return 2 * (event.event_type != NETWORK) + named


_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Texts:
    """A column of texts: each text once, and for each row the place of its own."""

    texts: list[str]
    places: list[int]

    def at(self, rows: Iterable[int]) -> Texts:
        return texts_of([self.texts[self.places[row]] for row in rows])


@dataclass(frozen=True, slots=True)
class Prepared:
    """Events, each once, and how many were given: of the same, the first stays. The same have id and time.

    `kms_given` and `kms` are those of KMS, as often as they were given and each once. `marks` are the
    properties, `blocks` the records. What events have in common, the texts of ROLLED, stands once in
    `common`; `kinds` are the rows of each event there. `columns` are those of DETAILS. `twins` are those that
    may be recorded twice, each by its place, what its records have in common, and how much this one tells.
    `requests` are those that a receipt can explain, each by its place, its request id and its operation's
    number.
    """

    given: int
    kms_given: int
    kms: int
    ids: list[bytes]
    at: list[int]
    marks: list[int]
    kinds: list[int]
    common: dict[str, Texts]
    columns: dict[str, Texts]
    blocks: list[Block]
    twins: list[tuple[int, bytes, int]]
    requests: list[tuple[int, bytes, int]]

    @property
    def size(self) -> int:
        return sum(len(block) for _, block in self.blocks)

    def of(self, kept: Sequence[bool]) -> Prepared:
        if all(kept):
            return self
        places = list(accumulate(kept, initial=0))
        kinds, rows = _numbered(list(compress(self.kinds, kept)))
        left = list(compress(range(len(kept)), kept))
        # What all are without needs no records: nothing is written of it.
        records = [record for _, block in self.blocks for record in unpack(block)] if any(kept) else []
        return Prepared(
            self.given,
            self.kms_given,
            self.kms,
            list(compress(self.ids, kept)),
            list(compress(self.at, kept)),
            list(compress(self.marks, kept)),
            kinds,
            {name: column.at(rows) for name, column in self.common.items()},
            {name: column.at(left) for name, column in self.columns.items()},
            pack(list(compress(records, kept))),
            [(places[place], key, told) for place, key, told in self.twins if kept[place]],
            [(places[place], request, of) for place, request, of in self.requests if kept[place]],
        )


def prepare(events: Sequence[TrailEvent]) -> Prepared:
    by_id: dict[tuple[bytes, int], TrailEvent] = {}
    for event in events:
        by_id.setdefault((stored_id(event.event_id), seconds(event.time)), event)
    once = list(by_id.values())
    texts = [map(EVENT_FIELDS[name].text, once) for name in ROLLED]
    kinds, common = _numbered(list(zip(*texts, strict=True)))
    return Prepared(
        len(events),
        sum(event.source == KMS for event in events),
        sum(event.source == KMS for event in once),
        [one for one, _ in by_id],
        [at for _, at in by_id],
        list(map(marks, once)),
        kinds,
        {name: texts_of([one[place] for one in common]) for place, name in enumerate(ROLLED)},
        {name: texts_of(list(map(EVENT_FIELDS[name].text, once))) for name in DETAILS},
        pack([event.raw for event in once]),
        [(place, key, detail(event)) for place, event in enumerate(once) for key in twin_keys(event)],
        [(place, *asked) for place, event in enumerate(once) if (asked := request_of(event))],
    )


def texts_of(texts: Sequence[str]) -> Texts:
    places, once = _numbered(texts)
    return Texts(once, places)


def _numbered(values: Sequence[_T]) -> tuple[list[int], list[_T]]:
    numbers = {value: place for place, value in enumerate(dict.fromkeys(values))}
    return list(map(numbers.__getitem__, values)), list(numbers)
