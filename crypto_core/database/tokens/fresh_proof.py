"""The fresh proof: what is under which key, by what is stored now and by KMS's own answers of this minute.

What is stored is grouped anew. Of every group in every column KMS is asked about at least one member, chosen
at random; where the answers about a group contradict each other about all of it, and about every envelope
without a KMS header. Remembered answers count for nothing: whoever can write to the database could have
written them. What could not be asked is a gap, and a proof with a gap proves no zero.

A loss that was accepted is no answer either: the very value that was accepted is opened anew, and only if it
still opens for nobody does it not count as under its key.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import KW_ONLY, astuple, dataclass, field, replace
from datetime import datetime
from functools import partial
from itertools import chain, pairwise
from threading import Event

from sqlalchemy import Connection

from crypto_core.database.connection.engine import told_apart
from crypto_core.database.connection.lock_holders import wait_for_writers
from crypto_core.database.tokens import attribution, lost_tokens
from crypto_core.database.tokens.attribution_cache import KnownAttribution, Wrapping, once_a_key
from crypto_core.database.tokens.catalogue import LiveCatalogue
from crypto_core.database.tokens.census import Census, GroupCount, take_census
from crypto_core.database.tokens.decoys import DecoyCount
from crypto_core.database.tokens.store import StoredToken, TokenScope, TokenStore
from crypto_core.database.tokens.sweep.results import Sweep
from crypto_core.database.tokens.sweep.service import SweepService
from crypto_core.database.tokens.tables import TokenColumn
from crypto_core.envelope import ENVELOPE_FORMATS, Format, parse
from crypto_core.keyring.cipher import TokenCipher
from crypto_core.keyring.kms_keyring import KmsKeyring
from crypto_core.lists.coverage import Evidence
from crypto_core.values import errors
from crypto_core.values.cancellation import stop_if
from crypto_core.values.clean_text import cleans
from crypto_core.values.counts import counted
from crypto_core.values.json_records import JsonRecord, shape
from crypto_core.values.key_names import same_key
from crypto_core.values.moments import in_utc
from crypto_core.values.references import TokenRef

COUNTS = 4
"""Counts, where the platform changes tokens between count and KMS's answers."""
FEW = 200
"""Up to so many tokens that seem to be left are opened: damaged ones open for nobody."""

SAMPLED = ", other places by samples of their rows"
READ = ", other places read in full"
"""Before harm all other places are read."""

BY_MEMBERS = ", about one member of most"
"""KMS's answer about one of a group in a column stands for the rest."""


@dataclass(frozen=True, slots=True)
@cleans(gaps=2_000, remarks=600)
class FreshProof(JsonRecord):
    """What is under which key, and how that is known. Every envelope is accounted for.

    `parts` is how many groups there are, counted in each column by itself, and `asked` how many questions KMS
    was asked. `groups` are the keys that KMS named for each EDK prefix, `single` those of tokens that count
    by an answer of their own, by digest, and `broken` the digests of some that are no whole envelopes.
    `failure` is as for Attribution.
    """

    census: Census = field(repr=False)
    counts: tuple[attribution.KeyCount, ...]
    parts: int
    asked: int
    gaps: tuple[str, ...]
    groups: Mapping[bytes, frozenset[Wrapping]] = field(repr=False)
    single: Mapping[bytes, Wrapping] = field(repr=False)
    failure: errors.KmsError | None = None
    broken: frozenset[bytes] = field(default=frozenset(), repr=False)
    sweep: Sweep | None = field(default=None, repr=False)
    """Taken right after; None where other places were not looked at."""
    accepted: tuple[lost_tokens.AcceptedLoss, ...] = ()
    """Accepted losses, which open for nobody and do not count as under their key."""
    remarks: tuple[str, ...] = ()
    """Acceptances that don't count, values that could not be opened anew, and decoys."""
    overtaken: bool = field(default=False, repr=False)
    """Whether tokens changed between count and KMS's answers: a new proof may be whole."""

    json_shape = shape(
        "taken_at tokens by_format groups=parts asked answers=counts swept "
        "answered_by_another_member=by_members complete gaps accepted_as_unrecoverable=accepted remarks",
        by_format=lambda proof: proof.by_format(),
        swept=lambda proof: (
            proof.sweep
            and {
                "taken_at": proof.sweep.taken_at,
                "tables": proof.sweep.tables,
                "columns": proof.sweep.columns,
                "every_row": proof.sweep.full,
            }
        ),
    )

    @property
    def taken_at(self) -> datetime:
        return self.census.taken_at

    @property
    def complete(self) -> bool:
        """Only without gaps a zero is one."""
        return not self.gaps

    @property
    def doubtful(self) -> int:
        unnamed = (c for c in self.counts if c.wrapping is None)
        return sum(c.tokens for c in unnamed if c.evidence is Evidence.CONFLICT or not c.asked)

    @property
    def by_members(self) -> int:
        """Tokens whose key is known by KMS's answer about another of their group."""
        return sum(c.tokens - c.asked for c in self.counts if c.evidence is Evidence.INFERRED)

    @property
    def tokens(self) -> int:
        return sum(group.tokens for group in self.census.groups)

    def tokens_under(self, key_arn: str) -> int:
        return sum(c.tokens for c in self.counts if c.wrapping and same_key(c.wrapping[0], key_arn))

    def by_format(self) -> dict[Format, int]:
        return {f: sum(g.tokens for g in self.census.groups if g.format is f) for f in Format}

    def scope_under(self, key_arn: str, formats: Iterable[Format] = ENVELOPE_FORMATS) -> TokenScope:
        """Return the tokens that are, or may be, under a key, but for what is no envelope."""
        return self._scope(formats, lambda arn: same_key(arn, key_arn))

    def scope_beside(self, key_arn: str, formats: Iterable[Format] = ENVELOPE_FORMATS) -> TokenScope:
        """Return the tokens that are, or may be, under another key."""
        return self._scope(formats, lambda arn: not same_key(arn, key_arn))

    def scope_known(self, formats: Iterable[Format] = ENVELOPE_FORMATS) -> TokenScope:
        """Return the tokens that are, or may be, under a known key."""
        return self._scope(formats, lambda _: True)

    def _scope(self, formats: Iterable[Format], wanted: Callable[[str], bool]) -> TokenScope:
        groups = sorted(p for p, named in self.groups.items() if any(wanted(arn) for arn, _ in named))
        single = frozenset(digest for digest, (arn, _) in self.single.items() if wanted(arn))
        return TokenScope(frozenset(formats), edk_prefixes=tuple(groups), digests=single, but=self.broken)

    def __str__(self) -> str:
        asked = "once" if self.asked == 1 else f"{self.asked:,} times"
        whole = "nothing left out" if self.complete else counted(len(self.gaps), "gap")
        if self.sweep is not None:
            whole += READ if self.sweep.full else SAMPLED
        return (
            f"Fresh proof of {in_utc(self.taken_at)}: {counted(self.parts, 'group')}, KMS asked {asked}"
            f"{BY_MEMBERS if self.by_members else ''}, {whole}"
        )


@dataclass(eq=False, repr=False)
class FreshProver:
    """Makes fresh proofs, within a limit of questions each. Blocks on SQL and KMS.

    What KMS answers is remembered for others. Nothing that is remembered counts in a proof: only of tokens
    that do not open now it decides whether a plan names them once more. `accepted` gives the losses that were
    accepted in incidents: a statement of Keydeck's own tables, by which each is opened anew.
    """

    store: TokenStore
    catalogue: LiveCatalogue
    attributor: attribution.Attributor
    keyring: KmsKeyring
    sweeps: SweepService
    _: KW_ONLY
    limit: int = 5_000
    workers: int = 8
    accepted: Callable[[], lost_tokens.AcceptedLosses] = lost_tokens.AcceptedLosses

    def prove(
        self,
        *,
        about: str = "",
        everywhere: bool = True,
        in_full: bool = False,
        cancelled: Event | None = None,
    ) -> FreshProof:
        """Return a proof made now. Trouble with KMS is part of it, as gaps.

        With `everywhere`, what other places may hold tokens is looked for anew too, and each is a gap: by
        samples, or `in_full`, as it has to be before harm. Then a transaction is a gap, too, that may have
        written tokens and has not ended.

        Where few tokens seem to be under the key `about` (its ARN), each of them is opened: damaged ones open
        for nobody and do not count as under it. Raises DatabaseError, InterruptedRunError.
        """
        if about and (wrong := self._wrong_decoys(about, cancelled)):
            every = LiveCatalogue(self.catalogue.engine, self.catalogue.declared)
            counting = replace(self, store=self._plain_store(every), catalogue=every)
            proof = counting.prove(about=about, everywhere=everywhere, in_full=in_full, cancelled=cancelled)
            return replace(proof, remarks=(*proof.remarks, wrong))
        for _ in range(COUNTS):
            proof = self._proved_once(about, everywhere, in_full, cancelled)
            if not proof.overtaken:
                break
        return proof

    def _proved_once(
        self, about: str, everywhere: bool, in_full: bool, cancelled: Event | None
    ) -> FreshProof:
        census, sweep, gaps = self._counted(everywhere, in_full, cancelled)
        proof = _Questions(self, census, cancelled).proof()
        if everywhere and not in_full:
            sweep, gaps = self._sampled(cancelled)
        reasons = sweep.reasons if sweep is not None else ()
        proof = replace(proof, gaps=tuple(dict.fromkeys((*proof.gaps, *gaps, *reasons))), sweep=sweep)
        under = [c for c in proof.counts if c.wrapping and same_key(c.wrapping[0], about)]
        if 0 < sum(c.tokens for c in under) <= FEW and not any(c.note for c in under):
            return self._opened(proof, about, cancelled)
        return proof

    def _counted(
        self, everywhere: bool, in_full: bool, cancelled: Event | None
    ) -> tuple[Census, Sweep | None, tuple[str, ...]]:
        """The census; in full with all else in the database, and what is open, at its very moment."""
        count = partial(take_census, self.catalogue.engine, self.catalogue, None, cancelled=cancelled)
        if not (everywhere and in_full):
            return count(), None, ()
        failed: list[str] = []
        with self.sweeps.reading_in_full(cancelled) as reading:

            def read_end(connection: Connection) -> None:
                with _as_gap(failed), told_apart():
                    reading.read_end(connection)

            while True:
                with _as_gap(failed):
                    reading.read_ranges()
                open_writers = wait_for_writers(self.catalogue.engine, cancelled=cancelled)
                census = count(beside=read_end)
                if reading.settled or failed:
                    return census, None if failed else reading.sweep, (*open_writers, *failed)

    def _sampled(self, cancelled: Event | None) -> tuple[Sweep | None, tuple[str, ...]]:
        """A sweep of the whole database that is not older than the count."""
        failed: list[str] = []
        with _as_gap(failed):
            return self.sweeps.take_sweep(cancelled=cancelled), ()
        return None, tuple(failed)

    def _wrong_decoys(self, key_arn: str, cancelled: Event | None) -> str:
        """Why rows that are listed as decoys may be tokens under a key; "" if KMS shows that none is.

        The key alone is asked, so that whoever watches the keys of tripwires has nothing to see.
        """
        listed = {
            ref: token
            for table in self.catalogue().tables
            for decoy in table.decoys
            for ref, token in zip(decoy.refs, decoy.tokens, strict=True)
        }
        if not listed:
            return ""
        every = LiveCatalogue(self.catalogue.engine, self.catalogue.declared)
        cipher = TokenCipher(self.keyring.limited_to(key_arn))
        for token in self._plain_store(every).read_many(listed):
            stop_if(cancelled)
            known, why = listed[token.ref], "it is not the token that was listed"
            if token.digest != known.digest:
                continue  # It counts as a token already.
            try:
                with cipher.open(token.value.reveal(), ref=token.ref).token as opened:
                    if hashlib.sha256(opened.reveal().encode()).digest() == known.token:
                        continue
            except (errors.IncorrectKeyError, errors.UntrustedKeyError, errors.InvalidCiphertextError):
                continue  # Nothing is lost with this key.
            except errors.KeydeckError as error:
                why = error.message
            return f"Rows listed as decoys count as tokens: {token.ref}: {why}"
        return ""

    def _plain_store(self, catalogue: LiveCatalogue) -> TokenStore:
        return TokenStore(catalogue.engine, catalogue, self.attributor.answers)

    def _opened(self, proof: FreshProof, key_arn: str, cancelled: Event | None) -> FreshProof:
        scope = proof.scope_under(key_arn)
        given_up = {loss.value.ref for loss in proof.accepted}
        number = self.store.count(scope).total()
        if given_up:
            number -= self.store.count(replace(scope, references=tuple(given_up))).total()
        if number != proof.tokens_under(key_arn):
            # Of some it isn't known whether they are under it; or what is stored has changed meanwhile.
            return replace(proof, overtaken=not proof.doubtful)
        cipher = TokenCipher(self.keyring.trusting(key_arn))
        counts = [c for c in proof.counts if c.wrapping is None or not same_key(c.wrapping[0], key_arn)]
        asked, broken = 0, set(proof.broken)
        with ThreadPoolExecutor(max_workers=self.workers) as pool:
            for whole in self.store.pages(scope, size=attribution.PAGE):
                stop_if(cancelled)
                page = [token for token in whole if token.ref not in given_up]
                asked += len(page)
                found = list(pool.map(partial(_count_opened, cipher, key_arn), page))
                counts += found
                damaged = [t.digest for t, count in zip(page, found, strict=True) if count.wrapping is None]
                # Damaged tokens that a run has named before need not be named again.
                known = self.attributor.answers.of_each(damaged)
                broken.update(digest for digest, answer in known.items() if answer.wrapping is None)
                # No run can read these, whatever KMS says: the lists and the status know it from here on.
                malformed = [p for p in map(_malformed, page) if p is not None]
                self.attributor.answers.remember(malformed)
                broken.update(one.digest for one in malformed)
        return replace(
            proof,
            counts=attribution.merged_counts(counts, proof.taken_at),
            asked=proof.asked + asked,
            broken=frozenset(broken),
        )


@dataclass(slots=True, eq=False)
class _GroupPart:
    """One group in one column; `members` are random ones that were not asked about."""

    group: GroupCount
    members: list[StoredToken] = field(default_factory=list)
    probe: attribution.Probe | None = None
    """The deciding answer: one that names a key, or a failure that isn't the member's."""
    refused: errors.KmsError | None = None
    """KMS's refusal of a damaged data key; `tried` counts all that were asked about."""
    tried: int = 0
    given_up: int = 0
    """Members whose loss was accepted, which do not count in it."""

    @property
    def scope(self) -> TokenScope:
        return TokenScope(frozenset({self.group.format}), edk_prefixes=(self.group.edk_prefix,))

    @property
    def column(self) -> TokenColumn:
        return TokenColumn(self.group.sample.table, self.group.sample.column)

    @property
    def named(self) -> Wrapping | None:
        """By KMS's answer or its refusal."""
        if self.probe is None:
            return None
        if self.probe.failure is not None:
            return (self.probe.failure.key, None) if self.probe.failure.key else None
        return self.probe.answer.wrapping if self.probe.answer else None

    def take(self, probe: attribution.Probe) -> None:
        """Take what came of asking about one member. Only a damaged one makes the next worth a question."""
        self.tried += 1
        if isinstance(probe.failure, errors.InvalidCiphertextError):
            self.refused = probe.failure
        elif probe.answer is None or probe.answer.wrapping is not None:
            self.probe = probe


@dataclass(slots=True, eq=False)
class _Questions:
    by: FreshProver
    census: Census
    cancelled: Event | None
    counts: list[attribution.KeyCount] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)
    groups: dict[bytes, frozenset[Wrapping]] = field(default_factory=dict)
    single: dict[bytes, Wrapping | None] = field(default_factory=dict)
    asked: int = 0
    failure: errors.KmsError | None = None
    silent: errors.KmsError | None = None
    given_up: dict[TokenRef, lost_tokens.AcceptedLoss] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    overtaken: bool = False

    def proof(self) -> FreshProof:
        enveloped = [g for g in self.census.groups if g.format in ENVELOPE_FORMATS]
        sealed = [_GroupPart(g) for g in enveloped if not g.holding]
        self.counts += [
            attribution.unknown_count(g.tokens, attribution.HOLDING) for g in self.census.groups if g.holding
        ]
        self._give_up(sealed)
        parts = [p for p in sealed if p.group.edk_prefix is not None and p.group.tokens]
        # The first alone: where KMS is silent, asking on would only take its time limit again.
        for first, last in pairwise((0, *range(1, len(parts), attribution.PAGE), len(parts))):
            self._sample(parts[first:last])
        by_prefix: dict[bytes, list[_GroupPart]] = {}
        for part in parts:
            by_prefix.setdefault(part.group.edk_prefix or b"", []).append(part)
        for prefix, of_it in by_prefix.items():
            self._conclude(prefix, of_it)
        bare = TokenScope(frozenset(ENVELOPE_FORMATS), edk_prefixes=(None,))
        unheaded = sum(part.group.tokens for part in sealed if part.group.edk_prefix is None)
        self._ask_each(unheaded, self._pages(bare))
        return FreshProof(
            census=self.census,
            counts=attribution.merged_counts(self.counts, self.census.taken_at),
            parts=len(sealed),
            asked=self.asked,
            gaps=tuple(dict.fromkeys((*self.census.gaps, *self.gaps))),
            groups=self.groups,
            single={digest: named for digest, named in self.single.items() if named is not None},
            failure=self.failure,
            broken=frozenset(digest for digest, named in self.single.items() if named is None),
            accepted=tuple(sorted(self.given_up.values(), key=lambda loss: loss.value.ref)),
            remarks=(*self.remarks, *left_out_decoys(self.census.decoys)),
            overtaken=self.overtaken,
        )

    def _give_up(self, parts: Sequence[_GroupPart]) -> None:
        """Leave out those tokens whose very values were accepted as lost, and open for nobody."""
        known = self.by.accepted()
        self.remarks += known.troubles
        losses = {loss.value: loss for loss in known.losses}
        trial = lost_tokens.TokenTrial(self.by.keyring)
        out_of_use: list[lost_tokens.AcceptedLoss] = []
        for part in parts if losses else ():
            here = tuple(v.ref for v in losses if (v.ref.table, v.ref.column) == astuple(part.column))
            if not here:
                continue
            for token in chain.from_iterable(self._pages(replace(part.scope, references=here), part.column)):
                loss = losses.get(lost_tokens.StoredValue.of(token))
                if loss is None or part.given_up >= part.group.tokens:
                    continue
                stop_if(self.cancelled)
                self.asked += 1
                tried = trial.try_token(token, loss.key_arn)
                if tried.result in (lost_tokens.OpeningResult.LOST, lost_tokens.OpeningResult.OUT_OF_USE):
                    self.given_up[token.ref] = loss
                    part.given_up += 1
                    out_of_use += [loss] if tried.result is lost_tokens.OpeningResult.OUT_OF_USE else []
                else:
                    opens = tried.result is lost_tokens.OpeningResult.OPENS
                    why = "it opens" if opens else f"not known now: {tried.why}"
                    self.remarks.append(f"Accepted in {loss.incident}, not covered now: {token.ref}: {why}")
            part.group = replace(part.group, tokens=part.group.tokens - part.given_up)
        if out_of_use:
            words = lost_tokens.accepted_words(out_of_use)
            self.remarks.append(f"Not opened anew, as the key is out of use: {words}")
        by_key: dict[str, list[lost_tokens.AcceptedLoss]] = {}
        for loss in self.given_up.values():
            by_key.setdefault(loss.key_arn, []).append(loss)
        for key_arn, own in by_key.items():
            where = lost_tokens.in_words(lost_tokens.incidents_of(own))
            reason = f"Accepted as unrecoverable in {where}. Left under {key_arn}."
            self.counts.append(attribution.damaged_count(len(own), reason))

    def _sample(self, parts: list[_GroupPart]) -> None:
        """Ask about a random member of each part, and about another where that one is damaged."""
        stop_if(self.cancelled)
        if self.silent is not None:
            return
        draws = [(part.scope, part.column, attribution.MEMBERS_TRIED + part.given_up) for part in parts]
        for part, drawn in zip(parts, self.by.store.at_random(draws) if draws else [], strict=True):
            kept = [token for token in drawn if token.ref not in self.given_up]
            part.members = kept[: attribution.MEMBERS_TRIED]
        while waiting := [p for p in parts if p.probe is None and p.members]:
            asking = waiting[: self.by.limit - self.asked]
            if not asking:
                return
            self.asked += len(asking)
            probes = self.by.attributor.ask_kms([p.members.pop() for p in asking], keep_damage=True)
            for part, probe in zip(asking, probes, strict=True):
                part.take(probe)
                self._note_failure(probe.failure)

    def _conclude(self, prefix: bytes, parts: list[_GroupPart]) -> None:
        """Count one group by its parts; one that contradicts itself token by token."""
        named = frozenset(part.named for part in parts if part.named is not None)
        # A refusal names the key without its material.
        materials = {arn for arn, material in named if material is not None}
        if len(once_a_key(w for w in named if w[1] is not None or w[0] not in materials)) < 2:
            if named:
                self.groups[prefix] = named
            for part in parts:
                self._count(part)
            return
        tokens = sum(part.group.tokens for part in parts)
        scope = TokenScope(frozenset(ENVELOPE_FORMATS), edk_prefixes=(prefix,))
        found = self._ask_each(tokens, self._pages(scope))
        if found.asked < tokens:
            # Some of it may be under any of the keys.
            self.groups[prefix] = named

    def _count(self, part: _GroupPart) -> None:
        tokens = part.group.tokens
        if part.probe is not None and part.probe.failure is not None:
            self.counts.append(attribution.failed_count(part.probe.failure, tokens))
            self._gap(attribution.gap_of(part.probe.failure, tokens))
        elif part.named is not None:
            # Broken members stay counted: whichever were drawn, a proof of the same tokens says the same.
            self.counts.append(attribution.inferred_count(frozenset({part.named}), tokens, 1))
        elif part.tried or self.silent is not None:
            # None of those that were asked about is intact: all are asked about, unless KMS is silent.
            self._ask_each(tokens, self._pages(part.scope, part.column))
        elif self.asked >= self.by.limit:
            self.counts.append(attribution.unknown_count(tokens, "not asked"))
            self._gap(attribution.over_limit_gap(tokens, self.by.limit))
        else:
            self.overtaken = True
            self.counts.append(attribution.unknown_count(tokens, attribution.OVERTAKEN))
            self._gap(attribution.overtaken_gap(tokens, str(part.column)))

    def _ask_each(self, tokens: int, pages: Iterator[list[StoredToken]]) -> attribution.Found:
        """Count so many tokens by an answer of their own each."""
        if not tokens:
            return attribution.Found(0, [])
        if self.silent is not None:
            unknown = attribution.unknown_count(tokens, self.silent.message)
            found = attribution.Found(0, [unknown], attribution.gap_of(self.silent, tokens))
        else:
            left = self.by.limit - self.asked
            found = self.by.attributor.ask_each(pages, tokens, left, self.cancelled)
        self.asked += found.asked
        self.counts += found.counts
        self.single |= found.told
        self.overtaken |= found.overtaken
        self._gap(found.gap)
        self._note_failure(found.failure)
        return found

    def _pages(self, scope: TokenScope, of: TokenColumn | None = None) -> Iterator[list[StoredToken]]:
        for page in self.by.store.pages(scope, of=of, size=attribution.PAGE):
            if left := [token for token in page if token.ref not in self.given_up]:
                yield left

    def _gap(self, gap: str) -> None:
        if gap:
            self.gaps.append(gap)

    def _note_failure(self, failure: errors.KmsError | None) -> None:
        if failure is not None and failure.may_pass:
            self.failure = self.failure or failure
            self.silent = self.silent or attribution.lasting_silence(failure)


@contextmanager
def _as_gap(failed: list[str]) -> Iterator[None]:
    try:
        yield
    except errors.DatabaseError as error:
        failed.append(f"Whether other places hold tokens is not known: {error.message}")


def left_out_decoys(decoys: DecoyCount) -> Iterator[str]:
    """A remark on each tripwire whose rows are in no number: operators can write that list."""
    of_tripwire = Counter(decoy.tripwire for decoy in decoys.standing)
    for number, rows in sorted(of_tripwire.items()):
        yield (
            f"Left out as {counted(rows, 'decoy')} of tripwire {number}, by the list of tripwires alone: see "
            f"keydeck tripwire list, or remove them: keydeck tripwire remove {number}"
        )


def _malformed(token: StoredToken) -> KnownAttribution | None:
    """The answer to remember about a token that is no envelope; None for any other."""
    try:
        parse(token.value.reveal())
    except errors.EnvelopeError as error:
        return attribution.answer_of_damage(token, error.message)
    return None


def _count_opened(cipher: TokenCipher, key_arn: str, token: StoredToken) -> attribution.KeyCount:
    """Open a token that seems to be under the key."""
    try:
        opened = cipher.open(token.value.reveal(), key_arn, ref=token.ref)
    except errors.WrongBindingError:
        return attribution.KeyCount((key_arn, None), 1, 0, Evidence.INFERRED)
    except errors.EnvelopeError as error:
        reason = attribution.answer_of_damage(token, error.message).reason
        return attribution.damaged_count(1, f"{reason} Its data key is under {key_arn}.")
    except errors.KeydeckError:
        return attribution.KeyCount((key_arn, None), 1, 0, Evidence.INFERRED)
    opened.token.wipe()
    key = opened.wrapped_by
    return attribution.KeyCount((key.key_arn, key.key_material_id), 1, 1, Evidence.VERIFIED)
