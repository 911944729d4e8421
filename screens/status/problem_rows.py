"""One list of what is wrong: with tokens, with keys, and what the rules found, the worst first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from crypto_core.findings.finding import Finding
from crypto_core.keys.status import ProblemKind, Status
from screens.event_filters import term
from screens.facts import ScreenFacts
from screens.routes import FindingsRoute, KeyRoute, TokensRoute

ADVICE: Mapping[str, str] = {
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
"""What can be done about what the status finds, with the keys that do it here."""

FINDING_ADVICE = "Enter shows the finding whole; there, Enter leads to its events. I starts an incident."

_OF_THE_KEY = frozenset(
    {ProblemKind.KEY_PENDING_DELETION, ProblemKind.KEY_NOT_ENABLED, ProblemKind.KEY_NOT_TRUSTED}
)
_SAID_BY_STATUS = frozenset({"tokens-undeclared", "tokens-downgraded", "tokens-foreign"})
"""Rules whose findings are problems of the status already."""
_SAID_OF_KEYS = frozenset({"kms-key-disabled", "kms-key-pending-deletion", "kms-key-unusable"})
"""Those whose findings are, where tokens are under the key."""


@dataclass(frozen=True, slots=True)
class ProblemRow:
    """One line of the list: `where` as the line has room for it, `target` what Enter leads to.

    `below` is the line under it where there is room.
    """

    finding: Finding
    where: str
    advice: str
    below: str
    target: TokensRoute | KeyRoute | FindingsRoute | None

    @property
    def of_status(self) -> bool:
        """True for what the status counts, False for what other rules found."""
        return not isinstance(self.target, FindingsRoute)


def problem_rows(status: Status, facts: ScreenFacts) -> list[ProblemRow]:
    """Return the problems of the status and the findings that are known by now, the worst first.

    Of the same severity, problems stand first, for they count tokens. A finding that says what a problem says
    already is left out.
    """
    rows = [*map(_of_status, status.problems), *_of_rules(status, facts)]
    return sorted(rows, key=lambda row: row.finding.severity.rank)


def _of_status(problem: Finding) -> ProblemRow:
    target: TokensRoute | KeyRoute | None = None
    if problem.subject and (problem.rule in _OF_THE_KEY or not problem.rows):
        target = KeyRoute(problem.subject)
    elif problem.rows:
        target = TokensRoute(problem.rows)
    advice = ADVICE.get(problem.rule, problem.remedy)
    if problem.rule == ProblemKind.KEY_NOT_ENABLED and problem.evidence != "Disabled":
        advice = problem.remedy  # KMS enables a key in no other state
    return ProblemRow(problem, problem.evidence, advice, advice, target)


def _of_rules(status: Status, facts: ScreenFacts) -> Iterator[ProblemRow]:
    if facts.posture.value is None and facts.trail.value is None:
        return
    # What lists findings takes its time to load, and there are none yet when the console opens.
    from screens.findings.finding_list import subject_words, told

    keys = {problem.subject for problem in status.problems if problem.rule in _OF_THE_KEY}
    for finding in told(facts):
        of_key = finding.rule in _SAID_OF_KEYS and finding.subject in keys
        if finding.rule not in _SAID_BY_STATUS and not of_key:
            route = FindingsRoute(f"{term('rule', finding.rule)} {term('subject', finding.subject)}")
            yield ProblemRow(finding, subject_words(finding, facts), FINDING_ADVICE, finding.evidence, route)


def shown_rows(rows: Sequence[ProblemRow], findings: int) -> tuple[list[ProblemRow], list[ProblemRow]]:
    """Return the rows that are listed, with at most so many findings of rules, and those left out."""
    listed: list[ProblemRow] = []
    left: list[ProblemRow] = []
    for row in rows:
        full = sum(not one.of_status for one in listed) >= findings
        (left if full and not row.of_status else listed).append(row)
    return listed, left
