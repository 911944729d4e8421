"""Tokens in memory: what a run reads from and writes to where no database is needed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from crypto_core.aws.kms import KmsApi
from crypto_core.database.tokens.store import StoredToken, digest
from crypto_core.envelope import Format, classify, seal, serialise
from crypto_core.keyring.kms_keyring import KmsKeyring
from crypto_core.reencryption.bulk.pace import CallPace
from crypto_core.reencryption.bulk.pipeline import RunGate, pass_tokens
from crypto_core.reencryption.bulk.ports import BulkKms, Outcome, Poison, Sealed, TokenTask
from crypto_core.reencryption.bulk.token_sealer import Sealing
from crypto_core.reencryption.bulk.transport import KmsTransport
from crypto_core.reencryption.plan import Verb
from crypto_core.values.references import TokenRef
from crypto_core.values.secret import DataKey, Secret

REGION = "eu-west-1"


def ref(number: int) -> TokenRef:
    return TokenRef("gh_connection", "access_token", f"gh-{number}")


def token_of(reference: TokenRef, stored: str) -> StoredToken:
    return StoredToken(reference, classify(stored).format, Secret.of(stored), digest(stored))


def enveloped(
    control: Any, key_arn: str, count: int, format_: Format = Format.V1, region: str = REGION
) -> dict[TokenRef, str]:
    """So many stored envelopes under a key of the sandbox; token N holds "ghp_N"."""
    refs = [ref(number) for number in range(count)]
    contexts = None
    if format_ is Format.V2:
        contexts = [
            {"keydeck:table": r.table, "keydeck:column": r.column, "keydeck:id": r.row_id} for r in refs
        ]
    made = control.data_keys(key_arn, count, contexts=contexts, region=region)
    stored = {}
    for number, (reference, data_key) in enumerate(zip(refs, made, strict=True)):
        envelope = seal(
            Secret.of(f"ghp_{number}"),
            DataKey(data_key.plaintext),
            data_key.ciphertext_blob,
            format_=format_,
            key_arn=key_arn,
            ref=reference,
        )
        stored[reference] = serialise(envelope)
    return stored


@dataclass
class Tally:
    """What a run has come to so far; it is complete if nothing that was read is left."""

    read: int = 0
    written: int = 0
    conflicts: int = 0
    vanished: int = 0
    poisoned: int = 0
    kms_calls: int = 0

    @property
    def complete(self) -> bool:
        return self.read == self.written + self.vanished + self.poisoned


class Table:
    """Tokens in memory: pages and sink in one. Everything that goes wrong is said by the test."""

    def __init__(self, stored: Mapping[TokenRef, str], page: int = 50) -> None:
        self.stored = dict(stored)
        self.before = dict(stored)
        self.batches: list[list[Outcome]] = []
        self.poisoned: list[Poison] = []
        self.committing: Callable[[Sequence[Outcome]], None] = lambda batch: None
        self.commit_seconds = 0.0
        self.tally = Tally()
        self.most_unwritten = 0
        self._written = 0
        self._left = iter(_pages(list(self.stored), page))

    def next(self) -> Sequence[StoredToken]:
        refs = next(self._left, [])
        self.tally.read += len(refs)
        self.most_unwritten = max(self.most_unwritten, self.tally.read - self._written)
        return [token_of(r, self.stored[r]) for r in refs]

    def again(self, tokens: Sequence[StoredToken]) -> Sequence[StoredToken]:
        """Those tokens as they are now, without those that are gone."""
        found = [token_of(t.ref, self.stored[t.ref]) for t in tokens if t.ref in self.stored]
        self.tally.vanished += len(tokens) - len(found)
        return found

    def commit(self, batch: Sequence[Outcome]) -> Sequence[StoredToken]:
        time.sleep(self.commit_seconds)
        self.committing(batch)
        self.batches.append(list(batch))
        self._written += len(batch)
        changed = []
        self.tally.kms_calls += sum(outcome.kms_calls for outcome in batch)
        for outcome in batch:
            if isinstance(outcome, Poison):
                self.poisoned.append(outcome)
                self.tally.poisoned += 1
                continue
            assert isinstance(outcome, Sealed)
            old = outcome.replacement.old
            now = self.stored.get(old.ref)
            if now is None or digest(now) != old.digest:
                changed.append(old)
                continue
            self.stored[old.ref] = outcome.replacement.stored
            self.tally.written += 1
        self.tally.conflicts += len(changed)
        return changed

    @property
    def changed(self) -> set[TokenRef]:
        return {r for r, value in self.stored.items() if self.before.get(r) != value}


@asynccontextmanager
async def transport(kms: KmsApi, rate: float = 100_000.0, **options: Any) -> AsyncIterator[KmsTransport]:
    async with KmsTransport(kms, CallPace(rate), **options) as made:
        yield made


async def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


def _pages(refs: list[TokenRef], size: int) -> Iterable[list[TokenRef]]:
    return [refs[at : at + size] for at in range(0, len(refs), size)]


def task(verb: Verb, target: str, source: str | None = None, *trusted: str, **options: Any) -> TokenTask:
    """What is done to each token; the source, or else `trusted`, opens the envelopes."""
    known = options.pop("keys", {})
    keyring = KmsKeyring(KmsApi([REGION]), write_key=None, trusted=[source] if source else trusted)
    keyring.expect(known)
    return TokenTask(verb, target, keyring, source, **options)


async def write_tokens(table: Table, order: TokenTask, kms: BulkKms, control: RunGate) -> Tally:
    await pass_tokens(table, table, partial(Sealing(order).seal_token, kms=kms), control)
    return table.tally


def written(
    table: Table, order: TokenTask, kms: KmsApi, control: RunGate | None = None, **options: Any
) -> Tally:
    """Write every token of a table anew by the transport, and return what that came to."""

    async def go() -> Tally:
        async with transport(kms, **options) as made:
            return await write_tokens(table, order, made, control or RunGate())

    return asyncio.run(go())
