"""Which key and material sealed which tokens, with a handful of questions to KMS.

Envelopes with the same 37-byte EDK prefix are one group, whatever their version: KMS is asked about ONE
member, the answer is remembered, the rest of the group is inferred. Whoever may write the table of answers
could have made one up, so each is compared once a process with what KMS says of a member then. An envelope
without a KMS header is a group of its own. Where KMS's answers about one group disagree, the group is shown
as a conflict. The prefix is a hint; KMS decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import KW_ONLY, dataclass, field, replace
from datetime import datetime
from itertools import islice
from threading import Event

from crypto_core.aws.receipts.call_subject import CallSubject
from crypto_core.database.tokens.attribution_cache import (
    About,
    AttributionCache,
    KnownAttribution,
    Wrapping,
    once_a_key,
)
from crypto_core.database.tokens.census import Census, GroupCount
from crypto_core.database.tokens.store import StoredToken, TokenScope, TokenStore, digest
from crypto_core.database.tokens.token_patterns import holds_whole_envelope
from crypto_core.envelope import ENVELOPE_FORMATS, parse
from crypto_core.keyring.data_keys import KeyAnswer
from crypto_core.keyring.kms_keyring import KmsKeyring
from crypto_core.lists.coverage import Evidence
from crypto_core.values import errors
from crypto_core.values.cancellation import stop_if
from crypto_core.values.clean_text import clean
from crypto_core.values.counts import counted
from crypto_core.values.errors import CredentialsError, KmsAccessDeniedError, KmsError, KmsUnreachableError
from crypto_core.values.json_records import JsonRecord, shape


@dataclass(frozen=True, slots=True)
class KeyCount(JsonRecord):
    """Tokens under one key material. `wrapping` is None if unknown; `note` says why."""

    wrapping: Wrapping | None
    tokens: int
    asked: int
    evidence: Evidence
    note: str = ""
    asked_at: datetime | None = field(default=None, compare=False)

    json_shape = shape(
        "key_arn key_material_id tokens asked evidence note",
        key_arn=lambda count: count.wrapping and count.wrapping[0],
        key_material_id=lambda count: count.wrapping and count.wrapping[1],
        note=lambda count: clean(count.note, 1_000),
    )


OVERTAKEN = "changed while it was counted"


@dataclass(frozen=True, slots=True)
class Found:
    """What asking about some tokens came to. `failure` is as for Attribution.

    `told` are the answers about tokens that were asked about each for itself, by digest; None for one that
    is no intact envelope. `overtaken` is true if some were gone before they could be asked about.
    """

    asked: int
    counts: list[KeyCount]
    gap: str = ""
    failure: KmsError | None = None
    told: Mapping[bytes, Wrapping | None] = field(default_factory=dict)
    overtaken: bool = False


def inferred_count(
    wrappings: frozenset[Wrapping], tokens: int, asked: int, asked_at: datetime | None = None
) -> KeyCount:
    """Count a group by the answers about some of its members; where they disagree it is a conflict."""
    if len(wrappings) > 1:
        named = " and ".join(f"{arn} material {m or 'unknown'}" for arn, m in sorted(wrappings, key=str))
        return KeyCount(None, tokens, asked, Evidence.CONFLICT, f"KMS named {named} for one group")
    evidence = Evidence.VERIFIED if asked == tokens else Evidence.INFERRED
    return KeyCount(next(iter(wrappings)), tokens, asked, evidence, asked_at=asked_at)


def failed_count(failure: KmsError, tokens: int) -> KeyCount:
    if failure.key:
        return KeyCount((failure.key, None), tokens, 0, Evidence.INFERRED, failure.message)
    return unknown_count(tokens, failure.message)


def gap_of(failure: KmsError, tokens: int) -> str:
    """What a failure leaves unknown: nothing where the key's state says it all."""
    if not failure.key:
        return f"{counted(tokens, 'token')}: which key sealed them is not known. {failure}"
    if isinstance(failure, KmsAccessDeniedError):
        return f"{counted(tokens, 'token')} under {failure.key}: the key material is not known. {failure}"
    return ""


def lasting_silence(failure: KmsError | None) -> KmsError | None:
    """The failure, if every further question would meet it too."""
    return failure if isinstance(failure, KmsUnreachableError | CredentialsError) else None


def unknown_count(tokens: int, reason: str, *, asked: int = 0) -> KeyCount:
    return KeyCount(None, tokens, asked, Evidence.UNKNOWN, reason)


HOLDING = "It has a whole envelope among other text, whose key is not known."
"""Behind the reason why a value is no envelope: another key may be needed once it is put right."""


def damaged_count(tokens: int, reason: str) -> KeyCount:
    """Tokens that open under no key, however often it is asked; if they hold others, nothing is known."""
    return unknown_count(tokens, reason, asked=0 if HOLDING in reason else tokens)


def over_limit_gap(tokens: int, limit: int) -> str:
    return (
        f"{counted(tokens, 'token')}: KMS was not asked which key (at most {limit:,} questions a census). "
        "Ask about every token with: keydeck verify --all."
    )


def overtaken_gap(tokens: int, where: str = "") -> str:
    """Say that tokens were replaced or deleted after they were counted."""
    return f"{counted(tokens, 'token')}{where and f' in {where}'} changed while they were counted."


_DOUBT = (Evidence.VERIFIED, Evidence.INFERRED, Evidence.UNKNOWN, Evidence.CONFLICT)


def merged_counts(counts: Iterable[KeyCount], asked_at: datetime) -> tuple[KeyCount, ...]:
    """One entry a key material; doubt about a part of it is doubt about all of it.

    `asked_at` is when KMS was asked about those that don't say so.
    """
    merged: dict[tuple[Wrapping | None, str], KeyCount] = {}
    for one in counts:
        if not one.tokens:
            continue
        count = replace(one, asked_at=asked_at) if one.asked and one.asked_at is None else one
        # Unknown ones differ by their reason, conflicts by the keys between which they are.
        key = (count.wrapping, "" if count.wrapping else f"{count.evidence}{count.note}")
        other = merged.get(key)
        if other is None:
            merged[key] = count
        else:
            merged[key] = replace(
                other,
                tokens=other.tokens + count.tokens,
                asked=other.asked + count.asked,
                evidence=max(other.evidence, count.evidence, key=_DOUBT.index),
                note=other.note or count.note,
                asked_at=min((at for at in (other.asked_at, count.asked_at) if at), default=None),
            )
    return tuple(sorted(merged.values(), key=lambda c: (-c.tokens, str(c.wrapping), c.note)))


MEMBERS_TRIED = 5
"""Members of a group that are asked about before its key counts as unknown."""
PAGE = 50


@dataclass(frozen=True, slots=True)
class Attribution:
    """Every envelope accounted for; `gaps` says what could not be asked.

    `failure` is why some could not be told that another time may be: KMS was throttled or failed, or did not
    take the credentials.
    """

    counts: tuple[KeyCount, ...]
    gaps: tuple[str, ...]
    failure: errors.KmsError | None = None


@dataclass(frozen=True, slots=True)
class Probe:
    token: StoredToken
    answer: KnownAttribution | None
    failure: errors.KmsError | None = None


@dataclass(eq=False, repr=False)
class Attributor:
    """Asks KMS about envelopes, within a limit of questions a census."""

    store: TokenStore
    keyring: KmsKeyring
    answers: AttributionCache
    _: KW_ONLY
    limit: int = 5_000
    workers: int = 8
    met: frozenset[str] = field(default=frozenset(), init=False)
    """ARNs of the keys that the last census met."""
    refused: dict[bytes, str] = field(default_factory=dict, init=False)
    """The key that KMS named when it refused a group, by EDK prefix."""

    def attribute_census(self, census: Census, *, cancelled: Event | None = None) -> Attribution:
        """Return the tokens of a census by key material, asking KMS where no answer is known.

        Trouble with KMS is part of the result. Raises DatabaseError, InterruptedRunError.
        """
        counts: list[KeyCount] = []
        now, gaps = self._confirm(census)
        unasked: dict[bytes | None, list[GroupCount]] = {}
        for group in census.groups:
            if not group.format.protected:
                continue
            if group.holding:
                counts.append(unknown_count(group.tokens, HOLDING))
            elif group.asked:
                if group.wrapping is None:
                    counts.append(damaged_count(group.tokens, _damaged(group, census)))
                    continue
                about = group.edk_prefix, group.wrapping
                asked_at = census.asked.get(about, (None,))[0]
                named = once_a_key({group.wrapping, now.get(about, group.wrapping)})
                if named:
                    counts.append(inferred_count(named, group.tokens, group.tokens, asked_at))
                else:
                    counts.append(unknown_count(group.tokens, "The answer that is kept names no key."))
            else:
                unasked.setdefault(group.edk_prefix, []).append(group)
        budget, silent, failure = self.limit, None, None
        for prefix, groups in unasked.items():
            stop_if(cancelled)
            tokens = sum(g.tokens for g in groups)
            known = census.known.get(prefix) if prefix is not None else None
            if known and prefix is not None:
                known = once_a_key({*known, *(now[prefix, w] for w in known if (prefix, w) in now)})
                times = [t[1] for w in known if (t := census.asked.get((prefix, w)))]
                counts.append(inferred_count(known, tokens, 0, max(times, default=None)))
                continue
            if silent is not None:
                found = Found(0, [unknown_count(tokens, silent.message)], gap_of(silent, tokens))
            elif prefix is None:
                each = TokenScope(frozenset(ENVELOPE_FORMATS), edk_prefixes=(None,), unasked=True)
                found = self.ask_each(self.store.pages(each, size=PAGE), tokens, budget, cancelled)
            else:
                found = self._group(prefix, groups, tokens, budget)
            budget -= found.asked
            counts += found.counts
            gaps += [found.gap] if found.gap else []
            silent = silent or lasting_silence(found.failure)
            failure = failure or found.failure
        self.met = frozenset(count.wrapping[0] for count in counts if count.wrapping)
        return Attribution(merged_counts(counts, census.taken_at), tuple(dict.fromkeys(gaps)), failure)

    def _confirm(self, census: Census) -> tuple[Mapping[About, Wrapping], list[str]]:
        """Ask KMS about one token of each group whose answer this process remembers from others' rows alone.

        Returns what KMS says now, by group and remembered wrapping, and a gap for each that it did not name.
        """
        samples: dict[About, GroupCount] = {}
        for group in census.groups:
            if not group.format.protected or group.holding:
                continue
            known = census.known.get(group.edk_prefix or b"", frozenset())
            for wrapping in (group.wrapping,) if group.asked else known:
                if wrapping is not None and (group.edk_prefix, wrapping) not in self.answers.heard:
                    samples.setdefault((group.edk_prefix, wrapping), group)
        read = {token.ref: token for token in self.store.read_many({g.sample for g in samples.values()})}
        probes = {probe.token.ref: probe for probe in self.ask_kms(list(read.values()))}
        now: dict[About, Wrapping] = {}
        gaps: list[str] = []
        for about, group in samples.items():
            probe = probes.get(group.sample)
            if probe is not None and probe.answer is not None and probe.answer.wrapping is not None:
                now[about] = probe.answer.wrapping
            elif probe is not None and probe.failure is not None:
                gaps += [gap] if (gap := gap_of(probe.failure, group.tokens)) else []
        return now, gaps

    def damage(self, token: StoredToken) -> str:
        """Return why this very token is known not to open, "" if that is not known. Raises DatabaseError."""
        answer = self.answers.of(token.digest)
        return answer.reason if answer is not None and answer.key_arn is None else ""

    def ask_kms(self, tokens: Sequence[StoredToken], *, keep_damage: bool = False) -> list[Probe]:
        """Ask KMS about envelopes, several at once, and remember what it says.

        KMS may open the data key of an envelope that is known not to open under it: with `keep_damage` that
        stays known of it.
        """
        with ThreadPoolExecutor(max_workers=self.workers) as pool:
            probes = list(pool.map(self._probe, tokens))
        kept = self._damaged(tokens) if keep_damage else frozenset()
        self.answers.remember(p.answer for p in probes if p.answer and p.token.digest not in kept)
        return probes

    def _damaged(self, tokens: Sequence[StoredToken]) -> frozenset[bytes]:
        known = self.answers.of_each(token.digest for token in tokens)
        return frozenset(d for d, answer in known.items() if answer.key_arn is None and answer.reason)

    def _probe(self, token: StoredToken) -> Probe:
        try:
            envelope = parse(token.value.reveal())
            # Which key wrapped it is to be known of every envelope, also of one that another database reads.
            context = envelope.opening_context(token.ref, envelope.named_database)
        except errors.EnvelopeError as error:
            return Probe(token, answer_of_damage(token, error.message))
        except errors.InvalidReferenceError as error:
            # It was moved here and opens in its own row: as KMS says of one whose row could be named.
            remedy = "Put it back into its own row, or delete it."
            return Probe(token, None, errors.InvalidCiphertextError(error.message, remedy=remedy))
        try:
            with CallSubject(token.ref):
                answer = self.keyring.attribute(
                    envelope.encrypted_data_key, named=envelope.named_key, context=context
                )
        except errors.KmsError as error:
            return Probe(token, None, error)
        return Probe(token, answer_about(token.value.reveal(), answer))

    def _group(self, prefix: bytes, groups: Sequence[GroupCount], tokens: int, budget: int) -> Found:
        if budget < 1:
            return Found(0, [unknown_count(tokens, "not asked")], over_limit_gap(tokens, self.limit))
        counts: list[KeyCount] = []
        damaged: errors.KmsError | None = None
        asked = 0
        for asked, member in enumerate(islice(self._members(prefix, groups), MEMBERS_TRIED), start=1):
            probe = self.ask_kms([member])[0]
            if isinstance(probe.failure, errors.InvalidCiphertextError):
                damaged = probe.failure
            elif probe.failure is not None:
                counts.append(failed_count(probe.failure, tokens))
                if probe.failure.key:
                    self.refused[prefix] = probe.failure.key
                passing = probe.failure if probe.failure.may_pass else None
                return Found(asked, counts, gap_of(probe.failure, tokens), passing)
            elif probe.answer is not None and probe.answer.wrapping is None:
                counts.append(damaged_count(1, probe.answer.reason))
                tokens -= 1
            elif probe.answer is not None and probe.answer.wrapping is not None:
                return Found(asked, [*counts, inferred_count(frozenset({probe.answer.wrapping}), tokens, 1)])
        reason = damaged.message if damaged else "no intact envelope among those asked"
        gap = gap_of(damaged, tokens) if damaged else ""
        return Found(asked, [*counts, *([unknown_count(tokens, reason)] if tokens > 0 else [])], gap)

    def _members(self, prefix: bytes, groups: Sequence[GroupCount]) -> Iterator[StoredToken]:
        """The census's samples of a group, read by their ids; others only if these are damaged."""
        samples = self.store.read_many(group.sample for group in groups)
        yield from samples
        scope = TokenScope(frozenset(ENVELOPE_FORMATS), edk_prefixes=(prefix,), unasked=True)
        for page in self.store.pages(scope, size=MEMBERS_TRIED):
            yield from (token for token in page if token not in samples)

    def ask_each(
        self, pages: Iterable[list[StoredToken]], tokens: int, budget: int, cancelled: Event | None
    ) -> Found:
        """Attribute so many envelopes, each for itself, within a number of questions."""
        counts: list[KeyCount] = []
        told: dict[bytes, Wrapping | None] = {}
        asked, failures = 0, dict[str, int]()
        stopped: errors.KmsError | None = None
        for page in pages:
            stop_if(cancelled)
            if asked >= budget or stopped is not None:
                break
            for probe in self.ask_kms(page[: budget - asked]):
                asked += 1
                if probe.failure is not None:
                    counts.append(failed_count(probe.failure, 1))
                    if gap_of(probe.failure, 1):
                        failures[str(probe.failure)] = failures.get(str(probe.failure), 0) + 1
                    if probe.failure.may_pass:
                        stopped = probe.failure
                elif probe.answer is not None:
                    wrapping, reason = probe.answer.wrapping, probe.answer.reason
                    verified = KeyCount(wrapping, 1, 1, Evidence.VERIFIED, reason)
                    counts.append(verified if wrapping else damaged_count(1, reason))
                    told[probe.token.digest] = wrapping
        left = tokens - asked
        if left > 0 and stopped is not None:
            counts.append(unknown_count(left, stopped.message))
            failures[str(stopped)] += left
        elif left > 0 and asked < budget:
            counts.append(unknown_count(left, OVERTAKEN))
            return Found(asked, counts, overtaken_gap(left), told=told, overtaken=True)
        elif left > 0:
            counts.append(unknown_count(left, "not asked"))
            return Found(asked, counts, over_limit_gap(left, self.limit), told=told)
        gap = "; ".join(
            f"{counted(number, 'token')}: {reason}" for reason, number in list(failures.items())[:3]
        )
        return Found(asked, counts, gap, stopped, told)


def answer_about(stored: str, key: KeyAnswer) -> KnownAttribution:
    return KnownAttribution(digest(stored), parse(stored).edk_prefix, key.key_arn, key.key_material_id)


def answer_of_damage(token: StoredToken, reason: str) -> KnownAttribution:
    """What to remember of a token that does not open, whatever KMS says."""
    holds = holds_whole_envelope(token.value.reveal())
    return KnownAttribution(token.digest, None, None, None, f"{reason} {HOLDING}" if holds else reason)


def _damaged(group: GroupCount, census: Census) -> str:
    """Why an envelope does not open, and which key its data key is under, by its group."""
    known = census.known.get(group.edk_prefix, frozenset()) if group.edk_prefix is not None else frozenset()
    keys = sorted({arn for arn, _ in known})
    return f"{group.reason} Its data key is under {' or '.join(keys)}." if keys else group.reason
