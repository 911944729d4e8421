"""A scan's document, read back strictly: whoever wrote the file that it comes from decides what is in it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, NoReturn

from crypto_core.copies.report import FORM, CopyReport, Exposed, KeyEvidence, KeyNeed, Opening, ScanReport
from crypto_core.envelope import EDK_PREFIX_BYTES, ENVELOPE_FORMATS, PROVIDER_PREFIXES
from crypto_core.errors import RefusedError
from crypto_core.key_names import is_key_arn
from crypto_core.lists.coverage import Coverage
from crypto_core.text.cleaning import clean

LARGEST = 64 << 20
"""Bytes of a document that is read."""
MOST = 10_000
_LARGEST_NUMBER = 1 << 53
_FORMATS = {format_.value for format_ in ENVELOPE_FORMATS}
_KINDS = {"dev", *PROVIDER_PREFIXES}
_PREFIX = re.compile(f"(?:[0-9a-f]{{{2 * EDK_PREFIX_BYTES}}})?")
_REMEDY = "Write it anew with: keydeck scan PATH --json."

Members = Mapping[str, Any]


def read_scan(document: bytes) -> ScanReport:
    """Return the scan that a document holds. Raises RefusedError, which names the member that is wrong."""
    if len(document) > LARGEST:
        _refuse("the document", f"has more than {LARGEST >> 20} MiB")
    try:
        told = json.loads(document, parse_constant=_no_number)
    except (ValueError, RecursionError):
        _refuse("the document", "is no JSON")
    members = _object(told, "the document", ("form", "scanned_at", "offline", "copies"))
    if members["form"] != FORM:
        _refuse("form", f"is not {FORM}")
    return ScanReport(
        _moment(members["scanned_at"], "scanned_at"),
        tuple(_copy(one, f"copies[{n}]") for n, one in enumerate(_list(members["copies"], "copies"))),
        offline=_flag(members["offline"], "offline"),
    )


def read_copy(members: Any) -> CopyReport:
    """Return one copy of a document. Raises as `read_scan`."""
    return _copy(members, "the copy")


_COPY = (
    *("path", "files", "bytes", "envelopes", "distinct", "damaged", "keys", "exposed", "opened_by"),
    *("lost_with", "places", "problems", "coverage"),
)


def _copy(told: Any, at: str) -> CopyReport:
    members = _object(told, at, _COPY)
    needs = tuple(_need(one, f"{at}.keys[{n}]") for n, one in enumerate(_list(members["keys"], f"{at}.keys")))
    exposed = tuple(
        _exposed(one, f"{at}.exposed[{n}]")
        for n, one in enumerate(_list(members["exposed"], f"{at}.exposed"))
    )
    coverage = _object(members["coverage"], f"{at}.coverage", ("complete", "reasons"))
    copy = CopyReport(
        clean(_text(members["path"], f"{at}.path"), 1_000),
        _number(members["files"], f"{at}.files"),
        _number(members["bytes"], f"{at}.bytes"),
        needs,
        exposed,
        _number(members["damaged"], f"{at}.damaged"),
        _texts(members["places"], f"{at}.places"),
        _texts(members["problems"], f"{at}.problems"),
        Coverage(_texts(coverage["reasons"], f"{at}.coverage.reasons")),
    )
    for name in ("envelopes", "distinct"):
        if _number(members[name], f"{at}.{name}") != getattr(copy, name):
            _refuse(f"{at}.{name}", "is not what its keys come to")
    return copy


_NEED = (
    *("key_arn", "alias", "key_state", "key_material_id", "envelopes", "distinct", "by_format", "evidence"),
    *("edk_prefix", "opened_by", "note"),
)


def _need(told: Any, at: str) -> KeyNeed:
    members = _object(told, at, _NEED)
    arn = members["key_arn"]
    if arn is not None and not is_key_arn(arn):
        _refuse(f"{at}.key_arn", "is no key ARN")
    formats = members["by_format"]
    if not isinstance(formats, dict) or not formats.keys() <= _FORMATS:
        _refuse(f"{at}.by_format", "has another format than envelopes have")
    counts = {name: _number(count, f"{at}.by_format") for name, count in formats.items()}
    envelopes, distinct = (_number(members[n], f"{at}.{n}") for n in ("envelopes", "distinct"))
    if sum(counts.values()) != envelopes or distinct > envelopes:
        _refuse(f"{at}.envelopes", "is not what its formats come to")
    evidence = _one_of(members["evidence"], f"{at}.evidence", KeyEvidence)
    if (arn is None) is not (evidence in (KeyEvidence.UNKNOWN, KeyEvidence.CONFLICT)):
        _refuse(f"{at}.evidence", "does not fit its key")
    _one_of(members["opened_by"], f"{at}.opened_by", Opening)
    prefix = _text(members["edk_prefix"], f"{at}.edk_prefix")
    if not _PREFIX.fullmatch(prefix):
        _refuse(f"{at}.edk_prefix", "is no beginning of an encrypted data key")
    alias, state, material = (
        None if members[n] is None else clean(_text(members[n], f"{at}.{n}"), 300)
        for n in ("alias", "key_state", "key_material_id")
    )
    note = _text(members["note"], f"{at}.note")
    return KeyNeed(arn, material, envelopes, distinct, counts, evidence, prefix, alias, state, note)


def _exposed(told: Any, at: str) -> Exposed:
    members = _object(told, at, ("kind", "values", "distinct"))
    if members["kind"] not in _KINDS:
        _refuse(f"{at}.kind", "is neither dev nor a provider")
    values, distinct = (_number(members[n], f"{at}.{n}") for n in ("values", "distinct"))
    if distinct > values:
        _refuse(f"{at}.distinct", "is more than there are")
    return Exposed(members["kind"], values, distinct)


def _object(told: Any, at: str, names: Sequence[str]) -> Members:
    if not isinstance(told, dict):
        _refuse(at, "is no object")
    if missing := [name for name in names if name not in told]:
        _refuse(at, f"lacks {', '.join(missing)}")
    if len(told) > len(names):
        _refuse(at, "has members that no scan writes")
    return told


def _list(told: Any, at: str) -> Sequence[Any]:
    if not isinstance(told, list) or len(told) > MOST:
        _refuse(at, f"is no list of at most {MOST:,}")
    return told


def _texts(told: Any, at: str) -> tuple[str, ...]:
    return tuple(clean(_text(one, at), 2_000) for one in _list(told, at))


def _text(told: Any, at: str) -> str:
    if not isinstance(told, str):
        _refuse(at, "is no text")
    return told


def _number(told: Any, at: str) -> int:
    if type(told) is not int or not 0 <= told <= _LARGEST_NUMBER:
        _refuse(at, "is no count")
    return told


def _flag(told: Any, at: str) -> bool:
    if not isinstance(told, bool):
        _refuse(at, "is neither true nor false")
    return told


def _moment(told: Any, at: str) -> datetime:
    try:
        moment = datetime.fromisoformat(_text(told, at))
    except ValueError:
        _refuse(at, "is no time")
    if moment.tzinfo is None:
        _refuse(at, "has no offset")
    return moment


def _one_of(told: Any, at: str, kinds: Callable[[Any], Any]) -> Any:
    try:
        return kinds(told)
    except ValueError:
        _refuse(at, "is no word of a scan's")


def _no_number(_: str) -> NoReturn:
    raise ValueError


def _refuse(at: str, why: str) -> NoReturn:
    raise RefusedError(f"This is not what a scan writes: {clean(at, 200)} {why}.", remedy=_REMEDY) from None
