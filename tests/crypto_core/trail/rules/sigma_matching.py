"""What Sigma documents match: the part of the specification that exported ones use.

Sigma specification 2.0, "Detection" and "Sigma Correlations": values of a list are alternatives, of a map all
must hold, of a list of maps one; `*` and `?` are wildcards; case doesn't count.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from fnmatch import translate
from itertools import pairwise
from typing import Any

Record = Mapping[str, Any]


def matches(detection: Mapping[str, Any], record: Record) -> bool:
    """Whether a document's detection matches a record of CloudTrail."""
    condition = str(detection["condition"])
    held = {name: _holds(search, record) for name, search in detection.items() if name != "condition"}
    assert set(re.findall(r"\w+", condition)) - {"and", "or", "not"} == set(held)
    # Sigma's conditions are Python's, as far as exported ones go.
    return bool(eval(condition, {"__builtins__": {}}, held))


def _holds(search: Any, record: Record) -> bool:
    if isinstance(search, list):
        return any(_holds(one, record) for one in search)
    return all(_field(name, wanted, record) for name, wanted in search.items())


def _field(name: str, wanted: Any, record: Record) -> bool:
    path, _, modifier = name.partition("|")
    found = [one for one in _values(record, path.split(".")) if one is not None]
    if modifier == "exists":
        return bool(found) is wanted
    patterns = [_pattern(one, modifier) for one in (wanted if isinstance(wanted, list) else [wanted])]
    return any(pattern.fullmatch(str(value)) for pattern in patterns for value in found)


def _pattern(wanted: object, modifier: str) -> re.Pattern[str]:
    before, after = {"": ("", ""), "contains": ("*", "*"), "endswith": ("*", "")}[modifier]
    return re.compile(translate(f"{before}{wanted}{after}"), re.IGNORECASE)


def _values(value: Any, path: Sequence[str]) -> Iterator[Any]:
    if isinstance(value, list):
        for one in value:
            yield from _values(one, path)
    elif not path:
        yield value
    elif isinstance(value, Mapping):
        yield from _values(value.get(path[0]), path[1:])


def correlated(
    correlation: Mapping[str, Any], parts: Mapping[str, Mapping[str, Any]], records: Iterable[Record]
) -> list[Record]:
    """The records that together fulfil a correlation of the documents `parts`, by their names; else none."""
    number, unit = re.fullmatch(r"(\d+)([mh])", correlation["timespan"]).groups()  # type: ignore[union-attr]
    span = timedelta(minutes=int(number) * (60 if unit == "h" else 1))
    ordered = sorted(records, key=lambda one: str(one["eventTime"]))
    hits = [(n, one) for one in ordered for n in correlation["rules"] if matches(parts[n]["detection"], one)]
    groups: dict[tuple[str, ...], list[tuple[str, Record]]] = {}
    for name, one in hits:
        by = tuple(str(next(_values(one, path.split(".")), None)) for path in correlation["group-by"])
        groups.setdefault(by, []).append((name, one))
    found: list[Record] = []
    for members in groups.values():
        if correlation["type"] == "temporal_ordered":
            found += _in_order(correlation["rules"], members, span)
        else:
            found += _distinct(correlation["condition"], [one for _, one in members], span)
    return found


def _in_order(names: Sequence[str], members: Sequence[tuple[str, Record]], span: timedelta) -> list[Record]:
    """Two steps, one after the other: more than two, nothing has."""
    first, second = names
    return [
        one
        for (name, one), (later, other) in pairwise([*members])
        if (name, later) == (first, second) and _time(other) - _time(one) <= span
        for one in (one, other)
    ]


def _distinct(condition: Mapping[str, Any], members: Sequence[Record], span: timedelta) -> list[Record]:
    for last in members:
        within = [one for one in members if timedelta(0) <= _time(last) - _time(one) <= span]
        values = {value for one in within for value in _values(one, condition["field"].split("."))}
        if len(values) >= condition["gte"]:
            return within
    return []


def _time(record: Record) -> datetime:
    return datetime.fromisoformat(str(record["eventTime"]))
