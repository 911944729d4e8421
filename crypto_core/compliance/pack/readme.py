"""How a pack is verified, in a text for whoever opens its folder."""

from __future__ import annotations

from crypto_core.compliance.pack.context import PackContext
from crypto_core.compliance.pack.sections.limits import VERIFY
from crypto_core.compliance.pack.words import period_words
from crypto_core.compliance.period.period import AuditPeriod

README = "README.txt"


def readme(period: AuditPeriod, context: PackContext) -> bytes:
    """Return the text."""
    lines = (
        f"Evidence from {period_words(period)}, made by Keydeck {context.version}.",
        "",
        "Begin with report.html, which needs no network; report.json and the CSV files are for programs.",
        "manifest.json names every file with its SHA-256; signature.json is the signature over it.",
        "",
        *(f"{name}: {text}" for name, text in VERIFY),
        "",
        "The public key in manifest.json proves only that all of this fits together.",
    )
    return "\n".join((*lines, "")).encode()
