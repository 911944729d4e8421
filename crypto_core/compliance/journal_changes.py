"""Changes as the journal has them: approvals decided, tokens written anew, and other operations that ended.

A run is one change, however many entries tell of it: its number is that of the entry that began it. Rows are
left out of it: the column and the number of tokens stay, never whose token it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from crypto_core.compliance.facts import ChangeFact, FactKind, ReviewFact
from crypto_core.database.state.journal import EntryFilter, Journal
from crypto_core.database.state.journal_entry import told_in
from crypto_core.guard.guarded_change import Outcome
from crypto_core.guard.operations import BY_NAME, OPERATIONS, Operation, operation_of
from crypto_core.proof.forms import RECORD, JournalEntry
from crypto_core.values.clean_text import CleanText, clean
from crypto_core.values.counts import counted

_ROW = re.compile(
    r"(?<![\w:/.@%-])(?!arn:|aws:|https?:|s3:|kms:)(?P<place>[A-Za-z_][\w.%*-]*):(?=[^\s:/]).*", re.DOTALL
)
"""`table.column:row-id` or `table:row-id`, and whatever follows: an id may hold anything."""
_ADDRESS = re.compile(r"[^\s@<>(),;:/]+@[^\s@<>(),;:/]+\.[^\s@<>(),;:/]+")

JOURNAL, JOBS = "journal", "jobs"
REVIEW = BY_NAME["evidence review"].name
_UNTOLD = (RECORD, REVIEW, "journal checkpoint")
_MOST_REVIEWS = 200
_FORMER = ("keys retire-grant",)
"""Operations of earlier versions."""
CHANGING = (*(one.journaled_as for one in OPERATIONS if one.changes and one.name not in _UNTOLD), *_FORMER)
_APPROVED = "approvals use"
_NUMBERS = ("done", "restored", "purged", "tokens", "poisoned", "waves")
"""The numbers of a run's end that a change shows."""


def without_rows(text: str, limit: int = 600) -> CleanText:
    """Return a text in which a row's id, and all behind it, is left out, and e-mail addresses are."""
    return clean(_ADDRESS.sub("(address)", _ROW.sub(r"\g<place> (a row)", text)), limit)


def counted_by_column(references: Iterable[str]) -> str:
    """Return how many tokens references name, by column: `gh_connection.access_token: 12 tokens`."""
    numbers: dict[str, int] = {}
    for one in references:
        place = one.partition(":")[0]
        numbers[place] = numbers.get(place, 0) + 1
    return ", ".join(f"{place}: {counted(number, 'token')}" for place, number in sorted(numbers.items()))


@dataclass(frozen=True, slots=True)
class _Told:
    entry: JournalEntry
    detail: Mapping[str, Any]

    @property
    def run(self) -> str:
        return str(self.detail.get("run") or "")

    @property
    def began(self) -> bool:
        return self.entry.outcome == Outcome.STARTED.value


def journal_changes(
    journal: Journal, since: datetime, until: datetime, limit: int
) -> tuple[tuple[ChangeFact, ...], int]:
    """Return the changes of a time, the oldest first, and how many entries are left out behind them.

    Up to four entries for each of `limit` are read. Refusals and dry runs changed nothing. Raises
    DatabaseError.
    """
    entries, left = journal.ended(since, until, (*CHANGING, _APPROVED), limit=4 * limit)
    told = [_Told(entry, told_in(entry.detail)) for entry in entries]
    approved = {
        str(one.detail.get("plan")): clean(one.detail.get("decided_by"), 300)
        for one in told
        if one.entry.action == _APPROVED and one.entry.checked
    }
    runs = ((members, members[0].entry.action) for members in _runs(journal, told))
    changes = [
        _change(members, approved) for members, action in runs if operation_of(action) or action in _FORMER
    ]
    return tuple(sorted(changes, key=lambda one: (one.at, one.id))), left


def reviews_since(journal: Journal, since: datetime) -> tuple[ReviewFact, ...]:
    """Return the newest reviews of access since a time, the oldest first. Raises DatabaseError."""
    which = EntryFilter(since=since, action=REVIEW, outcome=Outcome.DONE.value)
    return tuple(map(_review, journal.entries(limit=_MOST_REVIEWS, which=which)))


def _review(entry: JournalEntry) -> ReviewFact:
    told = told_in(entry.detail)
    return ReviewFact(
        id=clean(entry.seq),
        at=entry.at,
        by=clean(f"{entry.who} (according to the journal)", 600),
        reason=clean(told.get("reason"), 600),
        accesses=clean(told.get("accesses"), 64),
        keys=tuple(clean(key, 300) for key in _texts(told.get("keys"))),
    )


def _runs(journal: Journal, told: Sequence[_Told]) -> Iterator[list[_Told]]:
    """The entries of each change, its beginning first; what began earlier is looked up."""
    runs: dict[str, list[_Told]] = {}
    for one in told:
        runs.setdefault(one.run or str(one.entry.seq), []).append(one)
    earlier = {run for run, members in runs.items() if members[0].run and not members[0].began}
    for entry in journal.beginnings(earlier):
        began = _Told(entry, told_in(entry.detail))
        if began.run in earlier:
            runs[began.run].insert(0, began)
    yield from runs.values()


def _change(members: Sequence[_Told], approved: Mapping[str, str]) -> ChangeFact:
    first, last = members[0], members[-1]
    operation = operation_of(first.entry.action)
    job = next((one.detail["job"] for one in members if isinstance(one.detail.get("job"), int)), None)
    plan = next((str(one.detail["plan"]) for one in members if one.detail.get("plan")), "")
    decides = first.entry.action.startswith("approvals ")
    return ChangeFact(
        kind=_kind(operation, decides=decides),
        source=clean(JOURNAL if job is None else JOBS),
        id=clean(first.entry.seq if job is None else job),
        at=first.entry.at,
        what=clean(first.entry.action),
        subject=_subject(members, operation),
        who=clean(first.entry.who, 600),
        outcome=clean("begun, its end is not on record" if last.began else last.entry.outcome),
        approved_by=clean(approved.get(plan, ""), 300) if not decides else clean(""),
        detail=without_rows("; ".join(_details(members))),
    )


def _kind(operation: Operation | None, *, decides: bool) -> FactKind:
    if decides:
        return FactKind.APPROVAL
    writes = operation is not None and operation.writes_tokens
    return FactKind.REENCRYPTION if writes else FactKind.OPERATION


def _subject(members: Sequence[_Told], operation: Operation | None) -> Any:
    references = [str(one) for member in members for one in _texts(member.detail.get("references"))]
    if references:
        return clean(counted_by_column(references), 600)
    return without_rows(members[0].entry.subject)


def _texts(value: Any) -> Iterable[Any]:
    return value if isinstance(value, list) else ()


def _details(members: Sequence[_Told]) -> Iterator[str]:
    told = {name: value for one in members for name, value in one.detail.items()}
    if request := told.get("request"):
        yield f"request {request}"
    if told.get("to"):
        yield f"under {told['to']}"
    for name in _NUMBERS:
        if isinstance(told.get(name), int) and not isinstance(told[name], bool):
            yield f"{name} {told[name]:,}"
