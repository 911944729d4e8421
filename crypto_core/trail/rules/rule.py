"""What a rule is: its name, its weight, the techniques of MITRE ATT&CK that it is about, and its question."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from crypto_core.findings.finding import Finding, Gap
from crypto_core.findings.severity import Severity

if TYPE_CHECKING:
    from crypto_core.trail.rules.rule_context import RuleContext


@dataclass(frozen=True, slots=True)
class Correlation:
    """How many events of a selection, by whom, in how long: what Sigma calls a correlation."""

    at_least: int
    timespan: str
    """Such as 10m."""
    group_by: tuple[str, ...] = ("userIdentity.arn",)
    distinct: str = ""
    """The field whose different values are counted; "" counts events."""


@dataclass(frozen=True, slots=True)
class Sigma:
    """What of a rule Sigma can say. `selection` maps CloudTrail's fields to values, `filters` leave out.

    `limits` says what Sigma can't, "" where it says all.
    """

    selection: Mapping[str, Any]
    filters: Mapping[str, Any] = field(default_factory=dict)
    limits: str = ""
    falsepositives: tuple[str, ...] = ()
    correlation: Correlation | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. `severity` is the worst that it says; a single finding may be less."""

    id: str
    title: str
    severity: Severity
    techniques: tuple[str, ...]
    sigma: Sigma
    examine: Callable[[RuleContext], Iterator[Finding | Gap]]
