"""What the tests of tokens in incidents share: evidence and providers in memory, and the tools."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from threading import Event
from typing import Any

from console.container import Container
from crypto_core.database.tokens.value_opener import ValueOpener
from crypto_core.envelope import Format
from crypto_core.guard.approvals import ApprovalGate
from crypto_core.guard.consent import Consent, require
from crypto_core.guard.held_step import performing
from crypto_core.incidents.model import CheckResult, Incident, IncidentScope, IncidentState
from crypto_core.incidents.runbooks.catalogue import ActionKind, CaptureKind, CheckKind
from crypto_core.incidents.runbooks.runbook import RunbookStep
from crypto_core.incidents.steps.step_contracts import (
    ActionPlan,
    ActionResult,
    Captured,
    Situation,
    Toolbox,
    looked_at,
)
from crypto_core.incidents.suspects import Suspects
from crypto_core.incidents.tokens.restored_tokens import OpenRestored, RestoredTokens, restored_at
from crypto_core.incidents.tokens.toolbox import token_tools
from crypto_core.incidents.tool_services import ToolServices
from crypto_core.providers.answers import (
    ByHand,
    HashedQuery,
    Liveness,
    LivenessRequest,
    Progress,
    RevocationPlan,
    RevocationResult,
    Revoked,
    TokenLiveness,
)
from crypto_core.providers.builtin.github import hashed_query
from crypto_core.providers.messages import NEVER_ASKED, REFRESH_COLUMN
from crypto_core.reencryption.replacing_token.service import TokenEntering
from crypto_core.values.errors import SettingsError
from crypto_core.values.references import TokenRef
from crypto_core.values.secret import Secret
from tests.crypto_core.agreed import agreed

DECLARED = datetime(2026, 11, 25, 3, 0, tzinfo=UTC)


def name_of(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


@dataclass
class Providers:
    """A ProviderService over the stored tokens, which is asked nothing over a network.

    `silent` tokens get no answer, `stubborn` ones stay alive whatever is accepted. `asked` are the tokens
    that left for a provider, `before` is called before one is asked about.
    """

    container: Container
    dead: set[str] = field(default_factory=set)
    silent: set[str] = field(default_factory=set)
    stubborn: set[str] = field(default_factory=set)
    asked: list[TokenRef] = field(default_factory=list)
    revoked: list[TokenRef] = field(default_factory=list)
    before: Callable[[], None] = lambda: None

    def question(self, refs: tuple[TokenRef, ...]) -> LivenessRequest:
        hand = tuple(
            ByHand(r, "confluence", "no site is known") for r in refs if r.table == "confluence_connection"
        )
        asked = tuple(r for r in refs if r.table != "confluence_connection")
        return LivenessRequest(asked, ("api.github.com",), name_of(f"question {asked}"), hand)

    def ask(
        self,
        question: LivenessRequest,
        consent: Consent | None,
        *,
        progress: Progress | None = None,
        cancelled: Event | None = None,
    ) -> tuple[TokenLiveness, ...]:
        require(consent, question)
        return tuple(self._said(ref, self._name(ref)) for ref in question.tokens)

    def ask_of(self, ref: TokenRef, token: Secret, consent_given: bool) -> TokenLiveness:
        assert consent_given
        return self._said(ref, name_of(token.reveal()))

    def never_asked(self, ref: TokenRef, token: Secret) -> str:
        return NEVER_ASKED if ref.column == REFRESH_COLUMN else ""

    def plan_revocation(self, refs: tuple[TokenRef, ...]) -> RevocationPlan:
        hand = tuple(ByHand(r, "jira", "at id.atlassian.com") for r in refs if r.table == "jira_connection")
        tokens = tuple(r for r in refs if r.table != "jira_connection")
        by = {"github": len(tokens)} if tokens else {}
        digest = name_of(f"revoke {[(r, self._name(r)) for r in tokens]}")
        return RevocationPlan(tokens, by, dict.fromkeys(by, 1), hand, (), ("api.github.com",), digest)

    def revoke(
        self,
        plan: RevocationPlan,
        consent: Consent | None,
        *,
        progress: Progress | None = None,
        cancelled: Event | None = None,
    ) -> RevocationResult:
        require(consent, plan)
        done = []
        for ref in plan.tokens:
            self.revoked.append(ref)
            name = self._name(ref)
            if name not in self.stubborn:
                self.dead.add(name)
            proved = Liveness.DEAD if name in self.dead else Liveness.ALIVE
            done.append(Revoked(ref, "github", True, proved, "401" if name in self.dead else "still 200"))
        return RevocationResult(tuple(done), plan.by_hand)

    def hashed_queries(self, refs: tuple[TokenRef, ...]) -> tuple[HashedQuery, ...]:
        of_github = [r for r in refs if r.table == "gh_connection"]
        return tuple(HashedQuery(r, hashed_query(token)) for r in of_github if (token := self._token(r)))

    def _name(self, ref: TokenRef) -> str:
        token = self._token(ref)
        return name_of(token) if token else "unopened"

    def _token(self, ref: TokenRef) -> str:
        opened = ValueOpener(self.container.keyring).open_value(self.container.store.read_token(ref))
        return opened.token.reveal() if opened.token is not None else ""

    def _said(self, ref: TokenRef, name: str) -> TokenLiveness:
        self.before()
        self.asked.append(ref)
        state = Liveness.DEAD if name in self.dead else Liveness.ALIVE
        if name in self.silent:
            state = Liveness.UNKNOWN
        return TokenLiveness(ref, "github", state, f"it said {state.value}", datetime.now(UTC), "octocat")


@dataclass
class Stage:
    """An incident that is worked on: its evidence and values are kept as the engine keeps them."""

    container: Container
    providers: Providers
    parts: ToolServices
    tools: Toolbox
    open_restored: OpenRestored
    kept: list[tuple[str, str]]
    incident: Incident = field(
        default_factory=lambda: Incident(7, "leak", IncidentState.OPEN, IncidentScope(), DECLARED, "ana")
    )

    def about(self, *refs: TokenRef | str, **scope: Any) -> Stage:
        self.incident = replace(self.incident, scope=IncidentScope(references=tuple(map(str, refs)), **scope))
        return self

    def keep_values(self, **values: str) -> None:
        self.incident = replace(self.incident, values={**self.incident.values, **values})

    def another(self, number: int) -> Incident:
        return replace(self.incident, id=number)

    def again(self) -> Stage:
        return replace(self, tools=token_tools(self.parts, self.open_restored))

    def situation(self, options: Mapping[str, Any] | None = None, **inputs: str | Secret) -> Situation:
        step = RunbookStep("step", "Step", "", action_options=dict(options or {}))
        return Situation(self.incident, step, inputs)

    def plan(
        self, kind: ActionKind, options: Mapping[str, Any] | None = None, **inputs: str | Secret
    ) -> ActionPlan:
        with performing(kind.does.operations):
            return self.tools.actions[kind].plan_action(self.situation(options, **inputs))

    def run(
        self, kind: ActionKind, options: Mapping[str, Any] | None = None, **inputs: str | Secret
    ) -> ActionResult:
        situation = self.situation(options, **inputs)
        with performing(kind.does.operations):
            plan = self.tools.actions[kind].plan_action(situation)
            result = self.tools.actions[kind].run_action(situation, plan, agreed(plan))
        return self.keep(result)

    def keep(self, result: ActionResult) -> ActionResult:
        self.keep_values(**result.values)
        self.keep_all(result.evidence)
        return result

    def keep_all(self, pieces: tuple[Captured, ...]) -> None:
        self.kept += [(piece.kind.value, json.dumps(piece.content, allow_nan=False)) for piece in pieces]

    def look(self, kind: CheckKind) -> CheckResult:
        return looked_at(self.tools.checks[kind], self.situation())

    def capture(self, kind: CaptureKind) -> dict[str, Any]:
        pieces = self.tools.captures[kind](self.situation())
        self.keep_all(pieces)
        content: dict[str, Any] = json.loads(self.kept[-1][1])
        return content

    def journaled(self) -> list[tuple[str, str]]:
        entries = self.container.journal.entries()
        return [(e.subject, e.outcome) for e in entries if e.action == "enter token"]

    def everything_kept(self) -> str:
        entries = self.container.journal.entries()
        return "\n".join([*(text for _, text in self.kept), *(f"{e.subject} {e.detail}" for e in entries)])


class Nobody:
    """A search for suspects that finds nobody: these tests are about tokens."""

    def suspects_of(self, _incident: Incident, _cancelled: Event | None = None) -> Suspects:
        return Suspects(gaps=("who is suspected was not examined",))


def build(
    container: Container,
    *,
    write_format: Format = Format.V1,
    read_only: bool = False,
    most: int = 25_000,
    approvals: ApprovalGate | None = None,
) -> Stage:
    """Put the tools together from the services, as the console does."""
    made, providers, kept = (
        container.incident_response.tool_services(),
        Providers(container),
        list[tuple[str, str]](),
    )

    @contextmanager
    def open_restored(name: str) -> Iterator[RestoredTokens]:
        if name != "restored":
            raise SettingsError(f"There is no database {name!r} in the settings.")
        url = container.engine.url.render_as_string(hide_password=False)
        with restored_at(url, container.keyring) as database:
            yield database

    parts = replace(
        made,
        suspects=Nobody(),  # type: ignore[arg-type]
        entering=TokenEntering(
            container.engine,
            made.catalogue,
            made.store,
            made.inventory,
            container.answers,
            made.keyring,
            made.keys,
            made.opener,
            providers,
            container.journal,
            same_database=True,
            read_only=read_only,
            write_format=write_format,
            approvals=approvals,
        ),
        providers=providers,  # type: ignore[arg-type]
        evidence=lambda number, kind: [text for k, text in kept if k == kind],
        most=most,
    )
    return Stage(container, providers, parts, token_tools(parts, open_restored), open_restored, kept)
