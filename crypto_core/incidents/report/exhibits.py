"""The parts of evidence that a report shows: an allow-list of numbers and names, and nothing else.

Every piece is read once, its hash is compared, and its content is dropped again: only what is named here
stays. A piece that can't be read, or is no longer what was captured, is told and not used.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from crypto_core.database.state.incident_records import EvidencePiece
from crypto_core.database.tokens.fresh_proof import SAMPLED
from crypto_core.database.tokens.inventory_row import InventoryRow
from crypto_core.envelope.formats import Format
from crypto_core.incidents.keys.accepted_losses import KIND as ACCEPTED_LOSS
from crypto_core.incidents.keys.accepted_losses import acceptance_of
from crypto_core.incidents.runbooks.catalogue import CaptureKind
from crypto_core.incidents.steps.evidence_text import NOTHING_SHA256
from crypto_core.providers.answers import Liveness
from crypto_core.values.clean_text import clean
from crypto_core.values.counts import counted, first_lines
from crypto_core.values.errors import EvidenceError, InvalidReferenceError, KeydeckError
from crypto_core.values.json_records import JsonRecordError, record_of
from crypto_core.values.moments import moment
from crypto_core.values.references import TokenRef, parse_reference

NO_KEY = "no KMS key, or not known"
_MOST_THEFTS = 200


@dataclass(frozen=True, slots=True)
class CountedKey:
    """Tokens under one KMS key in a census, over all its materials."""

    name: str
    tokens: int
    alias: str = ""
    state: str = ""


@dataclass(frozen=True, slots=True)
class CensusCounts:
    """What is taken from a census."""

    evidence: int
    at: datetime
    by_format: Mapping[str, int]
    keys: Mapping[str, CountedKey]
    database: str = ""
    """The restored database, "" for the platform's own."""
    proof: str = ""
    """The fresh proof that it rests on, in words; "" for one that rests on what is remembered."""
    proved: bool = False
    """True if that proof left nothing out."""

    def under(self, key_arn: str) -> int:
        return self.keys[key_arn].tokens if key_arn in self.keys else 0

    @property
    def unprotected(self) -> int:
        """Return how many tokens are not in an envelope that only KMS opens."""
        return sum(
            self.by_format.get(f.value, 0) for f in Format if not f.protected and f is not Format.EMPTY
        )


@dataclass(frozen=True, slots=True)
class ReportJob:
    """A job that did a part of it. Counts are of tokens."""

    id: int
    verb: str
    state: str
    tokens: int | None
    done: int | None
    given_up: int | None
    evidence: int | None


@dataclass(frozen=True, slots=True)
class NamedSuspect:
    """A suspect of the incident, as findings and events had it. Moments are those of the evidence."""

    principal: str
    why: tuple[str, ...]
    calls: int | None
    first: str
    last: str


@dataclass(frozen=True, slots=True)
class GivenUp:
    """A token that was accepted as unrecoverable. `sha256` is that of the value that was stored."""

    reference: str
    sha256: str
    why: str
    reason: str
    by: str
    at: str
    evidence: int


@dataclass(frozen=True, slots=True)
class UseCounts:
    """What was done with the tokens, by their providers' audit logs, counted token by token."""

    used: int | None
    may_have_been_used: int | None
    old_tokens_used: int | None
    uses_evidence: int


@dataclass(frozen=True, slots=True)
class NamedTheft:
    """A use that looks like a thief's, as the evidence has it; `certainty` is whether it was this token."""

    time: str
    reference: str
    what: str
    certainty: str
    why: str


@dataclass(frozen=True, slots=True)
class Exhibit:
    """One piece, whether it is what was captured, and what is taken from it."""

    evidence: EvidencePiece
    agrees: bool
    trouble: str = ""
    gaps: tuple[str, ...] = ()
    """Why what it covers isn't whole."""
    census: CensusCounts | None = None
    job: ReportJob | None = None
    opening: str = ""
    """What came of opening what took the place of tokens under the incident's key, in words."""
    suspects: tuple[NamedSuspect, ...] | None = None
    """Whom the incident was about then; None for evidence of another kind."""
    given_up: tuple[GivenUp, ...] = ()
    """Tokens that were accepted as unrecoverable."""
    token_uses: UseCounts | None = None
    thefts: tuple[NamedTheft, ...] = ()
    liveness: Mapping[str, str] = field(default_factory=dict)
    """The provider's answer about a token, by reference."""
    tokens: tuple[InventoryRow, ...] = ()
    """The tokens in scope as they were captured, without further columns of their rows."""
    tokens_counted: int | None = None
    """How many there were, as far as it says."""
    by_hand: Mapping[str, str] = field(default_factory=dict)
    """How a token is revoked that no call revokes, by reference."""


def read(piece: EvidencePiece, content_of: Callable[[int], str]) -> Exhibit:
    """Return what is taken from a piece. Raises nothing that has to do with that piece."""
    try:
        text = content_of(piece.id)
    except EvidenceError as error:
        return Exhibit(piece, agrees=False, trouble=str(error))
    except KeydeckError as error:
        return Exhibit(piece, agrees=False, trouble=f"It could not be read: {error}")
    if hashlib.sha256(text.encode()).hexdigest() != piece.sha256:
        return Exhibit(piece, agrees=False, trouble="Its content no longer has the hash that was captured.")
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return Exhibit(piece, agrees=True, trouble="Its content is not JSON; nothing is taken from it.")
    parts = tuple(_parts(content))
    return Exhibit(
        piece,
        agrees=True,
        gaps=tuple(dict.fromkeys(gap for part in parts for gap in _gaps(part))),
        census=_census(piece, parts) if piece.kind == CaptureKind.CENSUS else None,
        job=_job(piece, parts) if piece.kind == CaptureKind.JOB else None,
        opening=_opening(parts[0]) if parts and piece.kind == CaptureKind.VERIFICATION else "",
        suspects=_suspects(parts[0]) if parts and piece.kind == CaptureKind.FINDINGS else None,
        given_up=tuple(_given_up(piece, text)) if piece.kind == ACCEPTED_LOSS else (),
        token_uses=_token_uses(piece, parts[0]) if parts and _of_providers(piece) else None,
        thefts=tuple(_thefts(parts[0])) if parts and _of_providers(piece) else (),
        liveness=_liveness(parts),
        tokens=tuple(_tokens(parts[0])) if parts and piece.kind == CaptureKind.TOKENS else (),
        tokens_counted=_count(parts[0].get("number")) if parts else None,
        by_hand=_by_hand(parts),
    )


def _parts(content: object) -> Iterator[Mapping[str, Any]]:
    if isinstance(content, dict):
        yield content
        for value in content.values():
            if isinstance(value, dict):
                yield value


def _gaps(part: Mapping[str, Any]) -> Iterator[str]:
    if part.get("complete") is False or part.get("whole") is False:
        reasons = _list(part, "reasons") + _list(part, "gaps")
        yield from first_lines([reason for reason in reasons if isinstance(reason, str)], 10)
        if not reasons:
            yield "It is not whole; why was not recorded."
    if isinstance(part.get("not_known"), str):
        yield part["not_known"]
    if left := _count(part.get("not_looked_at")):
        yield f"{counted(left, 'token')} not looked at."


def _census(piece: EvidencePiece, parts: tuple[Mapping[str, Any], ...]) -> CensusCounts | None:
    found = next((part for part in parts if isinstance(part.get("by_format"), dict)), None)
    if found is None:
        return None
    by_format = {f.value: count for f in Format if (count := _count(found["by_format"].get(f.value)))}
    tokens, about = Counter[str](), dict[str, tuple[str, str]]()
    for key in _list(found, "keys"):
        if isinstance(key, dict) and (count := _count(key.get("tokens"))) is not None:
            name = _text(key.get("key_arn") or NO_KEY)
            tokens[name] += count
            about[name] = _text(key.get("alias")), _text(key.get("key_state"))
    keys = {name: CountedKey(name, count, *about[name]) for name, count in tokens.items()}
    proof = parts[0].get("proof")
    words, proved = _proof(proof) if isinstance(proof, dict) else ("", False)
    database = _text(parts[0].get("database"))
    return CensusCounts(piece.id, piece.captured_at, by_format, keys, database, words, proved)


def _proof(told: Mapping[str, Any]) -> tuple[str, bool]:
    groups, asked, gaps = _count(told.get("groups")), _count(told.get("asked")), _list(told, "gaps")
    if groups is None or asked is None:
        return "", False
    proved = told.get("complete") is True and not gaps
    whole = "nothing left out" if proved else counted(len(gaps), "gap")
    swept = told.get("swept")
    if isinstance(swept, Mapping) and swept.get("every_row") is False:
        whole += SAMPLED
    return f"Fresh proof: {counted(groups, 'group')}, {counted(asked, 'question')} to KMS, {whole}.", proved


def _opening(told: Mapping[str, Any]) -> str:
    """What came of opening all tokens under the keys that it is about; "" for any other verification."""
    keys = [clean(key, 200) for key in _list(told, "under")]
    if not keys:
        return ""
    under = f"under {' and '.join(keys)}"
    opened, tried = _count(told.get("opened")), _count(told.get("tried"))
    if told.get("not_known"):
        return f"Not all tokens {under} were opened: {clean(told['not_known'], 1_000)}"
    if opened is None or tried is None:
        return f"No token was {under}."
    return f"KMS opened {opened:,} of {counted(tried, 'token')} {under}."


def _job(piece: EvidencePiece, parts: tuple[Mapping[str, Any], ...]) -> ReportJob | None:
    part = next((part for part in parts if _count(part.get("job")) is not None), None)
    if part is None:
        return None
    return ReportJob(
        id=part["job"],
        verb=_text(part.get("verb")),
        state=_text(part.get("state")),
        tokens=_count(part.get("planned")),
        done=_count(part.get("done")),
        given_up=_count(part.get("poisoned")),
        evidence=piece.id,
    )


def _suspects(told: Mapping[str, Any]) -> tuple[NamedSuspect, ...] | None:
    if not isinstance(told.get("suspects"), list):
        return None
    return tuple(
        NamedSuspect(
            clean(one["principal"], 700),
            tuple(clean(why, 400) for why in _list(one, "why")),
            _count(one.get("calls")),
            _text(one.get("first")),
            _text(one.get("last")),
        )
        for one in told["suspects"]
        if isinstance(one, dict) and isinstance(one.get("principal"), str)
    )


def _of_providers(piece: EvidencePiece) -> bool:
    return piece.kind == CaptureKind.PROVIDER_EVENTS and piece.sha256 != NOTHING_SHA256


def _token_uses(piece: EvidencePiece, told: Mapping[str, Any]) -> UseCounts:
    return UseCounts(
        _count(told.get("used")),
        _count(told.get("may_have_been_used")),
        _count(told.get("old_tokens_used")),
        piece.id,
    )


def _thefts(told: Mapping[str, Any]) -> Iterator[NamedTheft]:
    for one in _list(told, "thefts")[:_MOST_THEFTS]:
        if isinstance(one, dict):
            yield NamedTheft(
                clean(one.get("time"), 40),
                clean(one.get("reference"), 300),
                clean(one.get("what"), 600),
                clean(one.get("certainty"), 20),
                clean(one.get("why"), 600),
            )


def _given_up(piece: EvidencePiece, text: str) -> Iterator[GivenUp]:
    try:
        accepted = acceptance_of(text, piece.id)
    except EvidenceError:
        return
    at = moment(accepted.at)
    for token in accepted.tokens:
        why, reason, by = token.why, accepted.reason, accepted.by
        yield GivenUp(token.reference, token.sha256, why, reason, by, at, piece.id)


def _liveness(parts: tuple[Mapping[str, Any], ...]) -> dict[str, str]:
    known = {state.value for state in Liveness}
    said = {}
    for token in _entries(parts, "tokens", "revoked"):
        state = token.get("liveness", token.get("proved"))
        # A token that was entered is the new one, which had better be alive.
        if isinstance(state, str) and state in known and not token.get("entered"):
            said[token["reference"]] = state
    return said


def _tokens(part: Mapping[str, Any]) -> Iterator[InventoryRow]:
    for row in _list(part, "rows"):
        with suppress(InvalidReferenceError, JsonRecordError, KeyError, TypeError):
            ref = parse_reference(row["reference"])
            if isinstance(ref, TokenRef):
                yield record_of(InventoryRow, row, ref=ref, shown=(), altered=frozenset())


def _by_hand(parts: tuple[Mapping[str, Any], ...]) -> dict[str, str]:
    return {
        token["reference"]: _text(token.get("how", token.get("reason")))
        for token in _entries(parts, "by_hand", "not_asked")
    }


def _entries(parts: tuple[Mapping[str, Any], ...], *names: str) -> Iterator[Mapping[str, Any]]:
    for part in parts:
        for name in names:
            for entry in _list(part, name):
                if isinstance(entry, dict) and isinstance(entry.get("reference"), str):
                    yield entry


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _list(part: Mapping[str, Any], name: str) -> list[Any]:
    value = part.get(name)
    return value if isinstance(value, list) else []


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
