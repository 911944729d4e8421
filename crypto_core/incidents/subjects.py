"""What steps can do about keys and about tokens, as one: each incident is asked about what it is about."""

from __future__ import annotations

from crypto_core.incidents.runbooks.catalogue import CheckKind
from crypto_core.incidents.steps.step_contracts import IncidentCheck, Toolbox


def _by_subject(of_key: IncidentCheck, of_tokens: IncidentCheck) -> IncidentCheck:
    """Return the check that fits the incident's scope, of one that there is for keys and for tokens."""
    return lambda situation: (of_key if situation.incident.scope.key else of_tokens)(situation)


def joined(keys: Toolbox, tokens: Toolbox, any_subject: Toolbox | None = None) -> Toolbox:
    """Return all as one toolbox. Where keys and tokens have a check, the incident's scope decides."""
    others = any_subject or Toolbox()
    checks: dict[CheckKind, IncidentCheck] = {**others.checks, **keys.checks, **tokens.checks}
    for kind in keys.checks.keys() & tokens.checks.keys():
        checks[kind] = _by_subject(keys.checks[kind], tokens.checks[kind])
    return Toolbox(
        actions={**others.actions, **keys.actions, **tokens.actions},
        checks=checks,
        captures={**others.captures, **keys.captures, **tokens.captures},
    )
