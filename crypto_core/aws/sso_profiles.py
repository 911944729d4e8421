"""Which profiles sign in by IAM Identity Center (SSO), and which of them are signed out."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

_LONGEST_CHAIN = 5


@dataclass(frozen=True, slots=True)
class SsoSettings:
    """Where a profile signs in, as AWS's configuration has it. `session` is the name of its sso-session."""

    start_url: str
    session: str | None = None


def sso_settings(configuration: Mapping[str, Any], profile: str) -> SsoSettings | None:
    """Return where a profile signs in by SSO, following `source_profile`; None if it doesn't.

    `configuration` is botocore's `full_config`.
    """
    profiles, sessions = configuration.get("profiles", {}), configuration.get("sso_sessions", {})
    for _ in range(_LONGEST_CHAIN):
        own = profiles.get(profile, {})
        name = own.get("sso_session")
        found = {**own, **sessions.get(name, {})} if name else own
        if found.get("sso_start_url") and found.get("sso_region"):
            return SsoSettings(str(found["sso_start_url"]), name)
        if not own.get("source_profile"):
            return None
        profile = str(own["source_profile"])
    return None


def is_signed_in(settings: SsoSettings, folder: Path | None = None, *, now: datetime | None = None) -> bool:
    """Return whether there is a token that has not expired, or one that botocore can renew by itself."""
    from botocore.exceptions import SSOTokenLoadError

    moment = now or datetime.now(UTC)
    try:
        token = _loader(folder)(settings.start_url, session_name=settings.session)
        renewable = settings.session and token.get("refreshToken")
        return _ends_at(token, "expiresAt") > moment or bool(
            renewable and _ends_at(token, "registrationExpiresAt") > moment
        )
    except (SSOTokenLoadError, OSError, ValueError, TypeError, LookupError, AttributeError):
        return False  # No file, or nothing in it that is a token.


def signed_out(configuration: Mapping[str, Any]) -> Iterator[str]:
    """Yield the profiles that sign in this way and are not signed in."""
    for profile in configuration.get("profiles", {}):
        settings = sso_settings(configuration, profile)
        if settings is not None and not is_signed_in(settings):
            yield profile


def _loader(folder: Path | None) -> Any:
    from botocore.utils import JSONFileCache, SSOTokenLoader

    # Where botocore and the AWS CLI keep such tokens.
    own = os.path.expanduser("~/.aws/sso/cache")  # noqa: PTH111  # as botocore does
    return SSOTokenLoader(JSONFileCache(str(folder or own)))


def _ends_at(token: Mapping[str, Any], name: str) -> datetime:
    # Some versions of the AWS CLI write UTC behind it.
    return datetime.fromisoformat(str(token[name]).replace("UTC", "+00:00"))
