"""Events as the store's columns, made without the database: in another process, or before a transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, compress

from crypto_core.trail.columns import marks, seconds, stored_id
from crypto_core.trail.event import TrailEvent
from crypto_core.trail.event_fields import DETAILS, EVENT_FIELDS, ROLLED
from crypto_core.trail.packing import Block, pack, unpack
from crypto_core.trail.receipt_match import request_of
from crypto_core.trail.recorded_twice import detail, twin_keys


@dataclass(frozen=True, slots=True)
class Texts:
    """A column of texts: each text once, and for each event the place of its own."""

    texts: list[str]
    places: list[int]

    def of(self, kept: Sequence[bool]) -> Texts:
        """The column of those events that are kept, without the texts of others."""
        return texts_of([self.texts[place] for place in compress(self.places, kept)])


@dataclass(frozen=True, slots=True)
class Prepared:
    """Events, each once, and how many were given: of the same, the first stays. The same have id and time.

    `kms_given` and `kms` are those of KMS, as often as they were given and each once. `marks` are the
    properties, `blocks` the records. `twins` are those that may be recorded twice, each by its place, what
    its records have in common, and how much this one tells. `requests` are those that a receipt can explain,
    each by its place, its request id and its operation's number.
    """

    given: int
    kms_given: int
    kms: int
    ids: list[bytes]
    at: list[int]
    marks: list[int]
    columns: dict[str, Texts]
    blocks: list[Block]
    twins: list[tuple[int, bytes, int]]
    requests: list[tuple[int, bytes, int]]

    @property
    def size(self) -> int:
        """Bytes that the packed records take."""
        return sum(len(block) for _, block in self.blocks)

    def of(self, kept: Sequence[bool]) -> Prepared:
        """Return those of the events that are kept."""
        if all(kept):
            return self
        places = list(accumulate(kept, initial=0))
        # What all are without needs no records: nothing is written of it.
        records = [record for _, block in self.blocks for record in unpack(block)] if any(kept) else []
        return Prepared(
            self.given,
            self.kms_given,
            self.kms,
            list(compress(self.ids, kept)),
            list(compress(self.at, kept)),
            list(compress(self.marks, kept)),
            {name: column.of(kept) for name, column in self.columns.items()},
            pack(list(compress(records, kept))),
            [(places[place], key, told) for place, key, told in self.twins if kept[place]],
            [(places[place], request, of) for place, request, of in self.requests if kept[place]],
        )


def prepare(events: Sequence[TrailEvent]) -> Prepared:
    """Return events as they are stored."""
    by_id: dict[tuple[bytes, int], TrailEvent] = {}
    for event in events:
        by_id.setdefault((stored_id(event.event_id), seconds(event.time)), event)
    once = list(by_id.values())
    return Prepared(
        len(events),
        sum(event.is_kms for event in events),
        sum(event.is_kms for event in once),
        [one for one, _ in by_id],
        [at for _, at in by_id],
        list(map(marks, once)),
        {name: texts_of(list(map(EVENT_FIELDS[name].text, once))) for name in (*ROLLED, *DETAILS)},
        pack([event.raw for event in once]),
        [(place, key, detail(event)) for place, event in enumerate(once) for key in twin_keys(event)],
        [(place, *asked) for place, event in enumerate(once) if (asked := request_of(event))],
    )


def texts_of(texts: Sequence[str]) -> Texts:
    """Return the texts of a column of events."""
    numbers = {text: place for place, text in enumerate(dict.fromkeys(texts))}
    return Texts(list(numbers), list(map(numbers.__getitem__, texts)))
