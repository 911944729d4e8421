"""Does what a plan says: reads a page, asks KMS on several threads, swaps in what came out, reads on.

No row is locked while KMS is asked. A token that changed between read and write is read and tried again; the
other writer's value is never overwritten. Interrupted or stopped, a run leaves only whole tokens behind, old
or new, and can be started again.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import KW_ONLY, dataclass, field, replace
from functools import partial
from threading import Event
from time import monotonic

from sqlalchemy import Connection

from crypto_core.aws.kms import KmsApi
from crypto_core.cipher import SealedToken, TokenCipher
from crypto_core.database.state.journal import Journal
from crypto_core.database.tokens.attribution import Attributor, answer_about, answer_of_damage
from crypto_core.database.tokens.attribution_cache import AttributionCache
from crypto_core.database.tokens.store import Replacement, StoredToken, TokenScope, TokenStore
from crypto_core.envelope import DEV_KEY, Format
from crypto_core.errors import (
    ChangedByDatabaseError,
    CredentialsError,
    DatabaseError,
    EnvelopeError,
    IncorrectKeyError,
    InvalidCiphertextError,
    InvalidReferenceError,
    InvalidTokenError,
    KeydeckError,
    KmsError,
    NewEnvelopeError,
    RefusedError,
    UntrustedKeyError,
    WrongBindingError,
    WrongDataKeyError,
)
from crypto_core.guard.guarded_change import Run
from crypto_core.guard.outcome import Outcome
from crypto_core.key_names import same_key
from crypto_core.keyring.kms_keyring import KmsKeyring
from crypto_core.log.observation import SILENT, Observer
from crypto_core.reencryption.patience import Patience, is_passing
from crypto_core.reencryption.plan import Plan, RunProgress, RunResult, Unwritten, Verb
from crypto_core.reencryption.planner import Planner
from crypto_core.references import TokenRef

PAGE = 200
PASSES = 10
PROVED = 100
"""One in so many new envelopes KMS is asked to open, besides the first of each page."""
TRIES = 5
"""How often a token that keeps changing is tried again within one pass."""

Progress = Callable[[RunProgress], None]

_Batch = Mapping[TokenRef, tuple[StoredToken, SealedToken]]
"""Tokens as they were read, each with its new form."""


@dataclass(frozen=True, slots=True)
class _Written:
    """One token's way through KMS: a replacement, or why there is none."""

    token: StoredToken
    sealed: SealedToken | None = None
    poison: str = ""
    elsewhere: bool = False
    """True if the token turned out to be under another key than the one that is being emptied."""
    stop: KeydeckError | None = None
    held: bool = False
    """True if KMS was not asked, because it had just failed for another token."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Runner:
    """Runs plans. Blocks on SQL and KMS: call it from a worker."""

    kms: KmsApi
    keyring: KmsKeyring
    planner: Planner
    store: TokenStore
    answers: AttributionCache
    attributor: Attributor
    journal: Journal
    _: KW_ONLY
    same_database: bool
    """True if the journal is in the tokens' own database: its entries commit together with what they tell."""
    dev_key: str = DEV_KEY
    workers: int = 16
    observer: Observer = SILENT

    def run_plan(
        self,
        plan: Plan,
        run: Run,
        *,
        progress: Progress | None = None,
        cancelled: Event | None = None,
    ) -> RunResult:
        """Carry out the plan; see RunResult. Raises DatabaseError; what was written before stays."""
        sources = [plan.source_key_arn] if plan.source_key_arn else []
        cipher = TokenCipher(
            self.keyring.trusting(plan.target_key_arn, *sources),
            write_format=plan.write_format,
            observer=self.observer,
        )
        with ThreadPoolExecutor(max_workers=self.workers) as pool:
            return _PlanRun(self, plan, run, cipher, pool, cancelled or Event()).result(progress)


@dataclass(slots=True, eq=False, repr=False)
class _PlanRun:
    """One run of a plan, and what has happened so far."""

    by: Runner
    plan: Plan
    run: Run
    cipher: TokenCipher
    pool: ThreadPoolExecutor
    cancelled: Event
    done: int = 0
    conflicts: int = 0
    changed: int = 0
    poisoned: dict[TokenRef, str] = field(default_factory=dict)
    stopped_by: str = ""
    started: float = field(default_factory=monotonic)

    @property
    def _is_over(self) -> bool:
        return bool(self.stopped_by) or self.cancelled.is_set()

    def result(self, progress: Progress | None) -> RunResult:
        """Write what there is, until nothing is left or nothing more can be done; `progress` hears of it."""
        plan, calls_before = self.plan, self.by.kms.calls
        scope, left_over = plan.scope, 0
        for _ in range(PASSES):
            done_before = self.done
            for page in self.by.store.pages(scope, size=PAGE):
                self._page([t for t in page if t.ref not in self.poisoned])
                self.run.so_far["done"] = self.done
                if progress is not None:
                    seconds = monotonic() - self.started
                    progress(RunProgress(plan.tokens, self.done, len(self.poisoned), self.conflicts, seconds))
                if self._is_over:
                    break
            if self._is_over or not _repeats(plan):
                break
            # What the platform wrote under the old key meanwhile is found by looking again.
            try:
                resolved = self.by.planner.resolve_selection(plan.verb, plan.selection, plan.target_key_arn)
            except (RefusedError, KmsError) as error:
                self.stopped_by = str(error)
                break
            scope = resolved.scope
            left_over = self._count(scope) - self._count(replace(scope, references=tuple(self.poisoned)))
            if left_over <= 0 or self.done == done_before:
                break
        interrupted = self.cancelled.is_set()
        if interrupted or self.stopped_by:
            left_over = plan.tokens - self.done - self.changed - len(self.poisoned)
        return RunResult(
            verb=plan.verb,
            target_key_arn=plan.target_key_arn,
            planned=plan.tokens,
            done=self.done,
            conflicts_retried=self.conflicts,
            poisoned=tuple(Unwritten(str(ref), reason) for ref, reason in sorted(self.poisoned.items())),
            changed_meanwhile=self.changed,
            remaining=max(left_over, 0),
            seconds=monotonic() - self.started,
            kms_calls=self.by.kms.calls - calls_before,
            interrupted=interrupted,
            stopped_by=self.stopped_by,
        )

    def _page(self, tokens: list[StoredToken]) -> None:
        patience, tries = Patience(self.cancelled), 0
        while tokens:
            held = Event()
            proved = frozenset(t.ref for t in tokens[1:] if not secrets.randbelow(PROVED)) | {tokens[0].ref}
            outcomes = list(self.pool.map(partial(self._one, held, proved), tokens))
            if wrong := next((o.stop for o in outcomes if isinstance(o.stop, WrongDataKeyError)), None):
                self.stopped_by = str(wrong)
                return
            sealed = {o.token.ref: (o.token, o.sealed) for o in outcomes if o.sealed is not None}
            written, rejected = self._write(sealed)
            self.done += len(written)
            self.poisoned |= rejected | {o.token.ref: o.poison for o in outcomes if o.poison}
            self.changed += sum(o.elsewhere for o in outcomes)
            stops = [o.stop for o in outcomes if o.stop is not None]
            final = [stop for stop in stops if not is_passing(stop)]
            if final or self.cancelled.is_set():
                self.stopped_by = str(final[0]) if final else ""
                return
            tokens = self._changed([ref for ref in sealed if ref not in written and ref not in rejected])
            tries += 1
            if tokens and tries >= TRIES:
                self.poisoned |= {t.ref: "it kept changing while it was being written" for t in tokens}
                tokens = []
            if held.is_set():
                if not patience.wait(progress=bool(written)):
                    self.stopped_by = "" if self.cancelled.is_set() else str(stops[0])
                    return
                tokens += [o.token for o in outcomes if o.held or o.stop is not None]

    def _changed(self, lost: Sequence[TokenRef]) -> list[StoredToken]:
        """Read tokens again that another writer changed between our read and our write."""
        if not lost:
            return []
        self.conflicts += len(lost)
        tokens = [t for t in self.by.store.read_many(lost) if t.format in self.plan.verb.formats]
        # Vanished, or written anew by the platform in a form that this plan is not about.
        self.changed += len(lost) - len(tokens)
        return tokens

    def _one(self, held: Event, proved: frozenset[TokenRef], token: StoredToken) -> _Written:
        """One token's way through KMS. `held` is set when KMS fails for a moment: the others wait then.

        What is `proved` is opened by KMS before anything of its page is written.
        """
        if self.cancelled.is_set():
            return _Written(token)
        if held.is_set():
            return _Written(token, held=True)
        try:
            return self._checked(token, self._sealed(token, ask_kms=token.ref in proved))
        except (
            InvalidTokenError,
            InvalidReferenceError,
            NewEnvelopeError,
            RefusedError,
            WrongBindingError,
        ) as error:
            # The new envelope could not be made, or the old one is another database's: that is no damage.
            return _Written(token, poison=error.message)
        except EnvelopeError as error:
            if token.format.protected:
                self.by.answers.remember([answer_of_damage(token, error.message)])
            return _Written(token, poison=error.message)
        except (IncorrectKeyError, InvalidCiphertextError, UntrustedKeyError) as error:
            return self._not_under_the_source(token, error)
        except KmsError as error:
            if is_passing(error):
                held.set()
            if error.transient or isinstance(error, CredentialsError) or self.plan.source_key_arn:
                return _Written(token, stop=error)
            makes_new = error.operation in ("GenerateDataKey", "ReEncrypt") or self.plan.verb is Verb.ENCRYPT
            if makes_new or self.plan.tokens == 1:
                return _Written(token, stop=error)
            return _Written(token, poison=str(error))

    def _sealed(self, token: StoredToken, *, ask_kms: bool) -> SealedToken:
        stored, plan, cipher = token.value.reveal(), self.plan, self.cipher
        target, source = plan.target_key_arn, plan.source_key_arn
        if plan.verb is Verb.REWRAP:
            return cipher.rewrap(stored, target, source, ref=token.ref)
        if plan.verb is Verb.REENCRYPT:
            downgrade = plan.allow_downgrade
            return cipher.reencrypt(
                stored, target, source, ref=token.ref, allow_downgrade=downgrade, ask_kms=ask_kms
            )
        # Nothing is kept of what is encrypted in place: KMS opens each.
        if token.format is Format.DEV:
            return cipher.encrypt_dev(stored, self.by.dev_key, target, ref=token.ref, ask_kms=True)
        return cipher.encrypt(token.value, target, ref=token.ref, ask_kms=True)

    def _checked(self, token: StoredToken, sealed: SealedToken) -> _Written:
        """The new form, unless the token was under another trusted key than the one that is being emptied."""
        source, expected = sealed.source, self.plan.source_key_arn
        if expected is None or source is None or same_key(source.key_arn, expected):
            return _Written(token, sealed)
        self.by.answers.remember([answer_about(token.value.reveal(), source)])
        return _Written(token, elsewhere=True)

    def _not_under_the_source(self, token: StoredToken, error: KmsError) -> _Written:
        """KMS disagrees with the attribution: ask about this very token, so that it is known from now on."""
        probe = self.by.attributor.ask_kms([token])[0]
        if probe.answer is None or probe.answer.key_arn is None:
            return _Written(token, poison=str(error))
        if self.plan.source_key_arn and not same_key(probe.answer.key_arn, self.plan.source_key_arn):
            return _Written(token, elsewhere=True)
        return _Written(token, poison=f"It is under {probe.answer.key_arn}, which is not trusted.")

    def _write(self, sealed: _Batch) -> tuple[set[TokenRef], dict[TokenRef, str]]:
        """Write a batch; returns the written tokens, and those that the database rejects with the reason.

        A row that the database rejects, by a constraint or a length, does not hold up the others.
        """
        if not sealed:
            return set(), {}
        try:
            return self._swap_in(sealed), {}
        except DatabaseError as error:
            # Only what the statement itself met with; a lost connection or a missing grant ends the run.
            if type(error) not in (DatabaseError, ChangedByDatabaseError):
                raise
            if len(sealed) == 1:
                return set(), dict.fromkeys(sealed, error.message)
        written: set[TokenRef] = set()
        rejected: dict[TokenRef, str] = {}
        for ref, one in sealed.items():
            done, why = self._write({ref: one})
            written |= done
            rejected |= why
        return written, rejected

    def _swap_in(self, sealed: _Batch) -> set[TokenRef]:
        by, actor = self.by, self.by.journal.actor()
        replacements = [Replacement(old, new.stored, new.source) for old, new in sealed.values()]

        def journal(connection: Connection, written: frozenset[TokenRef]) -> None:
            if by.same_database and written:
                self._record_batch(written, actor, connection)

        written = by.store.write_tokens(self.run.id, self.plan.verb.value, replacements, within=journal)
        if not by.same_database and written:
            self._record_batch(written, actor, None)
        by.answers.remember(
            answer_about(new.stored, new.wrapped_by) for ref, (_, new) in sealed.items() if ref in written
        )
        return set(written)

    def _record_batch(self, written: frozenset[TokenRef], actor: str, connection: Connection | None) -> None:
        references = sorted(str(ref) for ref in written)
        subject = references[0] if len(references) == 1 else f"{len(references)} tokens"
        detail = {"run": str(self.run.id), "to": self.plan.target_key_arn, "references": references}
        verb, journal = self.plan.verb.value, self.by.journal
        journal.record(verb, subject, Outcome.DONE, detail, within=connection, actor=actor)

    def _count(self, scope: TokenScope) -> int:
        return sum(self.by.store.count(scope).values())


def _repeats(plan: Plan) -> bool:
    """True where a written token leaves the selection, so that looking again finds only what is left."""
    return bool(plan.selection.under_key or plan.selection.unprotected)
