"""Which profiles sign in by IAM Identity Center, and which of them are signed out."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from crypto_core.aws.sso_profiles import SsoSettings, is_signed_in, signed_out, sso_settings

START, REGION = "https://acme.awsapps.com/start", "eu-west-1"
CONFIGURATION = f"""
[profile ops]
sso_session = acme
sso_account_id = 123456789012
sso_role_name = operators
[sso-session acme]
sso_start_url = {START}
sso_region = {REGION}
sso_registration_scopes = sso:account:access
[profile old]
sso_start_url = {START}
sso_region = {REGION}
sso_account_id = 123456789012
sso_role_name = operators
[profile role]
role_arn = arn:aws:iam::123456789012:role/x
source_profile = ops
[profile plain]
region = eu-west-1
"""
OPS, OLD = SsoSettings(START, "acme"), SsoSettings(START)

Kept = Callable[..., None]


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Kept:
    """Keep a token as `aws sso login` does: its file is named by the SHA-1 of the session or the address."""
    for name in [n for n in os.environ if n.startswith("AWS_")]:
        monkeypatch.delenv(name)
    folder = tmp_path / ".aws/sso/cache"
    folder.mkdir(parents=True)
    (tmp_path / ".aws/config").write_text(CONFIGURATION)
    monkeypatch.setenv("HOME", str(tmp_path))

    def keep(settings: SsoSettings, content: str = "", **more: str) -> None:
        soon = f"{datetime.now(UTC) + timedelta(hours=8):%Y-%m-%dT%H:%M:%SZ}"
        token = {"startUrl": START, "region": REGION, "accessToken": "x", "expiresAt": soon, **more}
        name = hashlib.sha1((settings.session or START).encode(), usedforsecurity=False).hexdigest()
        (folder / f"{name}.json").write_text(content or json.dumps(token))

    return keep


def configuration() -> dict[str, Any]:
    from botocore.session import Session

    found: dict[str, Any] = Session().full_config
    return found


def test_which_profiles_sign_in_and_which_are_signed_out(kept: Kept) -> None:
    assert [*signed_out(configuration())] == ["ops", "old", "role"]
    assert sso_settings(configuration(), "role") == OPS
    assert sso_settings(configuration(), "plain") is None
    kept(OPS)
    assert [*signed_out(configuration())] == ["old"]
    kept(OLD)
    assert [*signed_out(configuration())] == []


def test_an_expired_token_counts_as_long_as_it_can_be_renewed(kept: Kept) -> None:
    later, ends = datetime.now(UTC) + timedelta(days=2), datetime.now(UTC) + timedelta(days=90)
    renewable = {"refreshToken": "y", "registrationExpiresAt": f"{ends:%Y-%m-%dT%H:%M:%SUTC}"}
    kept(OPS, **renewable)
    kept(OLD, **renewable)
    assert is_signed_in(OPS, now=later)
    assert not is_signed_in(OPS, now=later + timedelta(days=365))
    assert not is_signed_in(OLD, now=later), "only a session is renewed"


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"accessToken": "x", "expiresAt": "soon"}', '{"accessToken": 1, "expiresAt": null}'],
)
def test_what_is_no_token_is_none(kept: Kept, content: str) -> None:
    kept(OPS, content or " ")
    assert not is_signed_in(OPS)
