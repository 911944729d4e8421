"""What forensics' services answer on the stage: what tokens can do, and whose a leaked one is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Event
from typing import TYPE_CHECKING, cast

from crypto_core.forensics.abilities.service import AbilityAnswers, AbilityRequest
from crypto_core.forensics.token_search.result import TokenSearchResult, UnopenedToken
from crypto_core.forensics.token_search.search import TokenSearch
from crypto_core.forensics.token_search.target_tokens import WantedToken
from crypto_core.guard.consent import Consent, require
from crypto_core.providers.abilities import Ability, NotKnown, Repositories, TokenAbilities
from crypto_core.providers.answers import ByHand, Liveness, Progress
from crypto_core.reencryption.plan import RunProgress
from crypto_core.values.references import TokenRef
from screens.widgets.line_input import SecretInput
from tests.screens.deck import Deck
from tests.screens.incident_scene import TOKEN
from tests.screens.samples import NOW

if TYPE_CHECKING:
    from tests.screens.stage import Stage

Enter = Callable[..., None]


@dataclass
class StageSearch:
    """A TokenSearch. `rows` hold whatever is looked for; `looked_for` is what was, in clear."""

    enter: Enter
    rows: tuple[TokenRef, ...] = ()
    unopened: tuple[UnopenedToken, ...] = ()
    gaps: tuple[str, ...] = ()
    looked_for: list[str] = field(default_factory=list)
    rows_with = TokenSearch.rows_with

    def find_rows(
        self,
        wanted: Sequence[WantedToken],
        *,
        unread: str = "",
        everywhere: bool = False,
        progress: Callable[[RunProgress], None] | None = None,
        cancelled: Event | None = None,
    ) -> TokenSearchResult:
        self.looked_for += [one.token.reveal() if one.token else one.sha256.hex() for one in wanted]
        if progress is not None:
            progress(RunProgress(12_000, 3_000, 0, 0, 1.0))
        self.enter("search", cancelled)
        rows = {one.number: self.rows for one in wanted}
        columns = ("gh_connection.access_token",)
        return TokenSearchResult(
            rows,
            11_990,
            len(self.unopened),
            self.unopened,
            columns,
            ("slack_connection.bot_token",),
            self.gaps,
        )


def paste(d: Deck, text: str = TOKEN) -> None:
    d.app.screen.query_one(SecretInput).insert_text_at_cursor(text)


async def looked_for(d: Deck, stage: Stage, told: Callable[[Deck], str]) -> Event:
    """Look for a token, which is never shown, until it is told how far the search is; return what ends it."""
    await d.press("enter")
    assert stage.calls.count("search") == 0
    paste(d, f"  {TOKEN}\n")
    assert TOKEN[:8] not in d.text()
    gate = stage.hold("search")
    await d.press("enter")
    for _ in range(100):
        if "3,000 of 12,000" in told(d):
            break
        await d.pilot.pause(0.05)
    assert "3,000 of 12,000" in told(d)
    return gate


def search_of(stage: Stage) -> StageSearch:
    return cast("StageSearch", stage.added["token_search"])


HOST = "api.github.com"


def told(ref: TokenRef, **more: object) -> TokenAbilities:
    """What a provider says of a token, unless something else is named."""
    known = {
        "kind": "personal access token (classic)",
        "scopes": ("repo",),
        "repositories": Repositories(3, 130, writable=5, whole=False),
        "reads_private": True,
        "writes": True,
        "not_known": (NotKnown(Ability.ADMIN, "its repositories are not all known"),),
        "lasts": "never",
    }
    return TokenAbilities(ref, "github", NOW, Liveness.ALIVE, "GitHub takes it", **(known | more))  # type: ignore[arg-type]


@dataclass
class StageAbilities:
    """Asks nobody; what is agreed to is answered by `told`, and kept."""

    stage: Stage
    answers: dict[TokenRef, TokenAbilities] = field(default_factory=dict)
    not_asked: tuple[ByHand, ...] = ()
    more: dict[str, object] = field(default_factory=dict)

    def question(self, refs: Sequence[TokenRef]) -> AbilityRequest:
        self.stage.enter("question")
        return AbilityRequest(tuple(refs), (HOST,), f"digest of {len(refs)}", self.not_asked)

    def ask(
        self,
        request: AbilityRequest,
        consent: Consent | None,
        *,
        progress: Progress | None = None,
        cancelled: Event | None = None,
    ) -> AbilityAnswers:
        require(consent, request)
        if progress is not None:
            progress(0, len(request.tokens))
        self.stage.enter("ask abilities", cancelled)
        self.answers |= {ref: told(ref, **self.more) for ref in request.tokens}
        return AbilityAnswers(tuple(self.answers[ref] for ref in request.tokens), request.not_asked)

    def kept(self, refs: Sequence[TokenRef]) -> Mapping[TokenRef, TokenAbilities]:
        return {ref: self.answers[ref] for ref in refs if ref in self.answers}


@dataclass
class StageFile:
    stage: Stage

    def exists(self) -> bool:
        return bool(self.stage.added["abilities"].answers)


SERVICES = {
    "abilities": StageAbilities,
    "abilities_file": StageFile,
    "token_search": lambda stage: StageSearch(stage.enter),
}
