"""What a copy holds, which keys it needs, and what whoever has it can open. No value is in it.

A scan's document is read back strictly: whoever wrote the file that it comes from decides what is in it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, NoReturn, TypeVar

from crypto_core.envelope import EDK_PREFIX_BYTES, ENVELOPE_FORMATS, PROVIDER_PREFIXES
from crypto_core.lists.coverage import Coverage
from crypto_core.values.clean_text import CleanText, clean, cleans
from crypto_core.values.errors import RefusedError
from crypto_core.values.json_records import JsonRecord, JsonRecordError, made, record_of, shape
from crypto_core.values.key_names import is_key_arn, same_key, short_key

GONE = "gone"
ENABLED = "Enabled"


class KeyEvidence(StrEnum):
    INFERRED = "inferred"
    """KMS named the key of another envelope of the same key material."""
    NAMED = "named"
    CONFLICT = "conflict"
    UNKNOWN = "unknown"


class Opening(StrEnum):
    """Who can open something that stands in a copy, by the state of its key now."""

    ANYBODY = "anybody"
    CALLERS = "whoever may call Decrypt"
    NOT_NOW = "nobody now"
    NEVER = "nobody ever again"
    UNKNOWN = "not known"


def opening_of(state: str | None) -> Opening:
    """Return who can open what is under a key in this state; None for a state that isn't known."""
    if not state:
        return Opening.UNKNOWN
    if state == GONE:
        return Opening.NEVER
    return Opening.CALLERS if state == ENABLED else Opening.NOT_NOW


@dataclass(frozen=True, slots=True)
@cleans(key_material_id=300, alias=300, key_state=60, note=1_000)
class KeyNeed(JsonRecord):
    """Envelopes of one copy under one key material. `key_arn` is None where nobody knows the key."""

    key_arn: str | None
    key_material_id: str | None
    envelopes: int
    distinct: int
    by_format: Mapping[str, int]
    evidence: KeyEvidence
    edk_prefix: str = ""
    """What their encrypted data keys begin with, in hex; it tells the key material. "" for none."""
    alias: CleanText | None = None
    key_state: CleanText | None = None
    note: str = ""

    json_shape = shape("key_arn alias key_state ... opened_by=opening note")

    @property
    def opening(self) -> Opening:
        return opening_of(self.key_state)

    @property
    def key_name(self) -> str:
        return self.alias or (short_key(self.key_arn) if self.key_arn else "a key that is not known")


@dataclass(frozen=True, slots=True)
class LostWithKey(JsonRecord):
    key_arn: str
    envelopes: int


@dataclass(frozen=True, slots=True)
class Exposed(JsonRecord):
    kind: str
    values: int
    distinct: int


@dataclass(frozen=True, slots=True)
@cleans(path=1_000, places=900, problems=900)
class CopyReport(JsonRecord):
    """What one copy holds. `problems` is what could not be read, `coverage` all that may be missing."""

    path: CleanText
    files: int
    size: int
    needs: tuple[KeyNeed, ...]
    exposed: tuple[Exposed, ...]
    damaged: int
    places: tuple[str, ...] = ()
    """Where damaged values and those that anybody can open stand; the first of them."""
    problems: tuple[str, ...] = ()
    coverage: Coverage = field(default_factory=Coverage)

    json_shape = shape(
        "path files bytes=size envelopes distinct damaged keys=needs exposed opened_by lost_with ...",
        opened_by=made(dict[Opening, int], lambda record: {o: record.opened_by(o) for o in Opening}),
        lost_with=made(
            tuple[LostWithKey, ...],
            lambda record: [LostWithKey(arn, record.lost_with(arn)) for arn in record.key_arns],
        ),
    )

    @property
    def envelopes(self) -> int:
        return sum(need.envelopes for need in self.needs)

    @property
    def distinct(self) -> int:
        return sum(need.distinct for need in self.needs)

    @property
    def open_to_anybody(self) -> int:
        return sum(one.values for one in self.exposed)

    def opened_by(self, opening: Opening) -> int:
        free = self.open_to_anybody if opening is Opening.ANYBODY else 0
        return free + sum(need.envelopes for need in self.needs if need.opening is opening)

    def lost_with(self, key_arn: str) -> int:
        """How many envelopes can't be opened any more once a key, with all its replicas, is deleted."""
        return sum(n.envelopes for n in self.needs if n.key_arn and same_key(n.key_arn, key_arn))

    @property
    def key_arns(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(need.key_arn for need in self.needs if need.key_arn))


FORM = "keydeck-scan-1"
"""What a scan's document calls itself, so that no other one is taken for it."""


@dataclass(frozen=True, slots=True)
class ScanReport(JsonRecord):
    scanned_at: datetime
    copies: tuple[CopyReport, ...]
    offline: bool = False
    """True if KMS was not asked: keys and their states are known only as far as they were before."""

    json_shape = shape("form ... copies", form=FORM)

    @property
    def well(self) -> bool:
        """True if everything was read and nothing is open to anybody."""
        return not any(copy.open_to_anybody or copy.problems for copy in self.copies)


LARGEST = 64 << 20
MOST = 10_000
_LARGEST_NUMBER = 1 << 53
_FORMATS = {format_.value for format_ in ENVELOPE_FORMATS}
_KINDS = {"dev", *PROVIDER_PREFIXES}
_PREFIX = re.compile(f"(?:[0-9a-f]{{{2 * EDK_PREFIX_BYTES}}})?")
_REMEDY = "Write it anew with: keydeck scan PATH --json."

Model = TypeVar("Model", bound=JsonRecord)


def read_scan(document: bytes) -> ScanReport:
    """Return the scan that a document holds. Raises RefusedError, which names the member that is wrong."""
    if len(document) > LARGEST:
        _refuse("the document", f"has more than {LARGEST >> 20} MiB")
    try:
        members = json.loads(document)
    except (ValueError, RecursionError):
        _refuse("the document", "is no JSON")
    if not isinstance(members, dict) or members.get("form") != FORM:
        _refuse("form", f"is not {FORM}")
    report = _read(ScanReport, members)
    for number, copy in enumerate(report.copies):
        _require(copy, f"copies[{number}]")
    _require_same(members, report)
    return report


def read_copy(members: Any) -> CopyReport:
    """Return one copy of a document. Raises as `read_scan`."""
    copy = _read(CopyReport, members)
    _require(copy, "the copy")
    _require_same(members, copy)
    return copy


def _read(model: type[Model], members: Any) -> Model:
    try:
        return record_of(model, members)
    except JsonRecordError as error:
        _refuse(error.path, error.trouble)


def _require_same(members: Any, record: JsonRecord) -> None:
    for at, why in _differences(members, record.as_json(), ""):
        _refuse(at, why)


def _differences(told: Any, written: Any, at: str) -> Iterator[tuple[str, str]]:
    """What a scan would have written otherwise; texts may differ, since they are cleaned as they are read."""
    if isinstance(written, dict):
        if not isinstance(told, Mapping) or told.keys() != written.keys():
            yield at or "the document", "has other members than a scan writes"
        else:
            for name, value in written.items():
                yield from _differences(told[name], value, f"{at}.{name}".lstrip("."))
    elif isinstance(written, list):
        if len(told) != len(written) or len(written) > MOST:
            yield at, f"has other members than a scan writes, or more than {MOST:,}"
        for number, (one, value) in enumerate(zip(told, written, strict=False)):
            yield from _differences(one, value, f"{at}[{number}]")
    elif type(written) is int and not (type(told) is int and 0 <= told <= _LARGEST_NUMBER):
        yield at, "is no count"
    elif not isinstance(written, str) and told != written:
        yield at, "is not what its parts come to"


def _require(copy: CopyReport, at: str) -> None:
    for number, need in enumerate(copy.needs):
        _require_need(need, f"{at}.keys[{number}]")
    for number, one in enumerate(copy.exposed):
        if one.kind not in _KINDS:
            _refuse(f"{at}.exposed[{number}].kind", "is neither dev nor a provider")
        if one.distinct > one.values:
            _refuse(f"{at}.exposed[{number}].distinct", "is more than there are")


def _require_need(need: KeyNeed, at: str) -> None:
    if need.key_arn is not None and not is_key_arn(need.key_arn):
        _refuse(f"{at}.key_arn", "is no key ARN")
    if not need.by_format.keys() <= _FORMATS:
        _refuse(f"{at}.by_format", "has another format than envelopes have")
    if sum(need.by_format.values()) != need.envelopes or need.distinct > need.envelopes:
        _refuse(f"{at}.envelopes", "is not what its formats come to")
    if (need.key_arn is None) is not (need.evidence in (KeyEvidence.UNKNOWN, KeyEvidence.CONFLICT)):
        _refuse(f"{at}.evidence", "does not fit its key")
    if not _PREFIX.fullmatch(need.edk_prefix):
        _refuse(f"{at}.edk_prefix", "is no beginning of an encrypted data key")


def _refuse(at: str, why: str) -> NoReturn:
    raise RefusedError(f"This is not what a scan writes: {clean(at, 200)} {why}.", remedy=_REMEDY) from None
