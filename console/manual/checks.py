"""The matrix of public checks, as `keydeck help checks` prints it."""

from __future__ import annotations

from collections import Counter

from crypto_core.findings.public_checks import PUBLIC_CHECKS, Verdict, matrix_lines

_HEAD = """\
What others check of KMS keys and CloudTrail's trails, and what Keydeck has for it: the rules that look at the
same (keydeck findings rules), and why the verdict is what it is. better: Keydeck says more, or more exactly.
differs: it asks the same question otherwise, or of a part alone. Rules event-… are about recorded events."""


def checks_text() -> str:
    """Return the topic."""
    counts = Counter(check.verdict for check in PUBLIC_CHECKS)
    summary = ", ".join(f"{counts[verdict]} {verdict.value}" for verdict in Verdict)
    return "\n".join([_HEAD, "", f"{len(PUBLIC_CHECKS)} checks: {summary}.", "", *matrix_lines()])
