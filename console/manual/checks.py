"""The matrix of public checks, as the page about checks has it."""

from __future__ import annotations

from collections import Counter

from crypto_core.findings.public_checks import PUBLIC_CHECKS, Verdict


def markdown() -> str:
    """Return how many of each verdict there are, then a table for each source."""
    counts = Counter(check.verdict for check in PUBLIC_CHECKS)
    summary = ", ".join(f"{counts[verdict]} {verdict.value}" for verdict in Verdict)
    lines = [f"{len(PUBLIC_CHECKS)} checks: {summary}."]
    source = ""
    for check in PUBLIC_CHECKS:
        if check.source != source:
            source = check.source
            lines += ["", f"## {source}", "", "| check | verdict | rules | why |", "|---|---|---|---|"]
        rules = ", ".join(f"`{rule}`" for rule in check.rules)
        lines.append(f"| {check.name} | {check.verdict.value} | {rules} | {check.why} |")
    return "\n".join(lines)
