"""Does what a plan says: reads a page, asks KMS on several threads, swaps in what came out, reads on.

No row is locked while KMS is asked. A token that changed between read and write is read and tried again; the
other writer's value is never overwritten. Interrupted or stopped, a run leaves only whole tokens behind, old
or new, and can be started again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from threading import Event
from time import monotonic
from uuid import UUID

from sqlalchemy import Connection

from crypto_core.aws.kms import KmsApi
from crypto_core.cipher import SealedToken, TokenCipher
from crypto_core.database.state.journal import Journal
from crypto_core.database.tokens.attribution import Attributor, answer_about
from crypto_core.database.tokens.attribution_cache import AttributionCache, KnownAttribution
from crypto_core.database.tokens.store import Replacement, StoredToken, TokenScope, TokenStore
from crypto_core.envelope import DEV_KEY, Format
from crypto_core.errors import (
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
TRIES = 5
"""How often a token that keeps changing is tried again within one pass."""

Progress = Callable[[RunProgress], None]


@dataclass(slots=True)
class _Tally:
    """What has happened so far."""

    planned: int
    started: float
    done: int = 0
    conflicts: int = 0
    changed: int = 0
    poisoned: dict[TokenRef, str] = field(default_factory=dict)
    stopped_by: str = ""

    def progress(self) -> RunProgress:
        return RunProgress(
            self.planned, self.done, len(self.poisoned), self.conflicts, monotonic() - self.started
        )


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


class Runner:
    """Runs plans. Blocks on SQL and KMS: call it from a worker."""

    def __init__(
        self,
        kms: KmsApi,
        keyring: KmsKeyring,
        planner: Planner,
        store: TokenStore,
        answers: AttributionCache,
        attributor: Attributor,
        journal: Journal,
        *,
        same_database: bool,
        dev_key: str = DEV_KEY,
        workers: int = 16,
        observer: Observer = SILENT,
    ) -> None:
        """`same_database` is True if the journal is in the tokens' own database: then its entries commit
        together with what they tell.
        """
        self._kms = kms
        self._keyring = keyring
        self._planner = planner
        self._store = store
        self._answers = answers
        self._attributor = attributor
        self._journal = journal
        self._same_database = same_database
        self._dev_key = dev_key
        self._workers = workers
        self._observer = observer

    def run_plan(
        self,
        plan: Plan,
        run: Run,
        *,
        progress: Progress | None = None,
        cancelled: Event | None = None,
    ) -> RunResult:
        """Do what the plan says; see RunResult. Raises DatabaseError; what was written before stays."""
        tally = _Tally(plan.tokens, monotonic())
        calls_before = self._kms.calls
        sources = [plan.source_key_arn] if plan.source_key_arn else []
        cipher = TokenCipher(
            self._keyring.trusting(plan.target_key_arn, *sources),
            write_format=plan.write_format,
            observer=self._observer,
        )
        scope, left_over = plan.scope, 0
        with ThreadPoolExecutor(max_workers=self._workers) as pool:
            for _ in range(PASSES):
                done_before = tally.done
                for page in self._store.pages(scope, size=PAGE):
                    left = [t for t in page if t.ref not in tally.poisoned]
                    self._page(plan, cipher, pool, run.id, left, tally, cancelled)
                    run.so_far["done"] = tally.done
                    if progress is not None:
                        progress(tally.progress())
                    if tally.stopped_by or _is_set(cancelled):
                        break
                if tally.stopped_by or _is_set(cancelled) or not _repeats(plan):
                    break
                # What the platform wrote under the old key meanwhile is found by looking again.
                try:
                    scope = self._planner.resolve_selection(
                        plan.verb, plan.selection, plan.target_key_arn
                    ).scope
                except (RefusedError, KmsError) as error:
                    tally.stopped_by = str(error)
                    break
                left_over = self._count(scope) - self._count(replace(scope, references=tuple(tally.poisoned)))
                if left_over <= 0 or tally.done == done_before:
                    break
        interrupted = _is_set(cancelled)
        if interrupted or tally.stopped_by:
            left_over = plan.tokens - tally.done - tally.changed - len(tally.poisoned)
        return RunResult(
            verb=plan.verb,
            target_key_arn=plan.target_key_arn,
            planned=plan.tokens,
            done=tally.done,
            conflicts_retried=tally.conflicts,
            poisoned=tuple(Unwritten(str(ref), reason) for ref, reason in sorted(tally.poisoned.items())),
            changed_meanwhile=tally.changed,
            remaining=max(left_over, 0),
            seconds=monotonic() - tally.started,
            kms_calls=self._kms.calls - calls_before,
            interrupted=interrupted,
            stopped_by=tally.stopped_by,
        )

    def _page(
        self,
        plan: Plan,
        cipher: TokenCipher,
        pool: ThreadPoolExecutor,
        run_id: UUID,
        tokens: list[StoredToken],
        tally: _Tally,
        cancelled: Event | None,
    ) -> None:
        patience, tries = Patience(cancelled), 0
        while tokens:
            held = Event()
            outcomes = list(pool.map(partial(self._one, plan, cipher, cancelled, held), tokens))
            replacements = [
                Replacement(o.token, o.sealed.stored, o.sealed.source)
                for o in outcomes
                if o.sealed is not None
            ]
            sealed = {o.token.ref: o.sealed for o in outcomes if o.sealed is not None}
            written, rejected = self._write(plan, run_id, replacements, sealed)
            tally.done += len(written)
            tally.poisoned.update(rejected)
            tally.poisoned.update({o.token.ref: o.poison for o in outcomes if o.poison})
            tally.changed += sum(o.elsewhere for o in outcomes)
            stops = [o.stop for o in outcomes if o.stop is not None]
            final = [stop for stop in stops if not is_passing(stop)]
            if final or _is_set(cancelled):
                tally.stopped_by = str(final[0]) if final else ""
                return
            tokens = self._changed(plan, replacements, {*written, *rejected}, tally)
            tries += 1
            if tokens and tries >= TRIES:
                tally.poisoned.update({t.ref: "it kept changing while it was being written" for t in tokens})
                tokens = []
            if held.is_set():
                if not patience.wait(progress=bool(written)):
                    tally.stopped_by = "" if _is_set(cancelled) else str(stops[0])
                    return
                tokens += [o.token for o in outcomes if o.held or o.stop is not None]

    def _changed(
        self, plan: Plan, replacements: Sequence[Replacement], settled: set[TokenRef], tally: _Tally
    ) -> list[StoredToken]:
        """Read anew what somebody else changed between our read and our write."""
        lost = [r.old.ref for r in replacements if r.old.ref not in settled]
        if not lost:
            return []
        tally.conflicts += len(lost)
        tokens = [t for t in self._store.read_many(lost) if t.format in plan.verb.formats]
        # Vanished, or written anew by the platform in a form that this plan is not about.
        tally.changed += len(lost) - len(tokens)
        return tokens

    def _one(
        self, plan: Plan, cipher: TokenCipher, cancelled: Event | None, held: Event, token: StoredToken
    ) -> _Written:
        """One token's way through KMS. `held` is set when KMS fails for a moment: the others wait then."""
        if _is_set(cancelled):
            return _Written(token)
        if held.is_set():
            return _Written(token, held=True)
        try:
            return self._checked(plan, token, self._sealed(plan, cipher, token))
        except (InvalidTokenError, InvalidReferenceError, NewEnvelopeError, RefusedError) as error:
            # The new envelope could not be made; that says nothing of the old one.
            return _Written(token, poison=error.message)
        except EnvelopeError as error:
            if token.format.protected:
                self._answers.remember([KnownAttribution(token.digest, None, None, None, error.message)])
            return _Written(token, poison=error.message)
        except (IncorrectKeyError, InvalidCiphertextError, UntrustedKeyError) as error:
            return self._not_under_the_source(plan, token, error)
        except KmsError as error:
            if is_passing(error):
                held.set()
            if error.transient or isinstance(error, CredentialsError) or plan.source_key_arn:
                return _Written(token, stop=error)
            if error.operation in ("GenerateDataKey", "ReEncrypt") or plan.tokens == 1:
                return _Written(token, stop=error)
            return _Written(token, poison=str(error))

    def _sealed(self, plan: Plan, cipher: TokenCipher, token: StoredToken) -> SealedToken:
        stored = token.value.reveal()
        if plan.verb is Verb.REWRAP:
            return cipher.rewrap(stored, plan.target_key_arn, plan.source_key_arn, ref=token.ref)
        if plan.verb is Verb.REENCRYPT:
            return cipher.reencrypt(
                stored,
                plan.target_key_arn,
                plan.source_key_arn,
                ref=token.ref,
                allow_downgrade=plan.allow_downgrade,
            )
        if token.format is Format.DEV:
            return cipher.encrypt_dev(stored, self._dev_key, plan.target_key_arn, ref=token.ref)
        return cipher.encrypt(token.value, plan.target_key_arn, ref=token.ref)

    def _checked(self, plan: Plan, token: StoredToken, sealed: SealedToken) -> _Written:
        """The new form, unless the token was under another trusted key than the one that is being emptied."""
        source = sealed.source
        if plan.source_key_arn is None or source is None or same_key(source.key_arn, plan.source_key_arn):
            return _Written(token, sealed)
        self._answers.remember([answer_about(token.value.reveal(), source)])
        return _Written(token, elsewhere=True)

    def _not_under_the_source(self, plan: Plan, token: StoredToken, error: KmsError) -> _Written:
        """KMS disagrees with the attribution: ask about this very token, so that it is known from now on."""
        probe = self._attributor.ask_kms([token])[0]
        if probe.answer is None or probe.answer.key_arn is None:
            return _Written(token, poison=str(error))
        if plan.source_key_arn and not same_key(probe.answer.key_arn, plan.source_key_arn):
            return _Written(token, elsewhere=True)
        return _Written(token, poison=f"It is under {probe.answer.key_arn}, which is not trusted.")

    def _write(
        self,
        plan: Plan,
        run_id: UUID,
        replacements: Sequence[Replacement],
        sealed: dict[TokenRef, SealedToken],
    ) -> tuple[frozenset[TokenRef], dict[TokenRef, str]]:
        """Write a batch; returns what was written, and what the database rejects with the reason.

        A row that the database rejects, by a constraint or a length, does not hold up the others.
        """
        if not replacements:
            return frozenset(), {}
        try:
            return self._swap_in(plan, run_id, replacements, sealed), {}
        except DatabaseError as error:
            # Only what the statement itself met with; a lost connection or a missing grant ends the run.
            if type(error) is not DatabaseError:
                raise
            if len(replacements) == 1:
                return frozenset(), {replacements[0].old.ref: error.message}
        written: set[TokenRef] = set()
        rejected: dict[TokenRef, str] = {}
        for replacement in replacements:
            one, why = self._write(plan, run_id, [replacement], sealed)
            written |= one
            rejected |= why
        return frozenset(written), rejected

    def _swap_in(
        self,
        plan: Plan,
        run_id: UUID,
        replacements: Sequence[Replacement],
        sealed: dict[TokenRef, SealedToken],
    ) -> frozenset[TokenRef]:
        actor = self._journal.actor()

        def journal(connection: Connection, written: frozenset[TokenRef]) -> None:
            if self._same_database and written:
                self._record_batch(plan, run_id, written, actor, connection)

        written = self._store.write_tokens(run_id, plan.verb.value, replacements, within=journal)
        if not self._same_database and written:
            self._record_batch(plan, run_id, written, actor, None)
        self._answers.remember(
            answer_about(s.stored, s.wrapped_by) for ref, s in sealed.items() if ref in written
        )
        return written

    def _record_batch(
        self,
        plan: Plan,
        run_id: UUID,
        written: frozenset[TokenRef],
        actor: str,
        connection: Connection | None,
    ) -> None:
        references = sorted(str(ref) for ref in written)
        subject = references[0] if len(references) == 1 else f"{len(references)} tokens"
        detail = {"run": str(run_id), "to": plan.target_key_arn, "references": references}
        self._journal.record(plan.verb.value, subject, Outcome.DONE, detail, within=connection, actor=actor)

    def _count(self, scope: TokenScope) -> int:
        return sum(self._store.count(scope).values())


def _repeats(plan: Plan) -> bool:
    """True where a written token leaves the selection, so that looking again finds only what is left."""
    return bool(plan.selection.under_key or plan.selection.unprotected)


def _is_set(event: Event | None) -> bool:
    return event is not None and event.is_set()
