"""Commands over an endpoint that has a part of AWS: what it lacks is not known, and nothing waits for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from console.sandbox.endpoint import Fault
from console.sandbox.sandbox import Sandbox
from crypto_core.trail.sources.lookup import ATTRIBUTES

OF_KEYS = ("GetKeyLastUsage", "ListKeyRotations", "GetKeyRotationStatus", "ListGrants", "ListAliases")
ELSEWHERE = ("DescribeTrails", "LookupEvents", "GetCallerIdentity")


@pytest.fixture(autouse=True)
def _sparse(environment: dict[str, str], sandbox: Sandbox) -> None:
    for operation in (*OF_KEYS, *ELSEWHERE):
        sandbox.control.add_fault(
            Fault(operation, "InternalFailure", message=f"{operation} is not emulated\u202e")
        )


def test_keys_are_listed_with_what_is_not_known(keydeck: Callable[..., Any]) -> None:
    ran = keydeck("keys", "list")
    assert ran.exit_code == 0
    rows = ran.stdout.splitlines()[1:]
    assert rows
    assert all(row.endswith("not known") and "not since" not in row for row in rows)
    for operation in OF_KEYS:
        assert f"this endpoint does not have {operation}" in ran.stderr
    assert "\u202e" not in ran.stdout + ran.stderr


def test_findings_say_nothing_of_what_is_not_known_but_name_it(keydeck: Callable[..., Any]) -> None:
    found = keydeck("findings", "--json").json
    rules = {finding["rule"] for finding in found["findings"]}
    assert not rules & {"kms-rotation-off", "kms-rotation-period", "kms-old-key-in-use", "kms-material-old"}
    reasons = "\n".join(found["coverage"]["reasons"])
    for operation in (
        "GetKeyRotationStatus",
        "ListKeyRotations",
        "ListGrants",
        "GetKeyLastUsage",
        "DescribeTrails",
    ):
        assert f"this endpoint does not have {operation}" in reasons


def test_a_pull_asks_once_for_each_source_and_names_the_setting(
    keydeck: Callable[..., Any], sandbox: Sandbox
) -> None:
    def asked() -> int:
        return sandbox.control.stats().calls.get("cloudtrail:LookupEvents", 0)

    before = asked()
    ran = keydeck("events", "pull", "--since", "1d", "--region", "eu-west-1")
    assert ran.exit_code == 3
    assert asked() == before + len(ATTRIBUTES)
    assert "does not have LookupEvents" in ran.stderr
    assert "AWS_ENDPOINT_URL_KMS" in ran.stderr
