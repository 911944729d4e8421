"""The tokens' outcomes, by their providers' answers, and the jobs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from crypto_core.database.tokens.inventory_row import TOKEN
from crypto_core.incidents.model import IncidentView
from crypto_core.incidents.report.exhibits import Exhibit, ReportJob
from crypto_core.incidents.report.section import ReportSection, Signed, Sources
from crypto_core.incidents.report.sections.actions import job_numbers
from crypto_core.incidents.runbooks.catalogue import CheckKind
from crypto_core.lists.sheet import PaperReader
from crypto_core.providers.answers import Liveness
from crypto_core.reports.cells import ShownSection, facts, quiet, table
from crypto_core.values.moments import moment

_COLUMNS = ("reference", "org", "provider", "state", "format", "key", "evidence")
_READER = PaperReader(moment, moment, lambda key_arn, _: key_arn.rsplit(":", 1)[-1], str)


@dataclass(frozen=True, slots=True)
class TokensPart:
    """Tokens by their providers' last answers; None if none was asked or answered."""

    dead: int | None
    alive: int | None
    not_known: int | None
    by_hand: int
    replaced: int | None


@dataclass(frozen=True, slots=True)
class ScopeTable:
    """The tokens in scope as they were first captured: a row of words each, below its headers.

    `evidence` is the piece that has them, None without one; `number` is how many it counts.
    """

    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    evidence: int | None
    number: int | None

    @property
    def caption(self) -> str:
        shown = (
            f", {len(self.rows):,} of {self.number:,}" if self.number not in (None, len(self.rows)) else ""
        )
        return f"Tokens in scope, as evidence {self.evidence} has them{shown}"


@dataclass(frozen=True, slots=True)
class TokensSection(ReportSection):
    PLACE: ClassVar = 80
    WIDTHS: ClassVar = "#tokens td { min-width: 4.8rem; }\n"
    tokens: TokensPart
    jobs: tuple[ReportJob, ...]
    tokens_in_scope: ScopeTable

    @classmethod
    def read(cls, sources: Sources) -> Self:
        view, (said, by_hand) = sources.view, said_of(sources.exhibits)
        states = list(said.values())

        def told(value: str, state: Liveness) -> int | None:
            # What the steps have counted tells old tokens from new ones; a reference alone doesn't.
            kept = view.incident.values.get(value, "")
            if kept.isascii() and kept.isdigit():
                return int(kept)
            return states.count(state.value) if said else None

        dead = told("dead", Liveness.DEAD)
        tokens = TokensPart(
            dead=dead if dead is not None else _counted_by(view, CheckKind.TOKENS_DEAD),
            alive=told("alive", Liveness.ALIVE),
            not_known=told("unknown_liveness", Liveness.UNKNOWN),
            by_hand=len(by_hand),
            replaced=_counted_by(view, CheckKind.TOKENS_REPLACED),
        )
        jobs = {
            number: ReportJob(number, "", "", None, None, None, None) for number in job_numbers(sources)
        } | {exhibit.job.id: exhibit.job for exhibit in sources.exhibits if exhibit.job is not None}
        captured = next((exhibit for exhibit in sources.exhibits if exhibit.tokens), None)
        rows = [tuple(TOKEN.facts(row, _READER, *_COLUMNS)) for row in (captured.tokens if captured else ())]
        in_scope = ScopeTable(
            tuple(name for name, _ in rows[0]) if rows else (),
            tuple(tuple(text for _, text in row) for row in rows),
            captured.evidence.id if captured else None,
            captured.tokens_counted if captured else None,
        )
        return cls(tokens, tuple(jobs[number] for number in sorted(jobs)), in_scope)

    def show(self, signed: Signed) -> ShownSection:
        tokens, scope = self.tokens, self.tokens_in_scope
        counts = (
            ("Dead at their providers", tokens.dead),
            ("Still alive", tokens.alive),
            ("Not known to be dead or alive", tokens.not_known),
            ("To be revoked by hand", tokens.by_hand),
            ("Replaced by new ones", tokens.replaced),
        )
        rows = (
            (
                job.id,
                job.verb or quiet("not recorded"),
                job.state or quiet("not recorded"),
                job.tokens,
                job.done,
                job.given_up,
                f"evidence {job.evidence}" if job.evidence is not None else "none",
            )
            for job in self.jobs
        )
        return ShownSection(
            "tokens",
            "Tokens and jobs",
            facts=facts(*((name, f"{n:,}" if n is not None else quiet("not counted")) for name, n in counts)),
            tables=(
                *([table(scope.caption, "|".join(scope.headers), scope.rows)] if scope.rows else ()),
                table("Jobs", "Job|What|State|Tokens|Done|Given up|Told by", rows, "No job was started."),
            ),
        )


def said_of(exhibits: Sequence[Exhibit]) -> tuple[dict[str, str], dict[str, str]]:
    """Return each token's last answer from its provider, and the tokens to revoke by hand."""
    said: dict[str, str] = {}
    by_hand: dict[str, str] = {}
    for exhibit in sorted(exhibits, key=lambda one: (one.evidence.captured_at, one.evidence.id)):
        # Nobody's silence takes back what was said.
        said |= {
            ref: state
            for ref, state in exhibit.liveness.items()
            if state != Liveness.UNKNOWN.value or ref not in said
        }
        by_hand.update(exhibit.by_hand)
    return said, {ref: how for ref, how in by_hand.items() if said.get(ref) != Liveness.DEAD.value}


def _counted_by(view: IncidentView, check: CheckKind) -> int | None:
    results = [step.check for step in view.steps if step.step.check is check and step.check is not None]
    return results[-1].done if results and results[-1].total else None
