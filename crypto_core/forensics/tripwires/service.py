"""Tripwires: decoys are added, listed, removed; each change is planned, agreed to, journaled, read back.

The list is written before the rows, and the rows are removed before the list's entry: whatever ends it in
between leaves an entry without a row, which is told, and never a decoy that nobody knows as one.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine, select

from crypto_core.aws.receipts.call_subject import CallSubject
from crypto_core.database.connection.engine import connected
from crypto_core.database.schema import job
from crypto_core.database.state.installation import require_schemas
from crypto_core.database.state.jobs import RUNNING
from crypto_core.database.state.journal import Journal
from crypto_core.database.tokens.attached_code import EVENTS, AttachedCode, code_warnings
from crypto_core.database.tokens.catalogue import LiveCatalogue
from crypto_core.database.tokens.decoys import Decoy, DecoyToken
from crypto_core.database.tokens.store import digest
from crypto_core.database.tokens.tables import TokenColumn, TokenTable
from crypto_core.database.tokens.tripwire_list import FRESH_SECONDS, Tripwire, TripwireDocument, TripwireList
from crypto_core.database.tokens.written_rows import writing_rows
from crypto_core.envelope import Format, version_of
from crypto_core.forensics.tripwires import rows as decoy_rows
from crypto_core.forensics.tripwires.decoy_rows import DrawnRow, draw_rows, id_words, read_sample, shows
from crypto_core.forensics.tripwires.plan import (
    MOST_ROWS,
    AddPlan,
    AddRequest,
    RemovePlan,
    ResealPlan,
    TripwireResult,
    TripwireState,
)
from crypto_core.forensics.tripwires.rows import TableShape, read_shape
from crypto_core.forensics.tripwires.tripwire_keys import TripwireKeys
from crypto_core.guard.approvals import ApprovalGate
from crypto_core.guard.consent import Consent
from crypto_core.guard.guard import Guard
from crypto_core.guard.guarded_change import Ended, GuardedChange, Outcome, Run, unless_changed
from crypto_core.guard.operations import BY_NAME
from crypto_core.keyring.cipher import seal_under
from crypto_core.keyring.kms_keyring import KmsKeyring
from crypto_core.values import errors
from crypto_core.values.clean_text import clean
from crypto_core.values.secret import exposed

ADD, REMOVE, RESEAL = (BY_NAME[f"tripwire {verb}"].name for verb in ("add", "remove", "reseal"))
_TRIES = 3
"""How often the list is written where others write it at the same time."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Sealed:
    decoys: tuple[Decoy, ...]
    values: Mapping[str, Mapping[str, str | None]]


class Tripwires:
    """Plans and makes tripwires. Blocks on SQL and KMS: call it from a worker."""

    def __init__(
        self,
        engine: Engine,
        catalogue: LiveCatalogue,
        list_: TripwireList,
        keyring: KmsKeyring,
        keys: TripwireKeys,
        journal: Journal,
        *,
        read_only: bool,
        approvals: ApprovalGate | None = None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._guard = Guard(
            journal, read_only=read_only, ready=require_schemas(journal.engine), approvals=approvals
        )
        self._engine, self._catalogue, self._list = engine, catalogue, list_
        self._keyring, self._keys, self._journal, self._pause = keyring, keys, journal, pause

    def states(self) -> tuple[TripwireState, ...]:
        """Return every tripwire as it stands. Raises RefusedError, KmsError, DatabaseError where the list, or
        what is in its tables, can't be read.
        """
        return tuple(map(self._state, self._list.document().tripwires))

    def plan_add(self, request: AddRequest) -> AddPlan:
        """Return what would be added; journaled as a dry run, a refusal too. Raises RefusedError,
        InvalidReferenceError, KmsError, DatabaseError.
        """
        return self._guard.plan(ADD, "tripwires", lambda: self._draft_add(request), AddPlan.shown)

    def add(self, plan: AddPlan, consent: Consent | None) -> TripwireResult:
        """Add the decoys, and read them back. Raises NotConfirmedError, ApprovalNeededError, ReadOnlyError,
        MissingSchemaError, and as `plan_add`; ChangedByDatabaseError if the database stores something else.
        """

        def act(run: Run) -> Tripwire:
            run.begin({})
            return self._add(plan, run)

        def read_back(run: Run, made: Tripwire) -> Ended[TripwireResult]:
            state = self._state(made)
            outcome = Outcome.DONE if state.stands else Outcome.FAILED
            return Ended(TripwireResult(made.number, state), outcome, {"tripwire": made.number})

        change = self._change(ADD, "tripwires", plan, lambda: self._draft_add(plan.request))
        result, unjournaled = self._guard.run(change, consent, act, read_back)
        return replace(result, unjournaled=unjournaled)

    def plan_remove(self, number: int) -> RemovePlan:
        """Return what would be removed; journaled as a dry run, a refusal too. Raises as `plan_add`."""
        subject = f"tripwire {number}"
        return self._guard.plan(REMOVE, subject, lambda: self._draft_remove(number), RemovePlan.shown)

    def remove(self, plan: RemovePlan, consent: Consent | None) -> TripwireResult:
        """Delete the rows that stand as they were made, then the list's entry. Raises as `add`."""
        if plan.changed:
            raise errors.RefusedError(
                f"{plan.changed[0]} is not as it was made: somebody has changed it since.",
                remedy="Nothing was removed. See what is in the row; remove it by hand if nobody needs it.",
            )

        def act(run: Run) -> None:
            run.begin({"tripwire": plan.number})
            one = self._list.document().numbered(plan.number)
            table = self._table(one.table)
            with writing_rows(self._engine, table) as connection:
                shape = read_shape(connection, table)
                decoy_rows.written_alike(connection)
                there = decoy_rows.there(connection, table, one.decoys)
                for decoy in one.decoys:
                    if decoy.row_id in there:
                        decoy_rows.delete_decoy(connection, table, shape, decoy)
            self._write(run, lambda document: document.without(plan.number), plan.number)

        def read_back(run: Run, _: None) -> Ended[TripwireResult]:
            left = [s for s in self.states() if s.number == plan.number]
            outcome = Outcome.FAILED if left else Outcome.DONE
            result = TripwireResult(plan.number, left[0] if left else None)
            return Ended(result, outcome, {"tripwire": plan.number})

        change = self._change(
            REMOVE, f"tripwire {plan.number}", plan, lambda: self._draft_remove(plan.number)
        )
        result, unjournaled = self._guard.run(change, consent, act, read_back)
        return replace(result, unjournaled=unjournaled)

    def plan_reseal(self) -> ResealPlan:
        """Return the plan to seal the list anew. Raises RefusedError without a key to write under."""
        return self._guard.plan(RESEAL, "tripwires", self._draft_reseal, ResealPlan.shown)

    def reseal(self, plan: ResealPlan, consent: Consent | None) -> TripwireResult:
        """Seal the list under the key that is written under now. Raises as `add`."""

        def act(run: Run) -> None:
            run.begin({})
            self._write(run, lambda document: document, None)

        def read_back(run: Run, _: None) -> Ended[TripwireResult]:
            self._list.document()
            return Ended(TripwireResult(None, None), Outcome.DONE)

        change = self._change(RESEAL, "tripwires", plan, self._draft_reseal)
        result, unjournaled = self._guard.run(change, consent, act, read_back)
        return replace(result, unjournaled=unjournaled)

    def list_key(self) -> str:
        """Return the key that the list is sealed under, "" without one. Raises as `states`."""
        return self._list.key_arn()

    def _draft_add(self, request: AddRequest) -> AddPlan:
        if not 1 <= request.count <= MOST_ROWS:
            raise errors.RefusedError(f"{request.count} is not a valid number of decoys (1-{MOST_ROWS}).")
        document = self._list.document()
        self._require_no_job()
        table = self._table(request.table)
        with connected(self._engine) as connection:
            shape = read_shape(connection, table)
            sample = read_sample(connection, table, shape)
        given = dict(request.given)
        for name in given:
            if name in (*table.token_columns, *table.id_columns):
                raise errors.RefusedError(f"{clean(name, 100)} can't be given: it is made up.")
            shape.column(name)
        format_ = Format(request.format or sample.format)
        if format_.binds_database and self._keyring.binding is None:
            raise errors.RefusedError(
                f"A decoy in {format_} names its database, and this one has no name.",
                remedy="Set KEYDECK_BINDING, or name another --format.",
            )
        warnings = [_USED, *shape.remarks]
        if format_ is not (usual := sample.format):
            warnings.append(f"Most tokens of {table.name} are {usual}: a decoy in {format_} stands out.")
        key_arn, remarks = self._keys.chosen(request.key, new=request.new_key, format_=format_)
        told = [
            (name, f'"{given[name]}"' if name in given else said)
            for name, said in shows(sample, shape.columns)
            if name not in (*table.token_columns, *table.id_columns)
        ]
        under = f"made up in the shape of {table.provider}'s, sealed as {format_}; where the real row has one"
        columns = [
            (table.id_columns[0], id_words(shape, sample)),
            *told,
            *((name, under) for name in table.token_columns),
        ]
        code = self._code(table)
        said = (*warnings, *remarks, *code_warnings(code))
        return AddPlan(request, format_, key_arn, dict(columns), said, document.salt, code)

    def _code(self, table: TokenTable) -> tuple[AttachedCode, ...]:
        names = [str(TokenColumn(table.name, column)) for column in table.token_columns]
        return self._catalogue.code_at(names, events=EVENTS)

    def _require_no_job(self) -> None:
        """Who works on a job may not have read the list anew when it comes to a decoy."""
        try:
            with connected(self._engine) as connection:
                running = connection.scalars(select(job.c.id).where(job.c.state == RUNNING)).all()
        except errors.MissingSchemaError:
            return
        if running:
            raise errors.RefusedError(
                f"Job {running[0]} is running: it may open decoys that are added meanwhile.",
                remedy="Wait for its end, or pause it.",
            )

    def _draft_remove(self, number: int) -> RemovePlan:
        document = self._list.document()
        one = document.numbered(number)
        table = self._table(one.table)
        with connected(self._engine, snapshot=True) as connection:
            shape = read_shape(connection, table)
            decoy_rows.written_alike(connection)
            there = decoy_rows.there(connection, table, one.decoys)
            same = decoy_rows.unchanged(connection, table, shape, one.decoys)
        changed = [d for d in one.decoys if d.row_id in there and d not in same]
        code = self._code(table)
        kept = "The key is kept: old copies of the database still hold the decoys."
        return RemovePlan(
            number,
            one.table,
            tuple(str(d.refs[0]) for d in same),
            gone=len(one.decoys) - len(there),
            changed=tuple(str(d.refs[0]) for d in changed),
            warnings=(*shape.remarks, kept, *code_warnings(code)),
            salt=document.salt,
            code=code,
        )

    def _draft_reseal(self) -> ResealPlan:
        document = self._list.document()
        if not document.version:
            raise errors.RefusedError(
                "There is no list of tripwires yet.", remedy="keydeck tripwire add makes one."
            )
        if not self._keyring.write_key:
            raise errors.RefusedError(
                "No key to write under is configured.", remedy="Set TOKEN_ENCRYPTION_KEY_ID."
            )
        return ResealPlan(self._keyring.write_key)

    def _add(self, plan: AddPlan, run: Run) -> Tripwire:
        table = self._table(plan.request.table)
        key_arn = plan.key_arn or self._keys.make()
        for left in reversed(range(_TRIES)):
            sealed, shape = self._drawn(plan, table, key_arn)
            try:
                one = self._list_one(run, plan, table, key_arn, sealed)
                break
            except errors.ConflictError:
                if not left:
                    raise
        run.so_far["tripwire"] = one.number
        try:
            self._pause(2 * FRESH_SECONDS)
            with writing_rows(self._engine, table) as connection:
                decoy_rows.written_alike(connection)
                for decoy in one.decoys:
                    decoy_rows.insert_decoy(connection, shape, decoy, sealed.values[decoy.row_id])
                decoy_rows.require_stored(connection, table, one.decoys)
        except BaseException:  # raised again: no entry is left of what is not there
            self._take_back(run, table, one)
            raise
        return one

    def _drawn(self, plan: AddPlan, table: TokenTable, key_arn: str) -> tuple[_Sealed, TableShape]:
        """Draw rows by what stands in the table and in the list now, and seal their tokens."""
        listed = [t for t in self._list.document().tripwires if t.table == table.name]
        taken = frozenset(decoy.row_id for one in listed for decoy in one.decoys)
        count, given = plan.request.count, dict(plan.request.given)
        with connected(self._engine, write=True) as connection:  # a sequence goes on
            shape = read_shape(connection, table)
            sample = read_sample(connection, table, shape)
            drawn = draw_rows(connection, table, shape, sample, count, given, taken)
        return self._seal(table, shape, drawn, plan.format, key_arn), shape

    def _list_one(
        self, run: Run, plan: AddPlan, table: TokenTable, key_arn: str, sealed: _Sealed
    ) -> Tripwire:
        """Put a tripwire into the list. Raises ConflictError where another has one of its rows."""
        made: list[Tripwire] = []

        def added(document: TripwireDocument) -> TripwireDocument:
            taken = {decoy.row_id for t in document.tripwires if t.table == table.name for decoy in t.decoys}
            if taken & {decoy.row_id for decoy in sealed.decoys}:
                raise errors.ConflictError("Another tripwire has taken an id meanwhile.")
            number = document.last_number + 1
            decoys = tuple(replace(decoy, tripwire=number) for decoy in sealed.decoys)
            made[:] = [Tripwire(number, datetime.now(UTC), table.name, plan.format, key_arn, decoys)]
            return document.with_one(made[0])

        self._write(run, added, None)
        return made[0]

    def _take_back(self, run: Run, table: TokenTable, one: Tripwire) -> None:
        """Take an entry out of the list again, once it is known that none of its rows is there."""
        try:
            with connected(self._engine) as connection:
                if decoy_rows.standing(connection, replace(table, decoys=()), one.decoys):
                    return
            self._write(run, lambda document: document.without(one.number), one.number)
        except errors.KeydeckError as error:
            _log.warning("Tripwire %d stays in the list: %s", one.number, error.message)

    def _seal(
        self, table: TokenTable, shape: TableShape, drawn: Sequence[DrawnRow], format_: Format, key_arn: str
    ) -> _Sealed:
        """Seal each token with a data key of its own: KMS makes it, and is never asked to open one.

        No receipt says for which row that was.
        """
        binding = self._keyring.binding
        columns = tuple(c.name for c in shape.columns)
        decoys, values = [], {}
        with connected(self._engine) as connection:
            decoy_rows.written_alike(connection)
            for row in drawn:
                whole, tokens = dict(row.values), []
                for name, secret in row.tokens.items():
                    with secret as token:
                        ref = table.ref(name, row.row_id)
                        context = version_of(format_).context_for(ref, binding)
                        with CallSubject(None):
                            data_key = self._keyring.generate(key_arn, context=context)
                        sealed = seal_under(data_key, token, format_, ref, binding)
                        plain = hashlib.sha256(exposed(token)).digest()
                    whole[name] = sealed.stored
                    tokens.append(DecoyToken(name, digest(sealed.stored), plain))
                of_row = decoy_rows.row_digest(connection, shape.columns, whole)
                decoys.append(
                    Decoy(0, table.name, row.row_id, key_arn, format_, tuple(tokens), columns, of_row)
                )
                values[row.row_id] = whole
        return _Sealed(tuple(decoys), values)

    def _write(
        self, run: Run, change: Callable[[TripwireDocument], TripwireDocument], number: int | None
    ) -> None:
        """Write the list as changed, journaled with its digest; anew where others wrote it meanwhile."""
        actor = self._journal.actor()
        for left in reversed(range(_TRIES)):
            document = change(self._list.document())
            told = {} if number is None else {"tripwire": number}
            if number is None and document.tripwires:
                told = {"tripwire": document.last_number}

            try:
                self._list.write(document, self._journal, actor, {**run.detail, **told})
            except errors.ConflictError:
                if not left:
                    raise
            else:
                return

    def _state(self, one: Tripwire) -> TripwireState:
        gone: tuple[Decoy, ...] = one.decoys
        try:
            table = self._table(one.table)
            with connected(self._engine) as connection:
                standing = decoy_rows.standing(connection, replace(table, decoys=()), one.decoys)
            gone = tuple(d for d in one.decoys if d not in standing)
        except errors.InvalidReferenceError:
            _log.info("Table %s of tripwire %d is not there.", clean(one.table, 100), one.number)
        return TripwireState(
            one.number,
            one.made_at,
            one.table,
            one.format,
            one.key_arn,
            tuple(str(decoy.refs[0]) for decoy in one.decoys),
            tuple(str(decoy.refs[0]) for decoy in gone),
        )

    def _table(self, name: str) -> TokenTable:
        return self._catalogue().table(name)

    def _change(
        self, action: str, subject: str, plan: AddPlan | RemovePlan | ResealPlan, again: Callable[[], Any]
    ) -> GuardedChange:
        still = unless_changed(plan, again, "The table or the list has changed since the preview.")
        return GuardedChange.of(plan, action, subject, shown=plan.shown(), still=still)


_USED = (
    "The platform may use these rows itself: whatever opens every row, such as a scheduler that refreshes "
    "tokens, trips the wire. Check that first, or give a column a value by which the platform serves nobody, "
    "such as --set org_id=VALUE."
)

__all__ = ["ADD", "REMOVE", "RESEAL", "Tripwires"]
