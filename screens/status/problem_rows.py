"""One list of what is wrong: with tokens, with keys, and what the rules found, the worst first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from crypto_core.findings.finding import Finding
from crypto_core.findings.severity import Severity
from crypto_core.keys.status import Problem, ProblemKind, Status
from screens.event_filters import term
from screens.facts import Facts
from screens.routes import FindingsRoute, KeyRoute, TokensRoute

ADVICE: Mapping[ProblemKind | None, str] = {
    ProblemKind.UNPROTECTED: "x encrypts them in place, as a job.",
    ProblemKind.UNREADABLE: "Enter shows each. Restore it from a backup, or ask its owner to connect again.",
    ProblemKind.EMPTY: "Enter shows the rows. Ask their owners to connect again.",
    ProblemKind.RESPELT: "b writes them anew, as a job: what is written is spelt well.",
    ProblemKind.KEY_PENDING_DELETION: (
        "Enter, then C cancels the deletion. b moves the tokens to another key before it is deleted."
    ),
    ProblemKind.KEY_NOT_ENABLED: "Enter, then e enables the key. Then b moves the tokens to another one.",
    ProblemKind.KEY_NOT_TRUSTED: (
        "If the key is yours, name it in KEYDECK_TRUSTED_KEYS. If not, I starts an incident."
    ),
    ProblemKind.KEY_UNKNOWN: "v asks KMS about each of them.",
    ProblemKind.UNDECLARED: "7 names the columns. Describe them in the settings file.",
    ProblemKind.STRAY: "Enter shows them. Find out who wrote them; I starts an incident.",
    ProblemKind.WRITE_KEY: "Set TOKEN_ENCRYPTION_KEY_ID to an enabled key, in the platform too.",
    ProblemKind.DECOY: "keydeck tripwire list shows its rows, keydeck tripwire remove removes it.",
}
"""What can be done about a problem, with the keys that do it here."""

FINDING_ADVICE = "Enter shows the finding whole; there, Enter leads to its events. I starts an incident."

_OF_THE_KEY = frozenset(
    {ProblemKind.KEY_PENDING_DELETION, ProblemKind.KEY_NOT_ENABLED, ProblemKind.KEY_NOT_TRUSTED}
)
_SAID_BY_STATUS = frozenset({"tokens-undeclared", "tokens-downgraded", "tokens-foreign"})
"""Rules whose findings are problems of the status already."""
_SAID_OF_KEYS = frozenset({"kms-key-disabled", "kms-key-pending-deletion"})
"""Those whose findings are, where tokens are under the key."""


@dataclass(frozen=True, slots=True)
class ProblemRow:
    """One line of the list. `below` is the line under it where there is room, `target` what Enter leads to.

    `about` is the problem or finding itself.
    """

    severity: Severity
    tokens: int
    title: str
    where: str
    advice: str
    below: str
    target: TokensRoute | KeyRoute | FindingsRoute | None
    about: Problem | Finding

    @property
    def kind(self) -> ProblemKind | None:
        """What the problem is of; None for a finding."""
        return self.about.kind if isinstance(self.about, Problem) else None


def problem_rows(status: Status, facts: Facts) -> list[ProblemRow]:
    """Return the problems of the status and the findings that are known by now, the worst first.

    Of the same severity, problems stand first, for they count tokens. A finding that says what a problem says
    already is left out.
    """
    rows = [*map(_of_problem, status.problems), *_findings(status, facts)]
    return sorted(rows, key=lambda row: row.severity.rank)


def _findings(status: Status, facts: Facts) -> Iterator[ProblemRow]:
    if facts.posture.value is None and facts.trail.value is None:
        return
    # What lists findings takes its time to load, and there are none yet when the console opens.
    from screens.findings.listing import subject_words, told

    said = {problem.key_arn for problem in status.problems if problem.kind in _OF_THE_KEY}
    for finding in told(facts):
        if not _repeats(finding, said):
            yield _of_finding(finding, subject_words(finding, facts))


def _repeats(finding: Finding, keys: Iterable[str | None]) -> bool:
    return finding.rule in _SAID_BY_STATUS or (finding.rule in _SAID_OF_KEYS and finding.subject in keys)


def _of_problem(problem: Problem) -> ProblemRow:
    target: TokensRoute | KeyRoute | None = None
    if problem.key_arn is not None and (problem.filter is None or problem.kind in _OF_THE_KEY):
        target = KeyRoute(problem.key_arn)
    elif problem.filter is not None:
        target = TokensRoute(problem.filter)
    advice = ADVICE.get(problem.kind, problem.remedy)
    return ProblemRow(
        problem.severity, problem.tokens, problem.title, problem.where, advice, advice, target, problem
    )


def _of_finding(finding: Finding, where: str) -> ProblemRow:
    route = FindingsRoute(f"{term('rule', finding.rule)} {term('subject', finding.subject)}")
    below = finding.evidence
    return ProblemRow(finding.severity, 0, finding.title, where, FINDING_ADVICE, below, route, finding)


def shown_rows(rows: Sequence[ProblemRow], findings: int) -> tuple[list[ProblemRow], list[ProblemRow]]:
    """Return the rows that are listed, with at most so many findings, and the findings left out."""
    listed: list[ProblemRow] = []
    left: list[ProblemRow] = []
    for row in rows:
        is_finding = isinstance(row.about, Finding)
        full = sum(isinstance(one.about, Finding) for one in listed) >= findings
        (left if is_finding and full else listed).append(row)
    return listed, left
