"""What steps can do about keys and about tokens, as one: each incident is asked about what it is about."""

from __future__ import annotations

from crypto_core.incidents.runbooks.catalogue import CheckKind
from crypto_core.incidents.steps.step_contracts import IncidentCheck, Toolbox


def _by_subject(of_key: IncidentCheck, of_tokens: IncidentCheck) -> IncidentCheck:
    """Return the check that fits the incident's scope, of one that there is for keys and for tokens."""
    return lambda situation: (of_key if situation.incident.scope.key else of_tokens)(situation)


def joined(keys: Toolbox, tokens: Toolbox) -> Toolbox:
    """Return both toolboxes as one. Where both have a check, the incident's scope decides."""
    checks: dict[CheckKind, IncidentCheck] = {**keys.checks, **tokens.checks}
    for kind in keys.checks.keys() & tokens.checks.keys():
        checks[kind] = _by_subject(keys.checks[kind], tokens.checks[kind])
    return Toolbox(
        actions={**keys.actions, **tokens.actions},
        checks=checks,
        captures={**keys.captures, **tokens.captures},
    )
