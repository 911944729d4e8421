"""The census before and after: the first and the last that evidence holds, and what changed between them."""

from __future__ import annotations

from collections.abc import Sequence

from crypto_core.envelope.formats import Format
from crypto_core.incidents.report.exhibits import CensusCounts, Exhibit
from crypto_core.incidents.report.parts import CensusPart, Difference
from crypto_core.key_names import same_key


def census_part(exhibits: Sequence[Exhibit]) -> CensusPart | None:
    """Return the difference, None where no census is among the evidence that is as it was captured."""
    counted = _ends(exhibits)
    if counted is None:
        return None
    first, last = counted
    return CensusPart(
        before_at=first.at,
        before_evidence=first.evidence,
        after_at=last.at if last else None,
        after_evidence=last.evidence if last else None,
        by_format=_by_format(first, last),
        by_key=_by_key(first, last),
        unprotected=(first.unprotected, last.unprotected if last else None),
    )


def under_key(exhibits: Sequence[Exhibit], key_arn: str) -> tuple[int | None, int | None]:
    """Return how many tokens were under a key and its replicas, before and after; None where not counted."""
    counted = _ends(exhibits)
    if counted is None:
        return None, None
    first, last = counted
    return _under(first, key_arn), _under(last, key_arn) if last else None


def _ends(exhibits: Sequence[Exhibit]) -> tuple[CensusCounts, CensusCounts | None] | None:
    taken = sorted(
        (exhibit.census for exhibit in exhibits if exhibit.census is not None),
        key=lambda census: (census.at, census.evidence),
    )
    # What is in a restored database is no "after" of what is in the platform's.
    own = [census for census in taken if not census.database]
    same = own or [census for census in taken if census.database == taken[0].database]
    if not same:
        return None
    return same[0], same[-1] if len(same) > 1 else None


def _under(census: CensusCounts, key_arn: str) -> int:
    return sum(key.tokens for name, key in census.keys.items() if same_key(name, key_arn))


def _by_format(first: CensusCounts, last: CensusCounts | None) -> tuple[Difference, ...]:
    return tuple(
        Difference(
            f.value,
            first.by_format.get(f.value, 0),
            last.by_format.get(f.value, 0) if last else None,
            _says(f),
        )
        for f in Format
        if f.value in first.by_format or (last is not None and f.value in last.by_format)
    )


def _says(format_: Format) -> str:
    return "protected" if format_.protected else "" if format_ is Format.EMPTY else "not protected"


def _by_key(first: CensusCounts, last: CensusCounts | None) -> tuple[Difference, ...]:
    names = dict.fromkeys((*first.keys, *(last.keys if last else ())))
    rows = []
    for name in names:
        known = (last.keys.get(name) if last else None) or first.keys[name]
        note = ", ".join(word for word in (known.alias, known.state) if word)
        rows.append(Difference(name, first.under(name), last.under(name) if last else None, note))
    return tuple(sorted(rows, key=lambda row: (-row.before, row.name)))
