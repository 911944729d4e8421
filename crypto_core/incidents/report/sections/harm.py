"""Whom the incident was about, what was done with the tokens, and which were accepted as unrecoverable."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Self

from crypto_core.incidents.report.exhibits import Exhibit, GivenUp, NamedSuspect, NamedTheft, UseCounts
from crypto_core.incidents.report.section import ReportSection, Signed, Sources
from crypto_core.reports.cells import ShownSection, at_time, code, facts, table


def _last(told: Iterable[Exhibit]) -> Exhibit | None:
    return max(told, key=lambda one: (one.evidence.captured_at, one.evidence.id), default=None)


@dataclass(frozen=True, slots=True)
class SuspectsSection(ReportSection):
    """The principals that findings and events speak against; None where no evidence says."""

    PLACE: ClassVar = 40
    suspects: tuple[NamedSuspect, ...] | None
    suspects_evidence: int | None

    @classmethod
    def read(cls, sources: Sources) -> Self:
        last = _last(one for one in sources.exhibits if one.suspects is not None)
        return cls(last.suspects, last.evidence.id) if last is not None else cls(None, None)

    def show(self, signed: Signed) -> ShownSection:
        rows = (
            (
                code(one.principal),
                one.why or "",
                one.calls,
                at_time(one.first or "–"),
                at_time(one.last or "–"),
            )
            for one in self.suspects or ()
        )
        empty = "Nobody." if self.suspects is not None else "No evidence says whom the incident was about."
        lead = (
            f"Named by findings and events, as evidence {self.suspects_evidence} has it; calls since the "
            "incident may have begun."
            if self.suspects
            else ""
        )
        return ShownSection(
            "suspects",
            "Suspects",
            lead=lead,
            tables=(table("Suspects", "Principal|Why|Calls|First|Last", rows, empty),),
        )


@dataclass(frozen=True, slots=True)
class UsesSection(ReportSection):
    """Uses of the tokens, and those that look like a thief's; None where no evidence says."""

    PLACE: ClassVar = 90
    token_uses: UseCounts | None
    thefts: tuple[NamedTheft, ...]

    @classmethod
    def read(cls, sources: Sources) -> Self:
        last = _last(one for one in sources.exhibits if one.token_uses is not None)
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


@dataclass(frozen=True, slots=True)
class LossesSection(ReportSection):
    """Tokens that opened for nobody and whose loss was accepted, so that the key could be retired."""

    PLACE: ClassVar = 70
    accepted_losses: tuple[GivenUp, ...]

    @classmethod
    def read(cls, sources: Sources) -> Self:
        return cls(tuple(one for exhibit in sources.exhibits for one in exhibit.given_up))

    def show(self, signed: Signed) -> ShownSection:
        rows = (
            (
                code(one.reference),
                (one.why, f"Accepted by {one.by}: {one.reason}"),
                at_time(one.at),
                one.evidence,
                code(one.sha256),
            )
            for one in self.accepted_losses
        )
        return ShownSection(
            "accepted-losses",
            "Accepted as unrecoverable",
            tables=(
                table(
                    "Tokens accepted as unrecoverable",
                    "Token|Why it opens for nobody|Accepted (UTC)|Evidence|SHA-256 of what is stored",
                    rows,
                    "None.",
                ),
            ),
        )
