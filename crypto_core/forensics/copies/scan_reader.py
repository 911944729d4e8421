"""A scan's document, read back strictly: whoever wrote the file that it comes from decides what is in it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn, TypeVar

from crypto_core.envelope import EDK_PREFIX_BYTES, ENVELOPE_FORMATS, PROVIDER_PREFIXES
from crypto_core.errors import RefusedError
from crypto_core.forensics.copies.report import FORM, CopyReport, KeyEvidence, KeyNeed, ScanReport
from crypto_core.key_names import is_key_arn
from crypto_core.text.clean_text import clean
from crypto_core.text.json_records import JsonRecord, JsonRecordError, record_of

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
