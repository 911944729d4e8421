"""Action enter-token: takes a new token from the operator and writes it over the old one of a row."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from crypto_core.database.tokens.inventory import InventoryRow
from crypto_core.guard.consent import Danger
from crypto_core.incidents.steps.step_contracts import (
    ActionPlan,
    ActionResult,
    Captured,
    InputField,
    Situation,
)
from crypto_core.incidents.tokens.baseline import Baseline, TokenStanding
from crypto_core.incidents.tokens.liveness import captured_liveness, liveness_row
from crypto_core.incidents.tokens.marks import Held, TokenMark
from crypto_core.incidents.tokens.token_action import AgreedRun, TokenAction
from crypto_core.incidents.tool_services import ToolServices
from crypto_core.lists.own_file import read_secret_file
from crypto_core.providers.answers import Liveness
from crypto_core.reencryption.replacing_token.many import ManyEntries, RowEntry, entries_of
from crypto_core.reencryption.replacing_token.plan import EntriesPlan, EntryPlan
from crypto_core.reencryption.replacing_token.validation import stripped
from crypto_core.values.clean_text import clean
from crypto_core.values.counts import counted, first_lines, listed
from crypto_core.values.errors import InvalidReferenceError, InvalidTokenError, RefusedError
from crypto_core.values.references import TokenRef, parse_reference
from crypto_core.values.secret import Secret

REFERENCE, TOKEN, SAVE_UNCHECKED = "reference", "token", "although_unchecked"  # names of fields
FILE = "file"
_OFFERED = 200
_FAULTS = 5
_NOT_WRITTEN = 40
"""Lines that are told one by one; the journal names all."""
_YES, _NO = "yes", "no"
_SAVE = InputField(
    SAVE_UNCHECKED,
    "Save although not checked",
    default=_NO,
    choices=(
        (_NO, "Refuse a token that its provider does not call alive. A refresh token can't be asked about."),
        (_YES, "Save it even if its provider does not answer; a dead token is never saved."),
    ),
    required=False,
)
_READ_BACK = {
    True: "Read back: it is what was written.",
    False: "Read back: another writer has since replaced it. Their value stays.",
    None: "It could not be read back: look at the row.",
}


class EnterToken(TokenAction):
    """One row at a time; complete once no row holds its old token."""

    def __init__(self, baseline: Baseline, parts: ToolServices) -> None:
        self._baseline = baseline
        self._entering = parts.entering
        self._many = ManyEntries(parts.entering)
        self._inventory = parts.inventory

    def fields(self, situation: Situation) -> tuple[InputField, ...]:
        """Return the row, the token, whether to save one that could not be checked; or the file of many."""
        file = InputField(
            FILE, "Or many at once: a CSV file of references and new tokens", required=False, instead_of=TOKEN
        )
        if situation.text(FILE):
            return (_SAVE, file)
        standing = self._baseline.standing(situation)
        left = standing.holding(Held.SAME, Held.UNKNOWN)
        rows = self._inventory.rows(left[:_OFFERED])
        choices = tuple((str(row.ref), _named(row)) for row in rows)
        return (
            InputField(REFERENCE, "Row", default=choices[0][0] if choices else "", choices=choices),
            InputField(TOKEN, "New token", secret=True),
            _SAVE,
            file,
        )

    def plan_action(self, situation: Situation) -> ActionPlan:
        """Return what would be written. Sends nothing to a provider."""
        if situation.text(FILE):
            return self._plan_many(situation)
        standing = self._baseline.standing(situation)
        ref = _chosen(standing, situation.text(REFERENCE))
        entry = self._entering.plan_entry(
            ref,
            _token(situation),
            replaced=ref in standing.holding(Held.REPLACED),
            cause=situation.incident.name,
        )
        if entry.already:
            done = f"{entry.ref} holds this token already: nothing is left to do for it."
            return ActionPlan("Enter nothing", entry.digest, Danger.NONE, does=(done,), inner=entry)
        unchecked = situation.text(SAVE_UNCHECKED) == _YES
        return ActionPlan(
            title=entry.summary,
            digest=entry.digest,
            danger=entry.danger,
            confirmation=entry.confirmation if entry.danger is Danger.TYPED else "",
            does=(
                clean(f"Replaces the token of {entry.ref} ({_whose(entry.provider, entry.whose)})."),
                _asks(entry),
                f"Seals it as {entry.format.value} under {entry.key_arn}, opens that and compares.",
                _what_becomes_of_the_old(entry),
            ),
            does_not=(
                "Never overwrites what the platform writes in the meantime.",
                "Revokes nothing.",
            ),
            warnings=(
                *entry.warnings,
                *_doubts(standing, ref, unchecked=unchecked and not entry.never_asked),
            ),
            inner=entry,
        )

    def run_agreed(self, run: AgreedRun) -> ActionResult:
        """Ask the provider, write, read back. Raises RefusedError, ReadOnlyError, and as TokenEntering."""
        situation = run.situation
        if situation.text(FILE):
            return self._enter_many(run)
        # Before anything is written: this is what the old tokens are known by.
        before = self._baseline.standing(situation)
        entry = self.inner_plan(run, EntryPlan)
        if entry.already:
            return self._result(situation, before, run.plan.does)
        entered = self._entering.enter_token(
            entry,
            _token(situation),
            run.consent,
            although_unchecked=situation.text(SAVE_UNCHECKED) == _YES,
            cause=situation.incident.name,
            cancelled=situation.cancelled,
        )
        if run.progress is not None:
            run.progress(1, 1)
        lines = (
            f"{entered.ref}: written as {entered.format.value} under {entered.key_arn}.",
            clean(f"{entry.provider} says of it: {entered.liveness.value}. {entered.reason}"),
            _READ_BACK[entered.still_there],
        )
        said = liveness_row(
            entered.ref,
            entry.provider,
            entered.liveness,
            entered.reason,
            TokenMark(entered.ref, "", self._mark(situation)),
            entered=True,
        )
        return self._result(situation, before, lines, captured_liveness({"tokens": [said]}))

    # Many at once

    def _rows(self, situation: Situation, standing: TokenStanding) -> tuple[RowEntry, ...]:
        """The new tokens of the file, each with its row. Raises RefusedError, InvalidTokenError."""
        if situation.secret(TOKEN) is not None:
            raise RefusedError("Enter one token, or name a file of many.")
        with read_secret_file(situation.text(FILE)) as content:
            entries = entries_of(content)
        gone = standing.holding(Held.REPLACED)
        rows: list[RowEntry] = []
        faults: list[str] = []
        for entry in entries:
            try:
                ref = _chosen(standing, entry.reference)
            except (RefusedError, InvalidReferenceError):
                # What stands there is not repeated: it may be the token.
                faults.append(f"Line {entry.line} names no row in the scope of this incident")
            else:
                rows.append(RowEntry(entry.line, ref, entry.token, ref in gone))
        if faults:
            raise RefusedError(f"{listed(faults, _FAULTS)}.", remedy="Nothing was written. Correct the file.")
        return tuple(rows)

    def _plan_many(self, situation: Situation) -> ActionPlan:
        standing = self._baseline.standing(situation)
        rows = self._rows(situation, standing)
        plan = self._many.plan_entries(rows, cause=situation.incident.name, cancelled=situation.cancelled)
        _wipe(rows)
        unchecked = situation.text(SAVE_UNCHECKED) == _YES
        alive = sum(
            standing.answers.of(standing.marks[one.ref]) is not Liveness.DEAD for _, one in plan.entries
        )
        doubts = [f"{counted(alive, 'old token')} not proved dead: revoke them first."] if alive else []
        if unchecked:
            doubts.append("Those are saved too of which the provider can't say whether they are alive.")
        keys = ", ".join(dict.fromkeys(one.key_arn for _, one in plan.entries))
        return ActionPlan(
            title=plan.summary,
            digest=plan.digest,
            danger=plan.danger,
            confirmation=plan.confirmation if plan.danger is Danger.TYPED else "",
            does=(
                *(clean(f"Line {line}: {_becomes(one)}", 1_000) for line, one in plan.entries),
                *dict.fromkeys(_asks(one) for _, one in plan.entries),
                f"Seals each under {keys}, opens that and compares.",
            ),
            does_not=(
                "Never overwrites what the platform writes in the meantime.",
                "Revokes nothing. Does not delete the file.",
            ),
            warnings=(_delete(situation), *plan.warnings, *doubts),
            inner=plan,
        )

    def _enter_many(self, run: AgreedRun) -> ActionResult:
        situation = run.situation
        before = self._baseline.standing(situation)
        plan = self.inner_plan(run, EntriesPlan)
        rows = self._rows(situation, before)
        try:
            found = self._many.enter_tokens(
                plan,
                rows,
                run.consent,
                although_unchecked=situation.text(SAVE_UNCHECKED) == _YES,
                cause=situation.incident.name,
                progress=run.progress,
                cancelled=situation.cancelled,
            )
            marks = {row.line: self._mark_of(situation, row.token) for row in rows}
        finally:
            _wipe(rows)
        provider = {line: one.provider for line, one in plan.entries}
        said = [
            liveness_row(
                one.ref,
                provider[one.line],
                one.entered.liveness,
                one.entered.reason,
                TokenMark(one.ref, "", marks[one.line]),
                entered=True,
            )
            for one in found
            if one.entered is not None and one.entered.written
        ]
        failed = [one for one in found if one.entered is None]
        lines = (
            *first_lines(
                [f"Line {one.line}, {one.ref}: not written: {one.reason}" for one in failed], _NOT_WRITTEN
            ),
            f"{len(said):,} of {counted(len(found), 'line')} written.",
            *(
                f"Line {one.line}, {one.ref}: {_READ_BACK[one.entered.still_there]}"
                for one in found
                if one.entered is not None and one.entered.still_there is not True
            ),
            _delete(situation),
        )
        held = {marks[one.line] for one in found if one.entered is not None}
        evidence = (captured_liveness({"tokens": said}),) if said else ()
        result = self._result(situation, before, lines, *evidence, held=held)
        return replace(result, complete=result.complete and not failed)

    def _result(
        self,
        situation: Situation,
        before: TokenStanding,
        lines: tuple[str, ...],
        *evidence: Captured,
        held: Collection[str] = (),
    ) -> ActionResult:
        """The outcome, by what the rows hold now; `held` are marks of tokens that were entered."""
        old = before.before.marks
        tokens = self._baseline.read([mark.ref for mark in old])
        entered = before.answers.entered | {*(held if situation.text(FILE) else [self._mark(situation)])}
        now = self._baseline.marker.compare(situation.incident, old, tokens, entered=entered)
        left = [str(one.ref) for one in now if one.held in (Held.SAME, Held.UNKNOWN)]
        replaced = sum(one.held is Held.REPLACED for one in now)
        told = f"{replaced:,} of {counted(len(old), 'row')} in scope hold a new token."
        return ActionResult(
            not left,
            (*lines, told, *(f"{len(left):,} left, the next: {one}" for one in left[:1])),
            {"replaced": str(replaced)},
            (*before.fresh, *evidence),
        )

    def _mark(self, situation: Situation) -> str:
        return self._mark_of(situation, _token(situation))

    def _mark_of(self, situation: Situation, raw: Secret) -> str:
        with stripped(raw) as token:
            return self._baseline.marker.of_secret(situation.incident, token)


def _named(row: InventoryRow) -> str:
    """A row to choose: its reference, its organisation, its provider, and what else tells it from others."""
    shown = dict(row.shown)
    whose = row.organisation or "no organisation"
    others = [(name, text) for name, text in row.shown if name != "provider"]
    return clean(f"{row.ref}  {whose}  {_whose(shown.get('provider') or row.provider, others)}", 300)


def _whose(provider: str, shown: Sequence[tuple[str, str]]) -> str:
    """What helps to recognise a row. Cleaned."""
    told = ", ".join(f"{name} {text}" for name, text in shown[:3] if text)
    return clean(f"{provider}: {told}" if told else provider, 200)


def _token(situation: Situation) -> Secret:
    token = situation.secret(TOKEN)
    if token is None:
        raise InvalidTokenError("No token was entered.", remedy="Paste the new token into its field.")
    return token


def _chosen(standing: TokenStanding, text: str) -> TokenRef:
    """The row in scope that is meant by a text; its own form first, for ids that don't read back."""
    for mark in standing.before.marks:
        if str(mark.ref) == text.strip():
            return mark.ref
    if not text.strip():
        raise RefusedError("No row was chosen.", remedy="Choose the row that the new token is for.")
    raise RefusedError(
        f"{parse_reference(text.strip())} is not in the scope of this incident.",
        remedy="Choose one of the rows in scope, such as gh_connection.access_token:gh-42.",
    )


def _asks(entry: EntryPlan) -> str:
    if entry.never_asked:
        return f"Saves it as entered: {entry.never_asked}."
    return f"Asks {entry.provider} first whether the new token is alive. A dead one is refused."


def _becomes(entry: EntryPlan) -> str:
    if entry.already:
        return f"{entry.ref} holds this token already: nothing is left to do for it."
    whose = _whose(entry.provider, entry.whose)
    return f"replaces the token of {entry.ref} ({whose}). {_what_becomes_of_the_old(entry)}"


def _delete(situation: Situation) -> str:
    """What becomes of the file is the operator's to see to."""
    path = clean(situation.text(FILE), 300)
    return f"{path} holds tokens in clear text: delete it once they are entered (shred -u, or rm)."


def _wipe(rows: Sequence[RowEntry]) -> None:
    for row in rows:
        row.token.wipe()


def _what_becomes_of_the_old(entry: EntryPlan) -> str:
    if not entry.kept:
        return f"The old value is {entry.old_format.value}. It is not kept, so as not to keep the leak alive."
    under = f" under {entry.old_key}" if entry.old_key else ""
    return f"Keeps the old envelope ({entry.old_format.value}{under}) until it is purged."


def _doubts(standing: TokenStanding, ref: TokenRef, *, unchecked: bool) -> tuple[str, ...]:
    doubts = []
    if standing.answers.of(standing.marks[ref]) is not Liveness.DEAD:
        doubts.append(
            "The old token is not proved dead. Once it is replaced here, Keydeck can no longer ask "
            "about it: revoke it first."
        )
    if unchecked:
        doubts.append("It is saved too if the provider can't say whether it is alive.")
    return tuple(doubts)
