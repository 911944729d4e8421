"""The signs that stand for severities where there is no colour."""

from __future__ import annotations

from crypto_core.findings.severity import Severity

SIGNS: dict[Severity, str] = {
    Severity.CRITICAL: "✖",
    Severity.HIGH: "▲",
    Severity.MEDIUM: "▲",
    Severity.LOW: "·",
    Severity.NONE: "●",
}
