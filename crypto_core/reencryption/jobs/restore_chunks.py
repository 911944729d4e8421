"""Puts the previous envelopes of a job back, each opened before, and only where nothing newer is there.

Where what the job wrote does not open, nothing is lost by putting back what does: it is not compared then.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from threading import Event
from uuid import UUID

from sqlalchemy import Engine

from crypto_core.cipher import TokenCipher
from crypto_core.database.tokens.backups import previous
from crypto_core.database.tokens.store import Replacement, StoredToken
from crypto_core.errors import (
    EnvelopeError,
    IncorrectKeyError,
    InvalidCiphertextError,
    InvalidReferenceError,
    KmsError,
    UntrustedKeyError,
)
from crypto_core.keyring.kms_keyring import KmsKeyring
from crypto_core.reencryption.bulk.ports import Outcome, Poison, Sealed, TokenPages, TokenSink, TokenTask
from crypto_core.reencryption.bulk.watch import CallSample
from crypto_core.reencryption.jobs.ports import ChunkWork, OpenRestoring
from crypto_core.reencryption.patience import ask_patiently

BATCH = 100
WORKERS = 16
_LOOK_SECONDS = 0.1
DIFFERENT = "different-token"


class Restoring:
    """A ChunkWork that writes what had been there, two calls of KMS for each token."""

    def __init__(self, engine: Engine, keyring: KmsKeyring, pool: ThreadPoolExecutor, run_id: UUID) -> None:
        """`run_id` is the run whose envelopes are put back where they replaced others."""
        self._engine = engine
        self._run_id = run_id
        self._keyring = keyring
        self._pool = pool
        self._gate = Event()
        self._gate.set()

    def write_chunk(self, pages: TokenPages, sink: TokenSink, order: TokenTask, stop: Event) -> None:
        """Put back what there is. `order` names the keys that both envelopes may be under, beside those
        that are trusted anyway.
        """
        while not stop.is_set() and (page := pages.next()):
            for first in range(0, len(page), BATCH):
                while not self._gate.wait(_LOOK_SECONDS) and not stop.is_set():
                    pass
                if stop.is_set():
                    return
                self._batch(page[first : first + BATCH], sink, order, stop)

    def set_rate(self, limit: float, fellows: float) -> None:
        """Nothing: it asks KMS less than a job may."""

    def hold_back(self, waits: bool, /) -> None:
        """Put nothing back while `waits`."""
        (self._gate.clear if waits else self._gate.set)()

    def take_sample(self) -> CallSample:
        """Return nothing: what botocore's clients measure is in the metrics."""
        return CallSample()

    def _batch(self, tokens: Sequence[StoredToken], sink: TokenSink, order: TokenTask, stop: Event) -> None:
        kept = previous(self._engine, self._run_id, [t.digest for t in tokens])
        named = [order.target, *([order.source] if order.source else [])]
        ask = partial(self._one, TokenCipher(self._keyring.trusting(*named)), kept)
        todo = [t for t in tokens if t.digest in kept]
        rounds: Iterator[list[Outcome]] = ask_patiently(self._pool, ask, todo, stop)
        for outcomes in rounds:
            # Whatever changed meanwhile is newer: it stays.
            sink.commit(outcomes)

    def _one(self, cipher: TokenCipher, kept: dict[bytes, str], token: StoredToken) -> Outcome | KmsError:
        before = kept[token.digest]
        try:
            was = cipher.open(before, ref=token.ref)
            with was.token as past:
                try:
                    now = cipher.open(token.value.reveal(), ref=token.ref)
                except (EnvelopeError, InvalidCiphertextError):
                    return Sealed(Replacement(token, before, None), 2)
                with now.token as present:
                    same = past == present
        except (EnvelopeError, InvalidReferenceError) as error:
            return Poison(token, "damaged", error.message, 2)
        except (IncorrectKeyError, InvalidCiphertextError, UntrustedKeyError) as error:
            return Poison(token, "not-opened", error.message, 2)
        except KmsError as error:
            return error
        if not same:
            return Poison(token, DIFFERENT, "The previous envelope holds another token.", 2)
        return Sealed(Replacement(token, before, now.wrapped_by), 2)


def restoring(engine: Engine, keyring: KmsKeyring) -> OpenRestoring:
    """Return what makes a Restoring for as long as a process works on a job."""

    @contextmanager
    def opened(run_id: UUID) -> Iterator[ChunkWork]:
        with ThreadPoolExecutor(WORKERS, thread_name_prefix="keydeck-restore") as pool:
            yield Restoring(engine, keyring, pool, run_id)

    return opened
