"""A scan of copies as text: what each needs, what is open to anybody, what may be missing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import click

from console.printed.printing import print_gaps, print_line, print_marked, print_table, say
from crypto_core.findings.severity import Severity
from crypto_core.forensics.copies.report import CopyReport, KeyNeed, Opening, ScanReport
from crypto_core.key_names import short_key
from crypto_core.text.counting import counted

_OPENED = {
    Opening.ANYBODY: "Whoever has this copy can open {} without any key.",
    Opening.CALLERS: "{} can be opened by whoever has this copy and may call Decrypt.",
    Opening.NOT_NOW: "{} can't be opened now: their keys are disabled or wait for deletion.",
    Opening.NEVER: "{} can never be opened again: their keys are gone.",
    Opening.UNKNOWN: "Who can open {} is not known.",
}
_PLACES = 5


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
            yield {"copy": copy.path, "kind": "+".join(need.by_format), **_flat(need)}
        for one in copy.exposed:
            yield {"copy": copy.path, "kind": one.kind, **_flat(None), **_counts(one.values, one.distinct)}
        if copy.damaged:
            yield {"copy": copy.path, "kind": "damaged", **_flat(None), **_counts(copy.damaged, None)}


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


def _counts(values: int, distinct: int | None) -> Mapping[str, Any]:
    return {"values": values, "distinct": distinct}


def _flat(need: KeyNeed | None) -> Mapping[str, Any]:
    return {
        **_counts(need.envelopes if need else 0, need.distinct if need else 0),
        "key_arn": need.key_arn if need else None,
        "alias": need.alias if need else None,
        "key_material_id": need.key_material_id if need else None,
        "key_state": need.key_state if need else None,
        "evidence": need.evidence.value if need else None,
        "opened_by": need.opening.value if need else None,
    }
