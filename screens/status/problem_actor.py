"""What can be done about the problem or finding under the cursor of Status."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from textual import work

from crypto_core.keys.status import ProblemKind
from screens.actions.action import Action
from screens.facts import Facts
from screens.main_screen import MainScreen
from screens.routes import TokensRoute
from screens.status.problem_rows import ProblemRow

_ON_PROBLEMS: Mapping[str, Callable[[ProblemRow], bool]] = {
    "status.encrypt": lambda row: row.finding.rule == ProblemKind.UNPROTECTED,
    "status.verify": lambda row: (
        isinstance(row.target, TokensRoute) and row.finding.rule != ProblemKind.EMPTY
    ),
    "status.incident": lambda row: True,
}
"""Actions on a problem's line, and the problems that they can be done about."""


class ProblemActor(MainScreen):
    """A screen whose lines are problems and findings, among others."""

    def __init__(self, facts: Facts) -> None:
        super().__init__(facts)
        self.rows: Sequence[ProblemRow] = ()

    @property
    def problem_in_hand(self) -> ProblemRow | None:
        target = self.target_in_hand
        return next((row for row in self.rows if row.target == target), None) if target else None

    def hints_depend_on(self) -> tuple[object, ...]:
        """What can be done about the problem under the cursor depends on its kind."""
        return (self.problem_in_hand,)

    def possible(self, action: Action) -> bool | None:
        possible = super().possible(action)
        if not possible or action.id not in _ON_PROBLEMS:
            return possible
        row = self.problem_in_hand
        return True if row is not None and _ON_PROBLEMS[action.id](row) else None

    @work(exclusive=True, group="write")
    async def do_encrypt(self) -> None:
        from crypto_core.reencryption.plan import Selection, Verb
        from screens.jobs.beginning import begin_job
        from screens.jobs.choose_tokens import Chosen

        row = self.problem_in_hand
        if row is not None and isinstance(row.target, TokensRoute):
            what = f"every token {row.finding.title}"
            chosen = Chosen(Selection(filter=row.target.filter), row.finding.tokens, what)
            await begin_job(self, chosen, Verb.ENCRYPT)

    @work(exclusive=True, group="write")
    async def do_verify(self) -> None:
        from crypto_core.reencryption.plan import Selection
        from screens.connections.run import Run

        row = self.problem_in_hand
        if row is not None and isinstance(row.target, TokensRoute):
            selection = Selection(filter=row.target.filter)
            await self.app.push_screen_wait(Run(self.facts, selection, row.finding.tokens))
            self.facts.ask_status()

    @work(exclusive=True, group="write")
    async def do_incident(self) -> None:
        from screens.incidents.about import About, about_finding, about_tokens
        from screens.incidents.beginning import begin_incident

        row = self.problem_in_hand
        if row is None:
            return
        origin = f"status: {row.finding.title}"
        if not row.of_status:
            about = about_finding(row.finding)
        elif isinstance(row.target, TokensRoute):
            about = about_tokens((), row.target.filter, origin)
        else:
            about = About(origin=origin, key=row.finding.subject)
        await begin_incident(self, about)
