"""Every rule is declared once, whole, and known by being written."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import pytest

from crypto_core.findings.finding import Finding, Gap, Severity
from crypto_core.findings.registry import Facts, Rule, Said, rule, rule_by_id, rules_about
from crypto_core.findings.standards import CONTROLS, TECHNIQUES, VERSION, Technique

PACKAGES = sorted({package for facts in Facts for package in facts.packages})


@pytest.mark.parametrize("one", rules_about(), ids=lambda one: one.id)
def test_a_rule_says_what_lists_and_exports_need(one: Rule[...]) -> None:
    assert rule_by_id(one.id) is one
    assert one.severity is not Severity.NONE
    assert one.title[0].isupper()
    assert not one.title.endswith(".")
    assert set(one.techniques) <= set(TECHNIQUES)
    if one.facts is Facts.EVENTS:
        assert one.id.startswith(("event-", "decrypt-"))
        assert one.techniques
        assert one.sigma is not None
    elif one.facts is Facts.PROVIDERS:
        assert one.id.startswith("event-provider-")
        assert one.techniques
    else:
        assert one.id.startswith(("kms-", "trail-", "columns-", "tokens-"))
        assert one.controls
        assert set(one.controls) <= set(CONTROLS)


TACTICS = {
    "TA0001": "Initial Access",
    "TA0003": "Persistence",
    "TA0004": "Privilege Escalation",
    "TA0005": "Stealth",
    "TA0006": "Credential Access",
    "TA0007": "Discovery",
    "TA0009": "Collection",
    "TA0040": "Impact",
    "TA0112": "Defense Impairment",
}
"""Of ATT&CK 19, as far as they are about clouds."""
REVOKED = ("T1562", "T1656", "T1070.001", "T1070.002", "T1547.011")
"""By ATT&CK 19; with their parts."""


@pytest.mark.parametrize("technique", TECHNIQUES.values(), ids=lambda one: one.id)
def test_techniques_are_of_one_version_and_none_is_revoked(technique: Technique) -> None:
    assert VERSION.startswith("19.")
    assert technique.tactics
    assert set(technique.tactics) <= set(TACTICS.items())
    assert not technique.id.startswith(REVOKED)
    assert ("." in technique.id) == bool(technique.parent)
    assert any(technique.id in rule.techniques for rule in rules_about())


def test_two_rules_cannot_have_the_same_id() -> None:
    known = rules_about()[0]
    with pytest.raises(ValueError, match=known.id):
        rule(known.id, "Another", Severity.LOW, Facts.KEY)(lambda: iter(()))
    assert rule_by_id(known.id) is known


@pytest.mark.parametrize("package", PACKAGES)
def test_no_rule_is_written_and_not_declared(package: str) -> None:
    """What says something of its own is a rule, and a finding's rule is told by the declaration alone."""
    for found in iter_modules(import_module(package).__path__):
        module = import_module(f"{package}.{found.name}")
        assert module.__file__
        for node in ast.walk(ast.parse(Path(module.__file__).read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Finding":
                assert isinstance(node.args[0], ast.Constant), module
                assert node.args[0].value == "", module
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                returns = isinstance(node.returns, ast.Name) and node.returns.id == "Said"
                assert not returns or node.decorator_list, f"{node.name} is no rule"


def test_rules_are_known_without_naming_their_modules() -> None:
    code = "from crypto_core.findings.registry import rules_about; print(len(rules_about()))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(ran.stdout) == len(rules_about()) > 30


def test_a_finding_gets_id_techniques_and_controls_of_its_rule() -> None:
    def says(subject: str) -> Said:
        yield Finding("", Severity.LOW, subject, "t", "e", "r")
        yield Gap("g", Severity.LOW)

    finding, gap = Rule("x", "X", Severity.LOW, Facts.KEY, says, "", ("T1490",), ("CIS 1",))("s")
    assert isinstance(finding, Finding)
    assert (finding.rule, finding.subject) == ("x", "s")
    assert (finding.techniques, finding.controls) == (("T1490",), ("CIS 1",))
    assert gap == Gap("g", Severity.LOW)
