"""A scan of copies as text: what each needs, what is open to anybody, what may be missing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import click

from console.printed.output import print_gaps, print_line, print_marked, print_table, say
from crypto_core.findings.finding import Severity
from crypto_core.forensics.copies.report import CopyReport, KeyNeed, Opening, ScanReport
from crypto_core.values.counts import counted
from crypto_core.values.key_names import short_key

_OPENED = {
    Opening.ANYBODY: "Whoever has this copy can open {} without any key.",
    Opening.CALLERS: "{} can be opened by whoever has this copy and may call Decrypt.",
    Opening.NOT_NOW: "{} can't be opened now: their keys are disabled or wait for deletion.",
    Opening.NEVER: "{} can never be opened again: their keys are gone.",
    Opening.UNKNOWN: "Who can open {} is not known.",
}
_PLACES = 5
_OF_KEY = ("key_arn", "alias", "key_material_id", "key_state", "evidence", "opened_by")


def print_scan(report: ScanReport) -> None:
    for number, copy in enumerate(report.copies):
        if number:
            click.echo()
        print_copy(copy)


def print_copy(copy: CopyReport) -> None:
    for one in copy.exposed:
        what = "in dev format" if one.kind == "dev" else f"of {one.kind} in plaintext"
        print_marked(Severity.CRITICAL, f"{counted(one.values, 'token')} {what}, {one.distinct:,} distinct")
    print_line(
        f"{copy.path}: {counted(copy.files, 'file')}, {copy.size:,} bytes; "
        f"{counted(copy.envelopes, 'envelope')}, {copy.distinct:,} distinct"
        f"{f'; {copy.damaged:,} damaged' if copy.damaged else ''}"
    )
    if copy.needs:
        headers = ("key", "id", "material", "envelopes", "distinct", "formats", "state", "evidence", "")
        print_table(headers, [_cells(need) for need in copy.needs])
    for line in consequences(copy):
        print_line(line)
    for place in copy.places[:_PLACES]:
        say(place)
    if len(copy.places) > _PLACES:
        say("--json names more places.")
    print_gaps(copy.coverage.reasons)


def consequences(copy: CopyReport) -> Iterator[str]:
    for arn in copy.key_arns:
        name = next((n.alias for n in copy.needs if n.key_arn == arn and n.alias), None) or short_key(arn)
        yield f"Without {name}: {counted(copy.lost_with(arn), 'envelope')} can't be opened."
    for opening in Opening:
        if count := copy.opened_by(opening):
            yield _OPENED[opening].format(f"{count:,}")


def scan_rows(report: ScanReport) -> Iterator[Mapping[str, Any]]:
    """Return a record for each group of each copy, for CSV."""
    for copy in report.copies:
        for need in copy.needs:
            yield _row(copy, "+".join(need.by_format), need.envelopes, need.distinct, need.as_json())
        for one in copy.exposed:
            yield _row(copy, one.kind, one.values, one.distinct)
        if copy.damaged:
            yield _row(copy, "damaged", copy.damaged, None)


def _row(
    copy: CopyReport, kind: str, values: int, distinct: int | None, key: Mapping[str, Any] | None = None
) -> Mapping[str, Any]:
    head = {"copy": copy.path, "kind": kind, "values": values, "distinct": distinct}
    return head | {name: (key or {}).get(name) for name in _OF_KEY}


def _cells(need: KeyNeed) -> tuple[object, ...]:
    return (
        need.alias or "",
        short_key(need.key_arn) if need.key_arn else "key not known",
        (need.key_material_id or "")[:8],
        need.envelopes,
        need.distinct,
        ", ".join(need.by_format),
        need.key_state or "",
        need.evidence.value,
        need.note,
    )
