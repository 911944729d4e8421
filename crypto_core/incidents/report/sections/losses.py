"""Which tokens were accepted as unrecoverable, by whom and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from crypto_core.incidents.report.exhibits import GivenUp
from crypto_core.incidents.report.section import ReportSection, Signed, Sources
from crypto_core.reports.cells import ShownSection, at_time, code, table


@dataclass(frozen=True, slots=True)
class LossesSection(ReportSection):
    """Tokens that opened for nobody and whose loss was accepted, so that the key could be retired."""

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
