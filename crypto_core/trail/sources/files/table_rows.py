"""Rows of a table, of a CSV file or of an engine's answer: where a record stands in them.

A row holds a record where one column has it as JSON, or where every column is there that an event is made of.
Athena and CloudTrail Lake print structures as {a=b, c=d}, which can't be read back without guessing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from crypto_core.trail.record_reader import load
from crypto_core.trail.sources.engine_rows import PLAIN, plain_record, record_of
from crypto_core.trail.sources.files.unpacking import Refused

WHOLE = ("eventjson", "cloudtrailevent", "_raw", "@message", "event.original", "raw_data", "message")
_NEEDED = ("eventid", "eventtime", "eventsource", "eventname", "awsregion", "requestparameters")
_STRUCTURES = ("useridentity", "resources")
_OF_A_PULL = ("identity_arn", "resource_arns")
COLUMNS = frozenset((*WHOLE, *PLAIN.values(), *_STRUCTURES, *_OF_A_PULL)) - {"message"}

_NAMES = (
    *("type", "principalId", "arn", "accountId", "invokedBy", "accessKeyId", "userName", "sessionContext"),
    *("attributes", "creationDate", "mfaAuthenticated", "sessionIssuer", "webIdFederationData"),
)
_CASED = {name.lower(): name for name in _NAMES}
_ASKED = ", ".join((*_NEEDED, *(f"json_format(CAST({name} AS JSON)) AS {name}" for name in _STRUCTURES)))
_NO_RECORD = Refused(
    "a table without whole records",
    f"Of CloudTrail Lake's columns it needs eventJson; of Athena's: {_ASKED}.",
)


def of_row(row: Mapping[str, object]) -> Iterable[object]:
    """Return what a row holds: a text that is a record's JSON, a record, or that it holds none."""
    cells = {name.strip().lower(): cell for name, cell in row.items()}
    for name in WHOLE:
        if isinstance(cell := cells.get(name), str) and cell.strip():
            return (cell,)
    texts = {name: cell or None for name, cell in cells.items() if isinstance(cell, str | None)}
    if not all(name in cells for name in _NEEDED) or not texts["eventid"]:
        return (_NO_RECORD,)
    if all(name in cells for name in _OF_A_PULL):
        return (record_of(texts),)
    try:
        identity, resources = (load(texts[name] or "null") for name in _STRUCTURES)
    except (KeyError, ValueError):
        return (_NO_RECORD,)
    arns = resources if isinstance(resources, list) else ()
    return (
        plain_record(texts)
        | {
            "userIdentity": _cased(identity),
            "resources": [{"ARN": one.get("arn")} for one in arns if isinstance(one, dict)],
        },
    )


def _cased(value: object) -> object:
    found: dict[str, object] = {"identity": value}
    level = [found]
    for _ in range(4):
        inner: list[dict[str, object]] = []
        for outer in level:
            for name, within in outer.items():
                if isinstance(within, dict):
                    cased: dict[str, object] = {
                        _CASED.get(str(key), str(key)): one for key, one in within.items()
                    }
                    outer[name] = cased
                    inner.append(cased)
        level = inner
    return found["identity"]
