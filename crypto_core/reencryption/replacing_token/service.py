"""Writes a token that an operator entered over the old one of a row.

The provider is asked whether the new token is alive before it is written. The write is a compare-and-swap on
the value that the plan was made for: whatever another writer stored meanwhile stays. The new envelope is
opened by KMS and compared before anything is written, and what is stored is read back afterwards.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from threading import Event
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine

from crypto_core.database.state.installation import require_schemas
from crypto_core.database.state.journal import Journal
from crypto_core.database.tokens.attached_code import code_warnings, require_same_code
from crypto_core.database.tokens.attribution import answer_about
from crypto_core.database.tokens.attribution_cache import AttributionCache
from crypto_core.database.tokens.catalogue import LiveCatalogue
from crypto_core.database.tokens.inventory import Inventory
from crypto_core.database.tokens.store import Replacement, StoredToken, TokenStore, digest
from crypto_core.database.tokens.tables import TokenColumn
from crypto_core.database.tokens.value_opener import ValueOpener
from crypto_core.envelope import Format, at_least, bound_format
from crypto_core.guard.approvals import ApprovalGate
from crypto_core.guard.consent import Consent
from crypto_core.guard.guard import Guard
from crypto_core.guard.guarded_change import Ended, GuardedChange, Outcome, Run
from crypto_core.keyring.cipher import SealedToken, TokenCipher
from crypto_core.keyring.data_keys import KeyAnswer
from crypto_core.keyring.kms_keyring import KmsKeyring
from crypto_core.keys.inventory import KeyInventory
from crypto_core.log.observation import SILENT, Observer
from crypto_core.providers.answers import Liveness
from crypto_core.reencryption.plan_steps import check_target, check_writable
from crypto_core.reencryption.planner import target_key
from crypto_core.reencryption.replacing_token.plan import VERB, Entered, EntryPlan, digest_of_entry
from crypto_core.reencryption.replacing_token.validation import taken
from crypto_core.values import errors
from crypto_core.values.cancellation import stop_if
from crypto_core.values.references import TokenRef
from crypto_core.values.secret import Secret

if TYPE_CHECKING:
    from crypto_core.providers.service import ProviderService

_log = logging.getLogger(__name__)


@dataclass(eq=False, repr=False)
class TokenEntering:
    """Plans and writes. Blocks on SQL, KMS and the provider: call it from a worker."""

    engine: Engine
    catalogue: LiveCatalogue
    store: TokenStore
    inventory: Inventory
    answers: AttributionCache
    keyring: KmsKeyring
    keys: KeyInventory
    opener: ValueOpener
    providers: ProviderService
    journal: Journal
    _: KW_ONLY
    same_database: bool
    """True if the journal is in the tokens' own database, as for Runner."""
    read_only: bool
    write_format: Format = Format.V1
    observer: Observer = SILENT
    approvals: ApprovalGate | None = None
    """Asked before a token is sent or written; None where nothing needs a second identity."""
    noted: Callable[[TokenRef, bytes, Secret], None] | None = None
    """Is told what was written, by the stored value's digest; it raises nothing of ours."""

    def __post_init__(self) -> None:
        ready = require_schemas(self.engine, self.journal.engine)
        self.guard = Guard(self.journal, read_only=self.read_only, ready=ready, approvals=self.approvals)

    def plan_entry(self, ref: TokenRef, raw: Secret, *, replaced: bool = False, cause: str = "") -> EntryPlan:
        """Return what would happen; journaled as a dry run, `cause` with it (such as an incident's name).

        `replaced` says that the row's old token is known to be gone: then one that holds the entered token
        already is done, and not refused. Raises InvalidTokenError, InvalidReferenceError, RowVanishedError,
        RefusedError, SettingsError without a key to write under, KmsError, DatabaseError.
        """
        return self.guard.plan(
            VERB,
            str(ref),
            lambda: self.plan_row(ref, raw, replaced=replaced),
            lambda plan: plan.as_json() | {"cause": cause},
            {"cause": cause},
        )

    def enter_token(
        self,
        plan: EntryPlan,
        raw: Secret,
        consent: Consent | None,
        *,
        although_unchecked: bool = False,
        cause: str = "",
        cancelled: Event | None = None,
    ) -> Entered:
        """Ask the provider of the new token, and write it.

        `although_unchecked` is for a provider that could say whether the token is alive, and does not. Raises
        ReadOnlyError, MissingSchemaError, NotConfirmedError; ApprovalNeededError where the settings want a
        second identity and none has approved this plan; RefusedError for a dead token, for one that could not
        be checked, and where the row was changed meanwhile; InvalidTokenError, KmsError, DatabaseError. What
        is raised before the write leaves the old value in its place; after it, the message says that the
        token was written.
        """

        def still() -> None:
            if not was_made_for(plan, raw):
                raise errors.NotConfirmedError("The confirmation was given for a different token.")
            if not plan.already:
                self.read_old(plan)

        change = GuardedChange.of(
            plan,
            VERB,
            str(plan.ref),
            words=VERB,
            detail={"to": plan.key_arn, "cause": cause},
            still=still,
            changes_nothing=plan.already,
        )
        if plan.already:
            self.guard.agreed(change, consent)
            return already_there(plan)

        def act(run: Run) -> Entered:
            return self.enter_row(plan, raw, run, cancelled, although_unchecked=although_unchecked)

        def read_back(run: Run, entered: Entered) -> Ended[Entered]:
            # Where the journal is in the same database, the entry was written with the token.
            return Ended(entered, None if self.same_database else Outcome.DONE, run.so_far)

        entered, unjournaled = self.guard.run(change, consent, act, read_back)
        if unjournaled:
            raise errors.DatabaseError(
                f"{plan.ref}: the new token was written, and that could not be journaled: {unjournaled}"
            )
        _log.info("A new token of %s was written.", plan.ref)
        return entered

    def plan_row(self, reference: TokenRef, raw: Secret, *, replaced: bool) -> EntryPlan:
        """Return what would happen to one row; journals nothing. Raises as `plan_entry`."""
        catalogue = self.catalogue()
        ref = catalogue.references(reference)[0]
        table = catalogue.table(ref.table)
        token = taken(raw, ref, table.provider)
        check_writable(catalogue, [str(TokenColumn(ref.table, ref.column))])
        key_arn, warnings = self._target()
        old = self.store.read_token(ref)
        found = self.opener.open_value(old)
        already = False
        if found.token is None:
            warnings.append(
                f"The old token can't be opened, so whether the new one differs is not known: {found.reason}"
            )
        else:
            with found.token as before:
                already = before == token
        if already and not replaced:
            raise errors.RefusedError(
                f"{ref}: this is the stored token, the one to be replaced.",
                remedy="Have the provider issue a new one, and enter that.",
            )
        kept = at_least(old.format, self.write_format) if old.format.protected else self.write_format
        format_ = bound_format(kept, self.keyring.binding)
        if not old.format.protected and not already:
            warnings.append(f"The old value is {old.format.value} and is not kept: it can't be had back.")
        if format_ is not Format.V1 and old.format is not format_:
            to = f' and have KEYDECK_BINDING="{self.keyring.binding}"' if format_.binds_database else ""
            warnings.append(f"The new envelope is {format_}: the platform must read {format_}{to} first.")
        never = self.providers.never_asked(ref, token)
        if never and not already:
            warnings.append(f"Nobody can say whether the new token is alive: {never}. Compare it once more.")
        row = self.inventory.row(ref)
        code = () if already else self.store.code_at([str(TokenColumn(ref.table, ref.column))])
        warnings += code_warnings(code)
        return EntryPlan(
            ref=ref,
            provider=table.provider,
            whose=row.shown,
            old_format=old.format,
            old_key=found.wrapped_by.key_arn if found.wrapped_by else row.key_arn or "",
            key_arn=key_arn,
            format=format_,
            digest=digest_of_entry(ref, old.digest, key_arn, format_, token, already=already, code=code),
            code=code,
            warnings=tuple(warnings),
            already=already,
            never_asked=never,
            old_digest=old.digest,
            source=found.wrapped_by,
        )

    def _target(self) -> tuple[str, list[str]]:
        """The key to write under, as far as KMS describes it."""
        name = self.keyring.write_key
        if not name:
            raise errors.SettingsError("No KMS key to write with.", remedy="Set TOKEN_ENCRYPTION_KEY_ID.")
        key = target_key(self.keys, name)
        check_target(key, "TOKEN_ENCRYPTION_KEY_ID")
        unknown = f"The state of {name} is not known: kms:DescribeKey is not allowed."
        return key.arn, [] if key.state else [unknown]

    def read_old(self, plan: EntryPlan) -> StoredToken:
        """Return the stored value that a plan was made for.

        Raises RefusedError if it is another by now, or if other code would run.
        """
        require_same_code(plan.code, self.store.code_at([str(TokenColumn(plan.ref.table, plan.ref.column))]))
        old = self.store.read_token(plan.ref)
        if old.digest != plan.old_digest:
            raise _changed(plan.ref)
        return old

    def _ask_provider(
        self, plan: EntryPlan, token: Secret, *, although_unchecked: bool
    ) -> tuple[Liveness, str]:
        """Return what the provider says of a new token. Raises RefusedError where it may not be written.

        One that no provider can be asked about may: its plan says so.
        """
        if plan.never_asked:
            return Liveness.UNKNOWN, plan.never_asked
        try:
            # Agreed to with the plan, which says whom it asks.
            said = self.providers.ask_of(plan.ref, token, True)
            liveness, reason = said.liveness, said.reason
        except errors.ProviderError as error:
            liveness, reason = Liveness.UNKNOWN, error.message
        if liveness is Liveness.DEAD:
            raise errors.RefusedError(
                f"{plan.ref}: {plan.provider} says that the new token is dead: {reason}",
                remedy="Nothing was written. Have the provider issue another one.",
            )
        if liveness is not Liveness.ALIVE and not although_unchecked:
            raise errors.RefusedError(
                f"{plan.ref}: whether the new token is alive is not known: {reason}",
                remedy="Nothing was written. Try again, or choose to save it although not checked.",
            )
        return liveness, reason

    def _write_row(
        self, plan: EntryPlan, old: StoredToken, token: Secret, run: Run, *, subject: str
    ) -> SealedToken:
        """Write it, if KMS opens what is to be written and the old value is still there.

        The entry about it is in the same transaction; of a run over many rows it is about this `subject`.
        """
        cipher = TokenCipher(
            self.keyring.trusting(plan.key_arn), write_format=plan.format, observer=self.observer
        )
        # KMS itself opens it: what only we could open would be lost with this process.
        sealed = cipher.encrypt(token, plan.key_arn, ref=plan.ref, ask_kms=True)
        source = plan.source or (KeyAnswer(plan.old_key, None) if plan.old_key else None)
        actor = self.journal.actor()

        def journal(connection: Connection, written: frozenset[TokenRef]) -> None:
            if self.same_database and written and subject:
                told = run.detail | run.so_far
                self.journal.record(VERB, subject, Outcome.DONE, told, within=connection, actor=actor)
            elif self.same_database and written:
                run.record(Outcome.DONE, run.so_far, within=connection, actor=actor)

        if not self.store.write_tokens(
            run.id, VERB, [Replacement(old, sealed.stored, source)], within=journal
        ):
            raise _changed(plan.ref)
        self.answers.remember([answer_about(sealed.stored, sealed.wrapped_by)])
        if self.noted is not None:
            self.noted(plan.ref, digest(sealed.stored), token)
        return sealed

    def enter_row(
        self,
        plan: EntryPlan,
        raw: Secret,
        run: Run,
        cancelled: Event | None,
        *,
        although_unchecked: bool,
        subject: str = "",
    ) -> Entered:
        """Ask the provider of a new token, write it unless cancelled meanwhile, and read it back.

        `subject` is the row of a run over many rows. Raises as `enter_token`.
        """
        token = taken(raw, plan.ref, plan.provider)
        old = self.read_old(plan)
        liveness, reason = self._ask_provider(plan, token, although_unchecked=although_unchecked)
        run.so_far |= {"format": plan.format.value, "liveness": liveness.value}
        stop_if(cancelled)
        if not subject:
            run.begin(run.so_far)
        sealed = self._write_row(plan, old, token, run, subject=subject)
        there: bool | None
        try:
            there = self.store.read_token(plan.ref).digest == digest(sealed.stored)
        except errors.RowVanishedError:
            there = False
        except errors.DatabaseError:
            there = None
        return Entered(plan.ref, True, liveness, reason, plan.key_arn, plan.format, there)


def was_made_for(plan: EntryPlan, raw: Secret) -> bool:
    """Return whether a plan was made for this token. Raises InvalidTokenError."""
    token, sealed = taken(raw, plan.ref, plan.provider), (plan.old_digest, plan.key_arn, plan.format)
    return plan.digest == digest_of_entry(plan.ref, *sealed, token, already=plan.already, code=plan.code)


def already_there(plan: EntryPlan) -> Entered:
    """Return what came of a plan whose row holds the token already."""
    reason = "the row holds this token already"
    return Entered(plan.ref, False, Liveness.UNKNOWN, reason, plan.key_arn, plan.format)


def _changed(ref: TokenRef) -> errors.RefusedError:
    return errors.RefusedError(
        (
            f"{ref}: another writer has changed the stored value in the meantime; theirs stays, nothing "
            "was written."
        ),
        remedy="Look at the row: the platform may hold a new token already. If not, plan it again.",
    )
