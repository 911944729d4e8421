"""What steps can do about keys and about tokens, as one: each incident is asked about what it is about."""

from __future__ import annotations

from dataclasses import dataclass

from crypto_core.incidents.model import CheckResult
from crypto_core.incidents.runbooks.catalogue import CheckKind
from crypto_core.incidents.steps.step_contracts import IncidentCheck, Situation, Toolbox


@dataclass(frozen=True, slots=True)
class BySubject:
    """An IncidentCheck that there is for keys and for tokens."""

    of_key: IncidentCheck
    of_tokens: IncidentCheck

    def look(self, situation: Situation) -> CheckResult:
        """Return what the check sees that fits the incident's scope."""
        about = self.of_key if situation.incident.scope.key else self.of_tokens
        return about.look(situation)


def joined(keys: Toolbox, tokens: Toolbox) -> Toolbox:
    """Return both toolboxes as one. Where both have a check, the incident's scope decides."""
    checks: dict[CheckKind, IncidentCheck] = {**keys.checks, **tokens.checks}
    for kind in keys.checks.keys() & tokens.checks.keys():
        checks[kind] = BySubject(keys.checks[kind], tokens.checks[kind])
    return Toolbox(
        actions={**keys.actions, **tokens.actions},
        checks=checks,
        captures={**keys.captures, **tokens.captures},
    )
