"""The tokens that a job can't write, of one kind, each with why."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from textual.content import Content

from crypto_core.reencryption.plan import Unwritten
from crypto_core.values.cancellation import Cancellation
from crypto_core.values.clean_text import shortened
from crypto_core.values.counts import counted
from screens.event_filters import term
from screens.facts import ScreenFacts
from screens.routes import TokensRoute
from screens.use.lines import BLANK, prose
from screens.use.use_screen import UseScreen
from screens.widgets.cells import fit_middle
from screens.widgets.line_list import Line, line

MOST = 1_000


class JobErrorsScreen(UseScreen[tuple[Unwritten, ...]]):
    """By reason; from each token to its connection."""

    NAME = "job-errors"
    EVERY = 5.0
    ASKING = "Asking which tokens can't be written…"

    def __init__(self, facts: ScreenFacts, job: int, kind: str) -> None:
        super().__init__(facts)
        self.job = job
        self.kind = kind

    @property
    def crumb(self) -> tuple[str, str]:
        return "Not written", shortened(self.kind, 60)

    def ask_for(self, cancelled: Cancellation) -> tuple[Unwritten, ...]:
        return self.facts.services.jobs.unwritten(self.job, self.kind, limit=MOST + 1)

    def lines(self, answer: tuple[Unwritten, ...], width: int) -> Iterable[Line]:
        return error_lines(answer, width, self.job)


def error_lines(answer: tuple[Unwritten, ...], width: int, job: int) -> Iterator[Line]:
    """Yield each reason with its tokens, and whether these are all."""
    if not answer:
        yield line(("None any more.", "bold"))
        return
    by_reason: dict[str, list[str]] = {}
    for token in answer[:MOST]:
        by_reason.setdefault(token.reason, []).append(token.reference)
    for reason, references in by_reason.items():
        yield from prose(reason or "No reason was kept.", width, lead="✖ ", lead_style="$error")
        yield line((f"  {counted(len(references), 'token')}", "$muted"))
        for reference in references:
            target = TokensRoute(term("reference", reference))
            content = Content.assemble("  ", (fit_middle(reference, max(width - 2, 8)).rstrip(), "$accent"))
            yield Line(content, target, "Enter: its connection.")
        yield BLANK
    if len(answer) > MOST:
        words = f"These are the first {MOST:,}. All: keydeck jobs show {job} --errors --limit N"
        yield from prose(words, width, style="$muted")
