"""Many new tokens: read from CSV (RFC 4180), a reference and a token a line, and entered under one plan.

A row that can't be written is named by its line, and the others go on. Each that is written is journaled in
its own transaction. No message repeats a token or a part of it. Nothing that holds the text is left in a
frame that an error passes through.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from threading import Event

from crypto_core.guard.consent import Consent
from crypto_core.guard.guarded_change import Ended, GuardedChange, Outcome, Run
from crypto_core.providers.token_dispatch import stored_alike
from crypto_core.reencryption.replacing_token.plan import VERB, EntriesPlan, EntryOutcome, EntryPlan
from crypto_core.reencryption.replacing_token.service import TokenEntering, already_there, was_made_for
from crypto_core.values import errors
from crypto_core.values.cancellation import stop_if
from crypto_core.values.counts import counted, listed
from crypto_core.values.references import TokenRef
from crypto_core.values.secret import Secret

MOST_ENTRIES = 1_000
"""Tokens of one file."""

_HEADINGS = {"token", "new token", "new_token"}
_LONGEST_CELL = 128 * 1024
"""Characters of a cell. What `csv` takes itself is one limit for the whole process, which others raise."""
_FAULTS = 5


@dataclass(frozen=True, slots=True)
class RowEntry:
    """A new token for one row. `replaced` says that the row's old token is known to be gone."""

    line: int
    ref: TokenRef
    token: Secret
    replaced: bool


class ManyEntries:
    def __init__(self, entering: TokenEntering) -> None:
        self._entering = entering

    def plan_entries(
        self, rows: Sequence[RowEntry], *, cause: str = "", cancelled: Event | None = None
    ) -> EntriesPlan:
        """Return what would happen to each row; journaled as one dry run.

        Raises RefusedError that names the lines that can't be entered, and what `TokenEntering.plan_entry`
        raises of no single row.
        """
        return self._entering.guard.plan(
            VERB,
            counted(len(rows), "token"),
            lambda: self._planned(rows, cancelled),
            lambda plan: plan.as_json() | {"cause": cause},
            {"cause": cause},
        )

    def enter_tokens(
        self,
        plan: EntriesPlan,
        rows: Sequence[RowEntry],
        consent: Consent | None,
        *,
        although_unchecked: bool = False,
        cause: str = "",
        progress: Callable[[int, int], None] | None = None,
        cancelled: Event | None = None,
    ) -> tuple[EntryOutcome, ...]:
        """Ask each provider of its new token, and write it; returns what came of each line.

        What ends one row ends no other, unless KMS, the database or AWS's session is gone: the rest is then
        not tried, and says so. Raises ReadOnlyError, MissingSchemaError, NotConfirmedError,
        ApprovalNeededError; nothing was written then.
        """
        tokens = {row.line: row.token for row in rows}

        def still() -> None:
            for line, entry in plan.entries:
                token = tokens.get(line)
                if token is None or not was_made_for(entry, token):
                    raise errors.NotConfirmedError("The confirmation was given for different tokens.")

        change = GuardedChange.of(
            plan,
            VERB,
            counted(len(plan.entries), "token"),
            words=VERB,
            detail={"cause": cause},
            still=still,
            changes_nothing=not plan.to_write,
        )

        def act(run: Run) -> tuple[EntryOutcome, ...]:
            run.begin({"tokens": plan.to_write})
            found: list[EntryOutcome] = []
            for outcome in self._entered(plan, tokens, run, cancelled, although_unchecked=although_unchecked):
                found.append(outcome)
                if progress is not None:
                    progress(len(found), len(plan.entries))
            return tuple(found)

        def read_back(run: Run, found: tuple[EntryOutcome, ...]) -> Ended[tuple[EntryOutcome, ...]]:
            failed = [one.line for one in found if one.entered is None]
            told = {"written": sum(one.entered is not None for one in found), "lines_not_written": failed}
            return Ended(found, Outcome.FAILED if failed else Outcome.DONE, told)

        if not plan.to_write:
            self._entering.guard.agreed(change, consent)
            return tuple(EntryOutcome(line, one.ref, already_there(one)) for line, one in plan.entries)
        found, _ = self._entering.guard.run(change, consent, act, read_back)
        return found

    def _planned(self, rows: Sequence[RowEntry], cancelled: Event | None) -> EntriesPlan:
        entries: list[tuple[int, EntryPlan]] = []
        faults: list[str] = []
        lines: dict[TokenRef, int] = {}
        for row in rows:
            stop_if(cancelled)
            if row.ref in lines:
                faults.append(f"Line {row.line}: {row.ref} stands in line {lines[row.ref]}, too")
                continue
            lines[row.ref] = row.line
            try:
                entry = self._entering.plan_row(row.ref, row.token, replaced=row.replaced)
            except (
                errors.RefusedError,
                errors.InvalidTokenError,
                errors.InvalidReferenceError,
                errors.RowVanishedError,
            ) as error:
                faults.append(f"Line {row.line}: {error.message.rstrip('.')}")
            else:
                entries.append((row.line, entry))
        if faults:
            raise errors.RefusedError(
                f"{listed(faults, _FAULTS)}.", remedy="Nothing was written. Correct the file, then try again."
            )
        warnings = dict.fromkeys(warning for _, entry in entries for warning in entry.warnings)
        alike = stored_alike({row.ref: row.token for row in rows})
        same = (f"The same token is in lines {', '.join(str(lines[ref]) for ref in refs)}." for refs in alike)
        return EntriesPlan(tuple(entries), (*same, *warnings))

    def _entered(
        self,
        plan: EntriesPlan,
        tokens: dict[int, Secret],
        run: Run,
        cancelled: Event | None,
        *,
        although_unchecked: bool,
    ) -> Iterator[EntryOutcome]:
        gone = ""
        for line, entry in plan.entries:
            if entry.already:
                yield EntryOutcome(line, entry.ref, already_there(entry))
                continue
            if gone or (cancelled is not None and cancelled.is_set()):
                yield EntryOutcome(line, entry.ref, None, f"not tried: {gone or 'cancelled.'}")
                continue
            run.so_far.clear()
            run.so_far |= {"line": line, "to": entry.key_arn}
            entering, subject = self._entering, str(entry.ref)
            try:
                entered = entering.enter_row(
                    entry,
                    tokens[line],
                    run,
                    cancelled,
                    although_unchecked=although_unchecked,
                    subject=subject,
                )
            except errors.KeydeckError as error:
                if _ends_all(error):
                    gone = error.message
                yield EntryOutcome(line, entry.ref, None, error.message.removeprefix(f"{entry.ref}: "))
            else:
                if not entering.same_database:
                    entering.guard.try_to_record(VERB, subject, Outcome.DONE, run.detail | run.so_far)
                yield EntryOutcome(line, entry.ref, entered)
        run.so_far.clear()


def _ends_all(error: errors.KeydeckError) -> bool:
    """True for what the next row would meet with, too."""
    if isinstance(error, errors.KmsError):
        return error.may_pass
    return isinstance(error, errors.DatabaseError | errors.InterruptedRunError) and not isinstance(
        error, errors.RowVanishedError
    )


@dataclass(frozen=True, slots=True)
class TokenEntry:
    """A new token, and the row that it is for as the file names it. `line` is counted from 1."""

    line: int
    reference: str = field(repr=False)
    """It is not shown: where the two were swapped, it is the token."""
    token: Secret


def entries_of(content: Secret) -> tuple[TokenEntry, ...]:
    """Return the entries of a file; empty lines and a heading are left out.

    Raises InvalidTokenError, naming the lines, for what is no such file or has more than MOST_ENTRIES.
    """
    entries, faults = _read(content)
    if faults:
        raise errors.InvalidTokenError(
            f"{listed(faults, _FAULTS)}.",
            remedy="Nothing was written. Write a line for each row: its reference, a comma, its new token.",
        )
    return entries


def _read(content: Secret) -> tuple[tuple[TokenEntry, ...], list[str]]:
    """The entries, and what is wrong; the text itself does not leave this function."""
    try:
        text = content.reveal().removeprefix("\ufeff")
    except errors.InvalidTokenError:
        return (), ["The file is not text in UTF-8"]
    entries: list[TokenEntry] = []
    faults: list[str] = []
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, skipinitialspace=True)
    while True:
        begun = reader.line_num + 1
        try:
            cells = [cell.strip() for cell in next(reader)]
        except StopIteration:
            break
        except csv.Error:
            return (), [f"Line {begun} is no CSV"]
        if max(map(len, cells), default=0) > _LONGEST_CELL:
            return (), [f"Line {begun} is no CSV"]
        if not any(cells):
            continue
        if not entries and not faults and len(cells) == 2 and cells[1].lower() in _HEADINGS:
            continue
        if len(cells) != 2 or not all(cells):
            faults.append(f"Line {begun} is not a reference and a token")
        elif len(entries) == MOST_ENTRIES:
            return (), [f"There are more than {MOST_ENTRIES:,} tokens: enter them in parts"]
        else:
            entries.append(TokenEntry(begun, cells[0], Secret.of(cells[1])))
    return tuple(entries), faults if entries or faults else ["The file has no token"]
