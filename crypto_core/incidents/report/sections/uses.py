"""What was done with the tokens at their providers, as the last evidence of their audit logs has it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from crypto_core.incidents.report.exhibits import NamedTheft, UseCounts
from crypto_core.incidents.report.section import ReportSection, Signed, Sources
from crypto_core.reports.cells import ShownSection, at_time, code, facts, table


@dataclass(frozen=True, slots=True)
class UsesSection(ReportSection):
    """Uses of the tokens, and those that look like a thief's; None where no evidence says."""

    token_uses: UseCounts | None
    thefts: tuple[NamedTheft, ...]

    @classmethod
    def read(cls, sources: Sources) -> Self:
        told = [one for one in sources.exhibits if one.token_uses is not None]
        last = max(told, key=lambda one: (one.evidence.captured_at, one.evidence.id), default=None)
        return cls(last.token_uses, last.thefts) if last is not None else cls(None, ())

    def show(self, signed: Signed) -> ShownSection:
        uses = self.token_uses
        rows = (
            (at_time(one.time), code(one.reference), one.what, one.certainty, one.why) for one in self.thefts
        )
        empty = (
            "None, as far as the logs reach." if uses is not None else "No evidence has the providers' logs."
        )
        counts = (
            ()
            if uses is None
            else (
                ("Uses of which a record names the token", _counted(uses.used)),
                ("Uses that may be theirs", _counted(uses.may_have_been_used)),
                ("Uses of tokens that had been replaced", _counted(uses.old_tokens_used)),
                ("Told by", f"evidence {uses.uses_evidence}"),
            )
        )
        return ShownSection(
            "uses",
            "What was done with the tokens",
            lead="By the providers' audit logs. That a use looks like a thief's is inferred." if uses else "",
            facts=facts(*counts),
            tables=(table("Looks like a thief's", "When|Token|What|Is a|Why", rows, empty),),
        )


def _counted(number: int | None) -> str:
    return "not counted" if number is None else f"{number:,}"
