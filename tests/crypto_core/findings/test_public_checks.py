"""The matrix of public checks names rules that exist, and agrees with the controls that rules name."""

from __future__ import annotations

import pytest

from crypto_core.findings.controls import CIS, CONTROLS, FSBP
from crypto_core.findings.public_checks import PUBLIC_CHECKS, PublicCheck, Verdict
from crypto_core.findings.registry import rules_about

RULES = {rule.id: rule for rule in rules_about()}


@pytest.mark.parametrize("check", PUBLIC_CHECKS, ids=lambda one: f"{one.source} {one.name}")
def test_a_check_names_rules_that_exist_or_says_why_there_are_none(check: PublicCheck) -> None:
    assert set(check.rules) <= set(RULES)
    assert bool(check.rules) is not (check.verdict is Verdict.MISSING)
    assert check.why or check.verdict is Verdict.COVERED
    assert not check.why.endswith(".")


def test_no_check_stands_there_twice_and_security_hub_is_whole() -> None:
    names = [(check.source, check.name) for check in PUBLIC_CHECKS]
    assert len(names) == len(set(names))
    hub = {name for source, name in names if source == FSBP}
    assert {f"KMS.{n}" for n in range(1, 6)} | {f"CloudTrail.{n}" for n in (*range(1, 8), 9, 10)} == hub


@pytest.mark.parametrize("words", CONTROLS)
def test_a_control_is_named_by_the_rules_that_the_matrix_has_for_it(words: str) -> None:
    control = CONTROLS[words]
    serving = {rule.id for rule in RULES.values() if words in rule.controls}
    assert serving
    if control.standard in (FSBP, CIS):
        (check,) = [c for c in PUBLIC_CHECKS if (c.source, c.name) == (control.standard, control.number)]
        assert serving <= set(check.rules)
