"""What tokens can do, and their order, in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from threading import Event
from typing import TYPE_CHECKING

from crypto_core.forensics.abilities.service import AbilityAnswers, AbilityRequest
from crypto_core.guard.consent import Consent, require
from crypto_core.providers.abilities import Ability, NotKnown, Repositories, TokenAbilities
from crypto_core.providers.answers import ByHand, Liveness, Progress
from crypto_core.references import TokenRef
from tests.screens.samples import NOW

if TYPE_CHECKING:
    from tests.screens.stage import Stage

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


SERVICES = {"abilities": StageAbilities, "abilities_file": StageFile}
