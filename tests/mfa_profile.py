"""AWS's files with a profile whose role demands an MFA code, over the sandbox's AWS."""

from __future__ import annotations

from pathlib import Path

import pytest

from console.sandbox.endpoint import ACCOUNT
from console.sandbox.sandbox import Sandbox
from crypto_core.aws import sessions

ROLE = f"arn:aws:iam::{ACCOUNT}:role/operators"
DEVICE = f"arn:aws:iam::{ACCOUNT}:mfa/alice"


def write_profiles(sandbox: Sandbox, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have the environment name files with the profiles mfa, plain and alice; return the configuration."""
    settings = sandbox.settings()
    config, credentials = folder / "config", folder / "credentials"
    config.write_text(
        f"[profile mfa]\nrole_arn = {ROLE}\nsource_profile = alice\nmfa_serial = {DEVICE}\n"
        f"[profile plain]\nrole_arn = {ROLE}\nsource_profile = alice\n"
    )
    credentials.write_text(
        f"[alice]\naws_access_key_id = {settings['AWS_ACCESS_KEY_ID']}\n"
        f"aws_secret_access_key = {settings['AWS_SECRET_ACCESS_KEY']}\n"
    )
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(credentials))
    return config


def forget_roles() -> None:
    """Forget what roles gave to this process."""
    sessions._ROLES.clear()
