"""The manual's matrix of others' checks names rules that exist, and agrees with the controls that rules name.

AWS Config: list of managed rules. AWS Security Hub: controls of AWS KMS and AWS CloudTrail. Prowler 5: checks
of its services kms and cloudtrail, and those of iam that are about KMS. CIS AWS Foundations Benchmark 7.0.0:
recommendations about keys, trails and what is to be monitored of them.
"""

from __future__ import annotations

import re
from collections import Counter

import pytest

from console.manual.book import source
from crypto_core.findings.registry import rules_about
from crypto_core.findings.standards import CIS, CONTROLS, FSBP

RULES = {rule.id: rule for rule in rules_about()}
VERDICTS = ("covered", "better", "differs", "missing")
PAGE = source("checks")
CHECKS = [
    (section.partition("\n")[0], *(cell.strip() for cell in row.split("|")))
    for section in PAGE.split("\n## ")[1:]
    for row in re.findall(r"^\| (?!check \|)(.*) \|$", section, re.MULTILINE)
]
"""Source, name, verdict, rules and why."""


@pytest.mark.parametrize("check", CHECKS, ids=lambda one: f"{one[0]} {one[1]}")
def test_a_check_names_rules_that_exist_or_says_why_there_are_none(check: tuple[str, ...]) -> None:
    _, _, verdict, rules, why = check
    assert set(re.findall(r"`(.*?)`", rules)) <= set(RULES)
    assert verdict in VERDICTS
    assert bool(rules) is not (verdict == "missing")
    assert why or verdict == "covered"
    assert not why.endswith(".")


def test_no_check_stands_there_twice_and_security_hub_is_whole() -> None:
    names = [check[:2] for check in CHECKS]
    assert len(names) == len(set(names))
    hub = {name for source_, name in names if source_ == FSBP}
    assert {f"KMS.{n}" for n in range(1, 6)} | {f"CloudTrail.{n}" for n in (*range(1, 8), 9, 10)} == hub
    counts = Counter(verdict for _, _, verdict, _, _ in CHECKS)
    assert f"\n{len(CHECKS)} checks: {', '.join(f'{counts[v]} {v}' for v in VERDICTS)}.\n" in PAGE


@pytest.mark.parametrize("words", CONTROLS)
def test_a_control_is_named_by_the_rules_that_the_matrix_has_for_it(words: str) -> None:
    control = CONTROLS[words]
    serving = {rule.id for rule in RULES.values() if words in rule.controls}
    assert serving
    if control.standard in (FSBP, CIS):
        (rules,) = [c[3] for c in CHECKS if c[:2] == (control.standard, control.number)]
        assert serving <= set(re.findall(r"`(.*?)`", rules))
