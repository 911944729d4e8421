"""How the AWS credentials in use are renewed: exact instructions, by their source.

The sources and their order are boto3's (Boto3 documentation, "Credentials"). A profile that was named
outright comes before the credentials in the environment, as it does in boto3.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from crypto_core.text.cleaning import clean

Profiles = Mapping[str, Mapping[str, Any]]

_LONGEST_CHAIN = 5
"""Profiles that take on roles by way of other profiles; AWS's own tools follow as many as there are."""


def renewal_instructions(profiles: Profiles, environment: Mapping[str, str], chosen: str | None) -> str:
    """Return one sentence that says what renews the credentials.

    `profiles` is what the configuration and credentials files say, by profile; `chosen` the profile that was
    named outright, None where boto3 looks for credentials itself.
    """
    if chosen is None and environment.get("AWS_ACCESS_KEY_ID"):
        return _of_the_environment(environment)
    named = chosen or profile_of(environment)
    if named not in profiles and not chosen:
        return _without_a_profile(environment)
    return _of_the_profile(profiles, environment, named, _LONGEST_CHAIN)


def profile_of(environment: Mapping[str, str]) -> str:
    """Return the profile that boto3 takes where none was named outright."""
    return environment.get("AWS_DEFAULT_PROFILE") or environment.get("AWS_PROFILE") or "default"


def _of_the_environment(environment: Mapping[str, str]) -> str:
    part = "AWS_SESSION_TOKEN" if environment.get("AWS_SESSION_TOKEN") else "AWS_ACCESS_KEY_ID"
    return (
        f"The credentials are in Keydeck's own environment ({part}): export new ones, or set AWS_PROFILE, and"
        " start Keydeck again."
    )


def _without_a_profile(environment: Mapping[str, str]) -> str:
    if environment.get("AWS_WEB_IDENTITY_TOKEN_FILE"):
        return f"Renew the token in {clean(environment['AWS_WEB_IDENTITY_TOKEN_FILE'], 300)}."
    return "Set AWS_PROFILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."


def _of_the_profile(profiles: Profiles, environment: Mapping[str, str], name: str, links: int) -> str:
    profile = profiles.get(name, {})
    label = clean(name, 100)
    called = f"profile {label}"
    if profile.get("role_arn"):
        if profile.get("web_identity_token_file"):
            return f"Renew the token of {called} in {clean(profile['web_identity_token_file'], 300)}."
        source = profile.get("source_profile")
        if source and links and source != name:
            further = _of_the_profile(profiles, environment, str(source), links - 1)
            return f"Profile {label} takes its role by way of profile {clean(source, 100)}. {further}"
        if profile.get("credential_source") == "Environment":
            return _of_the_environment(environment)
        if not source:
            where = clean(profile.get("credential_source"), 60) or "nowhere"
            return f"Profile {label} takes its role with the credentials of {where}: renew those."
    if profile.get("sso_session") or profile.get("sso_start_url"):
        return f"Sign in again: aws sso login --profile {_quoted(name)}"
    if profile.get("aws_access_key_id"):
        file = _file(environment)
        if profile.get("aws_session_token"):
            return f"Renew aws_session_token, and the keys that belong to it, of {called} in {file}."
        return f"Put an access key that is valid into {called} in {file}."
    if profile.get("login_session"):
        return f"Sign in again: aws login --profile {_quoted(name)}"
    if profile.get("credential_process"):
        # Its arguments may be secret.
        program = clean(str(profile["credential_process"]).split(maxsplit=1)[0], 200)
        return f"Renew what {program} signs in with, the credential_process of {called}."
    return f"Give {called} credentials in {_file(environment)}, or change to another profile."


def _file(environment: Mapping[str, str]) -> str:
    return clean(environment.get("AWS_SHARED_CREDENTIALS_FILE") or "~/.aws/credentials", 300)


def _quoted(name: str) -> str:
    return clean(shlex.quote(name), 120)
