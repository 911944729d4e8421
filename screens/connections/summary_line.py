"""How the listed tokens are stored, in one line."""

from __future__ import annotations

from collections.abc import Mapping

from textual.content import Content
from textual.widgets import Static

from crypto_core.envelope import Format
from crypto_core.findings.severity import FORMAT_SEVERITY, Severity
from screens.signs import SIGNS
from screens.widgets.cells import percent


class SummaryLine(Static):
    """The counts of all rows that the filter lets through, those that are not loaded too."""

    DEFAULT_CSS = """
    SummaryLine { height: 1; padding: 0 1; text-wrap: nowrap; text-overflow: ellipsis; }
    """

    _told: Mapping[Format, int] | None = None

    def tell(self, by_format: Mapping[Format, int] | None) -> None:
        """Show the counts; None while those of another filter are not there yet."""
        if by_format != self._told:
            self._told = by_format
            waiting = Content.assemble(("counting by format…", "$muted"))
            self.update(waiting if by_format is None else summary(by_format), layout=False)


def summary(by_format: Mapping[Format, int]) -> Content:
    """Return the counts in words: what is wrong first, then the envelopes."""
    tokens = sum(by_format.values())
    protected = sum(count for format_, count in by_format.items() if format_.protected)
    parts: list[str | tuple[str, str]] = [
        (percent(protected, tokens), "bold"),
        " protected ",
    ]
    for format_ in sorted(by_format, key=lambda one: (FORMAT_SEVERITY[one].rank, -by_format[one])):
        if count := by_format[format_]:
            severity = FORMAT_SEVERITY[format_]
            sign = SIGNS[severity]
            lead = f"{sign.text} " if severity is not Severity.NONE else ""
            style = sign.style if lead else "$muted"
            parts.append((f"  {lead}{count:,} {format_.value}", style))
    return Content.assemble(*parts)
