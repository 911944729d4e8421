"""Tests that are answered by checks of `keydeck doctor`, by name: of every place that was checked."""

from __future__ import annotations

from datetime import datetime
from functools import partial

from crypto_core.compliance.answer import BY_TEST, ControlAnswer, ControlTest, answer, cause, not_assessed
from crypto_core.compliance.facts import CheckFacts
from crypto_core.compliance.snapshot import Lack, SnapshotPart
from crypto_core.diagnosis.check import CheckOutcome

_BAD = (CheckOutcome.WARNING, CheckOutcome.FAILED)


def _checked(name: str, _now: datetime, facts: CheckFacts) -> ControlAnswer:
    found = [one for one in facts.checks if one.name == name]
    told = [one for one in found if one.outcome in (CheckOutcome.OK, *_BAD)]
    if not told:
        reasons = [f"{one.area}: {one.said}" for one in found]
        return not_assessed(reasons[0] if reasons else f"{name} was not checked", Lack.FAILED)
    failed = [one for one in told if one.outcome in _BAD]
    left = [one for one in found if one not in told]
    return answer(
        [f"{one.area}: {one.said}" for one in told if one.outcome == CheckOutcome.OK],
        bad=[f"{one.area}: {one.said}" for one in failed],
        open_=[f"{one.area}: {one.said}" for one in left],
        causes=[cause(BY_TEST, one.area, one.said) for one in failed],
        undecided=[cause(BY_TEST, one.area, one.said) for one in left],
    )


TESTS = tuple(
    ControlTest(name, measures, (SnapshotPart.CHECKS,), partial(_checked, check))
    for name, measures, check in (
        (
            "database-connection-encrypted",
            "Connections to the database are encrypted, or stay on this machine.",
            "encryption",
        ),
        (
            "database-role-limited",
            "Keydeck's role in the database is no superuser.",
            "role",
        ),
        (
            "aws-connection-encrypted",
            "AWS is called over https, or on this machine.",
            "endpoint",
        ),
        (
            "clocks-agree",
            "This machine's clock agrees with the database's and AWS's.",
            "clock",
        ),
    )
)
