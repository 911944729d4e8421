"""A table of Amazon Security Lake's (OCSF, API Activity) as CloudTrail's own table in Athena.

Its columns are mapped back as `ocsf_records` maps a document's fields, those alone that the table's
definition has: what is asked of CloudTrail's table is then asked of this one, rows and counts alike. Iceberg
leaves out files by `time_dt`, tables of source version 1 by their partition `eventday`.

Security Lake User Guide, "Open Cybersecurity Schema Framework" and its example queries for CloudTrail.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime
from itertools import groupby
from operator import itemgetter

from crypto_core.trail.event import UNDATED
from crypto_core.trail.record_reader import MATERIALS, PLACES, WITHIN
from crypto_core.trail.sources.engines.table_definition import TableDefinition
from crypto_core.trail.sources.files.ocsf_records import API_ACTIVITY, DOCUMENTS, FIELDS, IDENTITY

_NEEDED = ("class_uid", "metadata.uid", "api.operation", "api.service.name")
_ADDRESSES = ("src_endpoint.ip", "src_endpoint.domain")
_ACCOUNTS = ("cloud.account.uid",)
_UNMAPPED = ("readOnly", "sessionCredentialFromConsole", *PLACES)
"""What a table has under its own name, but for what the mapping has a place for."""
_WITHIN = {
    "additionaleventdata": ("additionalEventData", MATERIALS),
    "serviceeventdetails": ("serviceEventDetails", ("keyId",)),
}
_REGION = re.compile(r"[a-z0-9-]{1,40}")
_NOTHING = "CAST(NULL AS VARCHAR)"


def is_ocsf(definition: TableDefinition) -> bool:
    """True for a table of OCSF's API Activity, as far as its columns tell."""
    return definition.known and all(map(definition.has, _NEEDED))


def provided(definition: TableDefinition) -> frozenset[str]:
    """Return the columns of CloudTrail's table that such a table brings."""
    return frozenset(name for name, _ in _columns(definition))


def as_cloudtrail(
    table: str,
    definition: TableDefinition,
    window: tuple[datetime | None, datetime | None],
    days: tuple[date | None, date | None],
    regions: Sequence[str],
) -> str:
    """Return the events of a window, in some Regions or all, as a relation with CloudTrail's columns."""
    selected = dict(_columns(definition))
    columns = ", ".join(f"{written} AS {name}" for name, written in selected.items())
    where = " AND ".join(_conditions(definition, window, days, regions))
    return f"(SELECT {columns} FROM {table} WHERE {where}) AS logs"  # noqa: S608  # paths of ours, quoted texts


def _columns(definition: TableDefinition) -> Iterator[tuple[str, str]]:
    for name, path in (*FIELDS.items(), *DOCUMENTS.items()):
        yield name.lower(), _text(definition, ".".join(path))
    yield "eventtime", _moment(definition)
    yield "sourceipaddress", _first(definition, _ADDRESSES)
    accounts = (_first(definition, _ACCOUNTS), _unmapped(definition, "recipientAccountId"))
    yield "recipientaccountid", f"coalesce({', '.join([*accounts, _text(definition, 'accountid')])})"
    for name in _UNMAPPED:
        if "." not in name and name not in (*FIELDS, "sourceIPAddress"):
            yield name.lower(), _unmapped(definition, name)
    for name, (outer, inner) in _WITHIN.items():
        yield name, _document(definition, outer, inner)
    for outer, places in groupby(sorted(WITHIN), itemgetter(0)):
        within = [name for _, name in places]
        values = ", ".join(_unmapped(definition, f"{outer}.{name}") for name in within)
        types = ", ".join(f"{name.lower()} VARCHAR" for name in within)
        yield outer.lower(), f"CAST(ROW({values}) AS ROW({types}))"
    yield "useridentity", _identity(definition)
    if definition.has("resources.uid"):
        yield "resources", "transform(resources, r -> CAST(ROW(r.uid) AS ROW(arn VARCHAR)))"


def _text(definition: TableDefinition, path: str) -> str:
    return f"CAST({path} AS VARCHAR)" if definition.has(path) else _NOTHING


def _first(definition: TableDefinition, paths: Iterable[str]) -> str:
    return f"coalesce({', '.join([*(_text(definition, path) for path in paths), _NOTHING])})"


def _unmapped(definition: TableDefinition, field: str) -> str:
    return f"element_at(unmapped, '{field}')" if definition.has("unmapped") else _NOTHING


def _document(definition: TableDefinition, outer: str, inner: Sequence[str]) -> str:
    if not definition.has("unmapped"):
        return _NOTHING
    names = ", ".join(f"'{name}'" for name in inner)
    values = ", ".join(_unmapped(definition, f"{outer}.{name}") for name in inner)
    return f"json_format(CAST(MAP(ARRAY[{names}], ARRAY[{values}]) AS JSON))"


def _moment(definition: TableDefinition) -> str:
    """When it was, as CloudTrail writes it: whole seconds, UTC."""
    at = "time_dt" if definition.has("time_dt") else "from_unixtime(time / 1000)"
    return f"replace(substr(CAST({at} AS VARCHAR), 1, 19), ' ', 'T') || 'Z'"


def _identity(definition: TableDefinition) -> str:
    values = [_text(definition, ".".join(path)) for path in IDENTITY.values()]
    types = [f"{name.lower()} VARCHAR" for name in IDENTITY]
    mfa, issuer = (_text(definition, f"actor.session.{name}") for name in ("is_mfa", "issuer"))
    session = f"ROW(ROW({mfa}), ROW({issuer}))"
    of_session = (
        "sessioncontext ROW(attributes ROW(mfaauthenticated VARCHAR), sessionissuer ROW(arn VARCHAR))"
    )
    return f"CAST(ROW({', '.join([*values, session])}) AS ROW({', '.join([*types, of_session])}))"


def _conditions(
    definition: TableDefinition,
    window: tuple[datetime | None, datetime | None],
    days: tuple[date | None, date | None],
    regions: Sequence[str],
) -> Iterator[str]:
    """What leaves out files: the time by Iceberg, or the day of source version 1; and the Regions."""
    yield f"class_uid = {API_ACTIVITY}"
    if definition.has("metadata.product.name"):
        yield "metadata.product.name = 'CloudTrail'"
    for sign, moment, day in zip((">=", "<="), window, days, strict=True):
        if moment is not None and moment > UNDATED and definition.has("time_dt"):
            yield f"time_dt {sign} TIMESTAMP '{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}'"
        if day is not None and definition.partitioned_by("eventday"):
            yield f"eventday {sign} '{day:%Y%m%d}'"
    there = definition.has("region") or definition.partitioned_by("region")
    if there and regions and all(map(_REGION.fullmatch, regions)):
        yield "region IN ('{}')".format("', '".join(regions))
