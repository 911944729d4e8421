"""What an incident's evidence has about its tokens: the first stored values, and providers' answers since."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from crypto_core.incidents.model import Incident
from crypto_core.incidents.runbooks.catalogue import CaptureKind
from crypto_core.incidents.tokens.marks import TokenMark
from crypto_core.providers.answers import Liveness
from crypto_core.values.errors import EvidenceError, InvalidReferenceError
from crypto_core.values.references import TokenRef, parse_reference

_LONGEST_ID = 2_000


@dataclass(frozen=True, slots=True)
class Before:
    """The tokens as they were first captured. `whole` is False if some in scope are not among them."""

    marks: tuple[TokenMark, ...]
    whole: bool
    captured_at: str
    gaps: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Answers:
    """Providers' answers by marks: of each token the last conclusive one."""

    by_mark: Mapping[str, Liveness] = field(default_factory=dict)
    entered: frozenset[str] = frozenset()
    """Marks of tokens that an operator entered."""
    at: str = ""
    """When the last answer was given."""

    def of(self, mark: TokenMark) -> Liveness | None:
        """Return the answer about a token, None if its provider was not asked."""
        said = [self.by_mark[m] for m in (mark.stored, mark.token) if m in self.by_mark]
        definite = [one for one in said if one is not Liveness.UNKNOWN]
        return next(iter((*definite, *said)), None)


class Remembered:
    """Reads evidence. Blocks on SQL; raises EvidenceError, DatabaseError."""

    def __init__(self, evidence: Callable[[int, str], Sequence[str]]) -> None:
        self._evidence = evidence

    def before(self, incident: Incident) -> Before | None:
        """Return the first whole capture of the incident's tokens, or the first; None if there is none."""
        first: Before | None = None
        for content in self._contents(incident, CaptureKind.TOKENS):
            if not isinstance(content.get("tokens"), list):
                continue
            found = self.read(content)
            if found.whole:
                return found
            first = first or found
        return first

    def read(self, content: Mapping[str, Any]) -> Before:
        """Return what a capture of tokens tells. Raises EvidenceError for one that can't be read."""
        return Before(
            tuple(_mark_of(row) for row in content["tokens"]),
            bool(content.get("whole")),
            str(content.get("captured_at", "")),
            tuple(map(str, content.get("gaps", ()))),
        )

    def answers(self, incident: Incident, further: Iterable[Mapping[str, Any]] = ()) -> Answers:
        """Return the providers' answers; `further` are contents that are about to become evidence."""
        by_mark: dict[str, Liveness] = {}
        entered: set[str] = set()
        at = ""
        for content in (*self._contents(incident, CaptureKind.LIVENESS), *further):
            for row in content.get("tokens", ()):
                said = Liveness(row["liveness"])
                for mark in filter(None, (row.get("stored"), row.get("token"))):
                    # Nobody's silence takes back what was said.
                    if said is not Liveness.UNKNOWN or mark not in by_mark:
                        by_mark[mark] = said
                if row.get("entered") and row.get("token"):
                    entered.add(row["token"])
                at = max(at, str(row.get("at", "")))
        return Answers(by_mark, frozenset(entered), at)

    def last(self, incident: Incident, kind: CaptureKind) -> Mapping[str, Any] | None:
        """Return the newest piece of a kind that is no summary of another, None if there is none."""
        found = [c for c in self._contents(incident, kind) if not c.get("summary")]
        return found[-1] if found else None

    def _contents(self, incident: Incident, kind: CaptureKind) -> Iterator[Mapping[str, Any]]:
        for text in self._evidence(incident.id, kind.value):
            try:
                content = json.loads(text)
            except ValueError as error:
                raise EvidenceError(f"Evidence {kind} of {incident.name} is no JSON.") from error
            if isinstance(content, dict):
                yield content


def counts(marks: Sequence[TokenMark], answers: Answers) -> dict[str, str]:
    """Return the values that an incident remembers: how many old tokens are dead, alive, and not known."""
    said = [answers.of(mark) for mark in marks]
    dead = said.count(Liveness.DEAD)
    alive = said.count(Liveness.ALIVE)
    return {
        "tokens": str(len(marks)),
        "dead": str(dead),
        "alive": str(alive),
        "unknown_liveness": str(len(marks) - dead - alive),
    }


def mark_json(mark: TokenMark) -> dict[str, Any]:
    """Return a mark as evidence has it; `_mark_of` reads it back."""
    told: dict[str, Any] = {"reference": str(mark.ref), "stored": mark.stored, "token": mark.token or None}
    if mark.reason:
        told["not_opened"] = mark.reason
    if not _reads_back(mark.ref) and len(mark.ref.identity) <= _LONGEST_ID:
        # In ASCII with escapes: what is shown of it can do nothing to a terminal.
        told["row_id"] = json.dumps(mark.ref.row_id)
        told |= {} if mark.ref.member is None else {"member": json.dumps(mark.ref.member)}
    return told


def _mark_of(row: Mapping[str, Any]) -> TokenMark:
    try:
        ref = parse_reference(str(row["reference"]))
        if not isinstance(ref, TokenRef):
            raise EvidenceError("A token of the evidence is named by its row alone.")
        if "row_id" in row:
            member = str(json.loads(row["member"])) if "member" in row else None
            ref = TokenRef(ref.table, ref.column, str(json.loads(row["row_id"])), member)
        return TokenMark(ref, str(row["stored"]), str(row.get("token") or ""), str(row.get("not_opened", "")))
    except (KeyError, ValueError, InvalidReferenceError) as error:
        raise EvidenceError("The evidence of the tokens can't be read.") from error


def _reads_back(ref: TokenRef) -> bool:
    try:
        return parse_reference(str(ref)) == ref
    except InvalidReferenceError:
        return False
