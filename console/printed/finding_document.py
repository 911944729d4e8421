"""A finding as commands print it."""

from __future__ import annotations

from dataclasses import dataclass

from crypto_core.findings.finding import Finding
from crypto_core.findings.registry import Sigma, rule_by_id
from crypto_core.trail.rules.sigma import sigma_id
from crypto_core.values.json_records import JsonRecord, shape


@dataclass(frozen=True, slots=True)
class FindingDocument(JsonRecord):
    """A finding, and which Sigma rule finds the same."""

    finding: Finding

    json_shape = shape("*finding sigma_id")

    @property
    def sigma_id(self) -> str | None:
        rule = rule_by_id(self.finding.rule)
        return sigma_id(rule) if rule is not None and isinstance(rule.sigma, Sigma) else None
