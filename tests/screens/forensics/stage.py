"""A search for leaked tokens on the stage: what it finds is what a test says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from threading import Event
from typing import TYPE_CHECKING, cast

from crypto_core.forensics.token_search.result import TokenSearchResult, UnopenedToken
from crypto_core.forensics.token_search.search import TokenSearch
from crypto_core.forensics.token_search.wanted import WantedToken
from crypto_core.reencryption.plan import RunProgress
from crypto_core.references import TokenRef

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


def search_of(stage: Stage) -> StageSearch:
    return cast("StageSearch", stage.added["token_search"])


SERVICES = {"token_search": lambda stage: StageSearch(stage.enter)}
