"""Accepting as lost what is left under an incident's key and opens for nobody, and what was accepted so.

An acceptance is a piece of the incident's evidence, whose hash the journal has. It names each token with the
SHA-256 of what is stored there. Proofs read all of them and open each token anew; a piece that is not what
the journal says counts for nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from threading import Event
from typing import Any

from crypto_core.database.state.incidents import IncidentStore
from crypto_core.database.tokens.left_tokens import LeftTokens
from crypto_core.database.tokens.lost_tokens import (
    AcceptedLoss,
    AcceptedLosses,
    StoredValue,
    TriedToken,
    named,
)
from crypto_core.guard.approvals import ApprovalGate
from crypto_core.guard.consent import Consent, Danger, Origin
from crypto_core.guard.guarded_change import Ended, GuardedChange, Outcome, Run
from crypto_core.incidents.model import EntryKind, IncidentState, IncidentView
from crypto_core.incidents.runbooks.catalogue import CaptureKind
from crypto_core.incidents.steps.evidence_text import Hiding, kept_text
from crypto_core.incidents.steps.parts import IncidentParts, require_open
from crypto_core.incidents.steps.step_contracts import ActionPlan, ActionResult, Captured, plan_digest
from crypto_core.incidents.steps.step_decisions import required_reason
from crypto_core.values import errors
from crypto_core.values.clean_text import clean, cleans
from crypto_core.values.counts import counted, first_lines, listed
from crypto_core.values.json_records import JsonRecord, made, shape
from crypto_core.values.key_names import same_key
from crypto_core.values.references import TokenRef

OPERATION = "incident accept-lost"
KIND = "accepted-loss"
"""The kind of its evidence: no step of a runbook can name it."""
SHOWN = 200
"""Tokens that a preview names; the journal, the evidence and the report name more."""
_SHA256 = re.compile("[0-9a-f]{64}")

FindLeft = Callable[[str, Event | None], LeftTokens]
"""Returns what is left under a key, by its ARN, as it opens now. Raises RefusedError, DatabaseError."""
FindKept = Callable[[Iterable[TokenRef]], Iterable[TokenRef]]
"""Returns those of some tokens of which Keydeck keeps an earlier envelope. Raises DatabaseError."""


@dataclass(frozen=True, slots=True)
@cleans(reference=400, why=400)
class LostToken(JsonRecord):
    """A token of an acceptance. `sha256` is that of the stored value that was accepted as lost."""

    reference: str
    sha256: str
    why: str


@dataclass(frozen=True, slots=True)
@cleans(key_arn=200, reason=1_000, by=300)
class Acceptance(JsonRecord):
    evidence: int
    key_arn: str
    tokens: tuple[LostToken, ...]
    reason: str
    by: str
    at: datetime

    json_shape = shape(
        "evidence key_arn number tokens reason by at", number=made(int, lambda record: len(record.tokens))
    )

    def __str__(self) -> str:
        refs = [token.reference for token in self.tokens]
        return f"{counted(len(refs), 'token')}: {listed(refs, SHOWN)}"


@dataclass(frozen=True, slots=True)
class _Draft:
    """What a plan would accept: the tokens as they were tried, in which incident, and why."""

    incident: int
    key_arn: str
    tokens: tuple[TriedToken, ...]
    reason: str

    @property
    def digest(self) -> str:
        return plan_digest(
            OPERATION,
            self.incident,
            self.key_arn,
            self.reason,
            *(f"{t.value.ref!r} {t.value.sha256}" for t in self.tokens),
        )


class LossAcceptance:
    """Plans and keeps acceptances. Blocks on KMS and SQL."""

    def __init__(
        self,
        parts: IncidentParts,
        find_left: FindLeft,
        find_kept: FindKept,
        approvals: ApprovalGate | None = None,
    ) -> None:
        self._parts = parts
        self._find_left = find_left
        self._find_kept = find_kept
        self._guard = replace(parts.guard, approvals=approvals)

    def plan(self, number: int, reason: str, *, cancelled: Event | None = None) -> ActionPlan:
        """Return what would be accepted: the tokens that KMS, asked now, opens for nobody.

        Journaled as a dry run, or as refused. Raises RefusedError where there is none, without a reason, or
        for an incident about no key; KmsError, DatabaseError.
        """
        view = self._parts.view(number)
        told = {"incident": view.incident.name, "reason": kept_text(reason, 1_000)}
        return self._guard.plan(
            OPERATION,
            view.incident.name,
            lambda: self._planned(view, reason, cancelled),
            lambda plan: told | {"plan": plan.digest, "number": len(plan.inner.tokens)},
            told,
        )

    def accept(
        self, number: int, plan: ActionPlan, consent: Consent | None, *, cancelled: Event | None = None
    ) -> ActionResult:
        """Accept exactly the planned tokens as lost, once KMS has said the same again; read it back.

        Raises ReadOnlyError, MissingSchemaError, NotConfirmedError unless their number was typed,
        ApprovalNeededError, RefusedError if what is left has changed; all but the first two are journaled.
        """
        self._parts.guard.may_change("accept tokens as lost")
        draft = plan.inner
        view = self._parts.view(number)
        if not isinstance(draft, _Draft) or draft.incident != number:
            raise errors.RefusedError("This plan is not one of the incident.", remedy="Open a new preview.")

        def still() -> None:
            if consent is None or consent.origin is not Origin.TYPED:
                raise errors.NotConfirmedError(
                    f"Tokens are accepted as lost only by typing their number: {plan.confirmation}.",
                    remedy=f"--confirm {plan.confirmation}; --yes is not enough.",
                )
            if self._planned(view, draft.reason, cancelled).digest != plan.digest:
                raise errors.RefusedError(
                    "What is left under the key has changed since the preview. Nothing was accepted.",
                    remedy="Open a new preview.",
                )

        detail = {
            "key": draft.key_arn,
            "number": len(draft.tokens),
            "references": [str(t.value.ref) for t in draft.tokens[:SHOWN]],
            "reason": draft.reason,
        }
        change = GuardedChange(
            action=OPERATION,
            subject=view.incident.name,
            words=f"accept tokens as lost in {view.incident.name}",
            plan=plan,
            summary=plan.title,
            shown=plan.as_json(),
            detail=detail,
            still=still,
        )
        actor = self._parts.actor()

        def act(run: Run) -> int:
            run.begin({"title": plan.title})
            return self._keep(view, draft, run, actor)

        def read_back(run: Run, piece: int) -> Ended[ActionResult]:
            found = acceptance_of(self._parts.store.content(number, piece), piece)
            lines = [f"Accepted as unrecoverable, evidence {piece}: {found}"]
            return Ended(ActionResult(True, tuple(lines)), None)

        result, _ = self._guard.run(change, consent, act, read_back)
        return result

    def accepted(self, number: int) -> tuple[Acceptance, ...]:
        """Return what was accepted in an incident, the oldest first. Raises EvidenceError, DatabaseError."""
        store = self._parts.store
        pieces = (piece.id for piece in store.whole(number).evidence if piece.kind == KIND)
        return tuple(acceptance_of(store.content(number, piece), piece) for piece in sorted(pieces))

    def _planned(self, view: IncidentView, reason: str, cancelled: Event | None) -> ActionPlan:
        incident = view.incident
        if incident.state is IncidentState.CLOSED:
            raise errors.RefusedError(f"{incident.name} is closed; nothing in it changes any more.")
        if not incident.scope.key:
            raise errors.RefusedError(
                f"{incident.name} is not about a KMS key: no token of it can be accepted as lost."
            )
        why = required_reason(reason, f"accept tokens as lost in {incident.name}")
        left = self._find_left(incident.scope.key, cancelled)
        if not left.lost:
            raise errors.RefusedError(
                f"Of no token that is left under {clean(incident.scope.key)} KMS says now that it opens for "
                f"nobody{_beside(left)}.",
                remedy="Re-encrypt what opens; for the rest, restore what keeps KMS from answering.",
            )
        draft = _Draft(incident.id, incident.scope.key, left.lost, why)
        number = counted(len(left.lost), "token")
        return ActionPlan(
            title=f"Accept {number} as unrecoverable in {incident.name}",
            digest=draft.digest,
            danger=Danger.TYPED,
            confirmation=str(len(left.lost)),
            does=(
                "Lets the proof that nothing is left under the key pass with exactly these values:",
                *first_lines([str(token) for token in left.lost], SHOWN),
                f"Reason: {why}",
            ),
            does_not=(
                "Does not change or remove them: their owners still have to connect again.",
                "Does not cover another value in their place, nor any further token.",
            ),
            warnings=(*self._recoverable(left), *_not_covered(left)),
            inner=draft,
        )

    def _recoverable(self, left: LeftTokens) -> Iterator[str]:
        """Why a token may not be lost after all."""
        yield (
            "Whoever may write to the database can damage an envelope. Find out who wrote these before you "
            "give them up."
        )
        try:
            kept = sorted(self._find_kept(token.value.ref for token in left.lost))
        except errors.DatabaseError as error:
            yield f"Whether earlier envelopes of them are kept is not known: {error.message}"
        else:
            if kept:
                first = " ".join(str(ref) for ref in kept[:1])
                yield (
                    f"An earlier envelope of {counted(len(kept), 'token')} is kept ({named(kept)}): "
                    f"try keydeck backups restore {first} first."
                )
        bound = [token.value.ref for token in left.lost if token.bound]
        if bound:
            yield (
                f"Bound to their rows: {named(bound)}. An envelope that was moved from another row does not "
                "open, and does once it is put back."
            )

    def _keep(self, view: IncidentView, draft: _Draft, run: Run, actor: str) -> int:
        """Keep it in one transaction: evidence, timeline, journal. Returns the evidence's number."""
        step = view.current.step.id if view.current is not None else ""
        number = counted(len(draft.tokens), "token")
        with self._parts.store.change(draft.incident, actor) as change:
            require_open(change)
            content = {
                "incident": view.incident.name,
                "key_arn": draft.key_arn,
                "number": len(draft.tokens),
                "reason": draft.reason,
                "by": clean(actor, 300),
                "at": change.now.isoformat(),
                "tokens": [_token_json(token) for token in draft.tokens],
            }
            title = f"{number} accepted as unrecoverable"
            draft_of_it = Hiding({}).evidence(Captured(CaptureKind.TOKENS, title, content))
            kept = change.keep(step, replace(draft_of_it, kind=KIND))
            refs = named(token.value.ref for token in draft.tokens)
            told = kept_text(f"{title}: {refs}. Reason: {draft.reason}", 2_000)
            change.tell(EntryKind.ACCEPTED.value, step, told)
            detail = {"run_ended": True, "evidence": kept.id, "sha256": kept.sha256}
            change.record(OPERATION, "", Outcome.DONE, run.detail | detail)
        return kept.id


def _token_json(token: TriedToken) -> dict[str, Any]:
    ref = token.value.ref
    return {
        "reference": str(ref),
        "place": [ref.table, ref.column, ref.row_id, ref.member],
        "sha256": token.value.sha256,
        "why": token.why,
    }


def _beside(left: LeftTokens) -> str:
    """What there is besides that can't be accepted, as a part of a sentence."""
    parts = []
    if left.opens:
        parts.append(f"{counted(len(left.opens), 'token')} can be opened")
    if left.unclear:
        number, why = counted(len(left.unclear), "token"), left.unclear[0].why.rstrip(".")
        parts.append(f"of {number} nothing is known: {why}")
    return "; ".join(["", *parts])


def _not_covered(left: LeftTokens) -> Iterator[str]:
    if left.opens:
        yield (
            f"Not covered, as it opens: {named(token.value.ref for token in left.opens)}. Re-encrypt it: it "
            "still stands in the way."
        )
    for token in left.unclear[:SHOWN]:
        yield f"Not covered, as KMS gave no clear answer: {token}"


def acceptance_of(text: str, piece: int) -> Acceptance:
    """Return an acceptance from its evidence. Raises EvidenceError for what is none."""
    told = _content(text, piece)
    try:
        at = datetime.fromisoformat(str(told.get("at")))
    except ValueError as error:
        raise errors.EvidenceError(f"Evidence {piece} is no acceptance of losses.") from error
    return Acceptance(
        piece,
        str(told.get("key_arn", "")),
        tuple(LostToken(str(_value(t).ref), _sha256(t), str(t.get("why", ""))) for t in told["tokens"]),
        str(told.get("reason", "")),
        str(told.get("by", "")),
        at,
    )


def read_acceptances(store: IncidentStore) -> AcceptedLosses:
    """Return all losses that were accepted in any incident, from evidence that is what the journal says.

    An incident about another key than its acceptance names has none of it. Raises nothing: what can't be read
    counts for nothing, and is told.
    """
    try:
        pieces = store.pieces(KIND)
    except errors.MissingSchemaError:
        return AcceptedLosses()
    except errors.DatabaseError as error:
        return AcceptedLosses(troubles=(f"What was accepted as lost can't be read: {error.message}",))
    losses: list[AcceptedLoss] = []
    troubles: list[str] = []
    for incident, piece in pieces:
        try:
            told = _content(store.content(incident, piece, earlier=False), piece)
            key = str(told.get("key_arn", ""))
            if same_key(key, str(store.get(incident).scope.get("key") or "")):
                losses += [AcceptedLoss(_value(t), key, f"INC-{incident}") for t in told["tokens"]]
            else:
                troubles.append(f"An acceptance counts for nothing: INC-{incident} is not about its key.")
        except (errors.EvidenceError, errors.DatabaseError) as error:
            troubles.append(f"An acceptance counts for nothing: {error.message}")
    return AcceptedLosses(tuple(losses), tuple(troubles))


def _content(text: str, piece: int) -> Mapping[str, Any]:
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        told = None
    well = isinstance(told, dict) and isinstance(told.get("tokens"), list)
    if not well or not all(isinstance(one, dict) and _is_place(one.get("place")) for one in told["tokens"]):
        raise errors.EvidenceError(f"Evidence {piece} is no acceptance of losses.")
    found: Mapping[str, Any] = told
    return found


def _is_place(place: object) -> bool:
    if not isinstance(place, list) or len(place) != 4:
        return False
    return all(isinstance(part, str) for part in place[:3]) and isinstance(place[3], str | None)


def _value(token: Mapping[str, Any]) -> StoredValue:
    return StoredValue(TokenRef(*token["place"]), _sha256(token))


def _sha256(token: Mapping[str, Any]) -> str:
    told = str(token.get("sha256", ""))
    return told if _SHA256.fullmatch(told) else ""
