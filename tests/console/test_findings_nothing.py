"""keydeck findings where there is nothing to find, or nothing can be seen; an endpoint of the test's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from console.sandbox.cloudtrail import create_trail
from console.sandbox.endpoint import Denial
from console.sandbox.sandbox import Sandbox


@pytest.mark.deep
@pytest.mark.usefixtures("environment")
def test_nothing_found_is_0_and_nothing_seen_is_3(
    keydeck: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Sandbox.start(data=False) as empty:
        for name, value in empty.settings().items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("TOKEN_ENCRYPTION_KEY_ID")
        monkeypatch.delenv("KEYDECK_TRUSTED_KEYS")
        assert keydeck("findings", "--json").json["findings"][0]["rule"] == "trail-none"
        assert keydeck("findings").exit_code == 1
        create_trail(empty.client("s3"), empty.client("cloudtrail"), empty.region)
        ran = keydeck("findings")
        assert (ran.exit_code, ran.stdout) == (0, "No findings.\n")
        assert ran.stderr == (
            "Not covered: CloudTrail events: the store has none at all; fill it with keydeck events pull or "
            "keydeck events import PATH\n"
        )
        empty.control.add_denial(Denial("*", "cloudtrail:GetEventSelectors"))
        ran = keydeck("findings")
        assert (ran.exit_code, ran.stdout) == (3, "No findings.\n")
        assert "cloudtrail:GetEventSelectors is not allowed" in ran.stderr
