"""A finding in words: what it is about, and all that is known of it."""

from __future__ import annotations

from collections.abc import Iterator

from crypto_core.findings.finding import Finding
from crypto_core.findings.standards import in_words


def finding_facts(finding: Finding, events: int | None = None) -> Iterator[tuple[str, str]]:
    """Yield what there is besides the title: name and text. At most so many `events` are named."""
    shown = finding.events[:events]
    more = len(finding.events) - len(shown)
    for name, text in (
        ("about", finding.subject),
        ("evidence", finding.evidence),
        ("remedy", finding.remedy),
        ("seen", _seen(finding)),
        ("ATT&CK", in_words(finding.techniques)),
        ("controls", ", ".join(finding.controls)),
        ("rule", finding.rule),
        ("events", ", ".join(shown) + (f" and {more:,} more" if more else "")),
    ):
        if text:
            yield name, text


def _seen(finding: Finding) -> str:
    first, last = finding.first_at, finding.last_at
    if first is None or last is None:
        return ""
    return f"{first:%Y-%m-%d %H:%M:%S}" + (f" to {last:%Y-%m-%d %H:%M:%S}" if last != first else "") + " UTC"
