"""What renews credentials is told exactly, by where they come from."""

from __future__ import annotations

import pytest

from crypto_core.aws.sessions import renewal_instructions

PROFILES = {
    "default": {"aws_access_key_id": "AKIAEXAMPLE", "aws_secret_access_key": "s"},
    "session": {"sso_session": "corp", "sso_account_id": "123456789012"},
    "old sso": {"sso_start_url": "https://example.awsapps.com/start"},
    "temporary": {"aws_access_key_id": "ASIAEXAMPLE", "aws_session_token": "t"},
    "role": {"role_arn": "arn:aws:iam::123456789012:role/oncall", "source_profile": "session"},
    "far role": {"role_arn": "arn:aws:iam::123456789012:role/oncall", "source_profile": "role"},
    "round": {"role_arn": "arn:aws:iam::123456789012:role/oncall", "source_profile": "about"},
    "about": {"role_arn": "arn:aws:iam::123456789012:role/oncall", "source_profile": "round"},
    "itself": {
        "role_arn": "arn:aws:iam::123456789012:role/oncall",
        "source_profile": "itself",
        "aws_access_key_id": "AKIAEXAMPLE",
    },
    "env role": {"role_arn": "arn:aws:iam::123456789012:role/oncall", "credential_source": "Environment"},
    "ec2 role": {
        "role_arn": "arn:aws:iam::123456789012:role/oncall",
        "credential_source": "Ec2InstanceMetadata",
    },
    "pod": {"role_arn": "arn:aws:iam::123456789012:role/p", "web_identity_token_file": "/run/token"},
    "process": {"credential_process": "/opt/vault-helper --secret hunter2 exec"},
    "console": {"login_session": "arn:aws:iam::123456789012:user/ana"},
    "empty": {"region": "eu-west-1"},
}
ENVIRONMENT = {"AWS_ACCESS_KEY_ID": "ASIAEXAMPLE", "AWS_SESSION_TOKEN": "t"}


@pytest.mark.parametrize(
    ("profile", "says"),
    [
        ("session", "Sign in again: aws sso login --profile session"),
        ("old sso", "Sign in again: aws sso login --profile 'old sso'"),
        ("console", "Sign in again: aws login --profile console"),
        ("temporary", "Renew aws_session_token, and the keys that belong to it, of profile temporary in"),
        ("default", "Put an access key that is valid into profile default in ~/.aws/credentials."),
        ("role", "Profile role takes its role by way of profile session. Sign in again: aws sso login"),
        ("far role", "by way of profile role. Profile role takes its role by way of profile session. Sign"),
        ("itself", "Put an access key that is valid into profile itself"),
        ("env role", "in Keydeck's own environment"),
        ("ec2 role", "with the credentials of Ec2InstanceMetadata: renew those."),
        ("pod", "Renew the token of profile pod in /run/token."),
        ("process", "Renew what /opt/vault-helper signs in with, the credential_process of profile process."),
        ("empty", "Give profile empty credentials in"),
        ("unheard", "Give profile unheard credentials in"),
    ],
)
def test_the_way_out_follows_the_profile(profile: str, says: str) -> None:
    told = renewal_instructions(PROFILES, ENVIRONMENT, profile)
    assert says in told
    assert "hunter2" not in told


def test_profiles_that_go_round_in_circles_end() -> None:
    assert "by way of" in renewal_instructions(PROFILES, {}, "round")


def test_without_a_named_profile_the_environment_comes_first_as_in_boto3() -> None:
    assert "AWS_SESSION_TOKEN" in renewal_instructions(
        PROFILES, ENVIRONMENT | {"AWS_PROFILE": "session"}, None
    )
    assert "aws sso login --profile session" in renewal_instructions(
        PROFILES, {"AWS_PROFILE": "session"}, None
    )
    assert "profile default" in renewal_instructions(PROFILES, {}, None)
    assert "/run/token" in renewal_instructions({}, {"AWS_WEB_IDENTITY_TOKEN_FILE": "/run/token"}, None)
    assert "AWS_PROFILE" in renewal_instructions({}, {}, None)


def test_another_credentials_file_is_named() -> None:
    environment = {"AWS_SHARED_CREDENTIALS_FILE": "/srv/aws/keys"}
    assert "/srv/aws/keys" in renewal_instructions(PROFILES, environment, "temporary")


def test_a_hostile_profile_name_stays_text() -> None:
    told = renewal_instructions({"a\x1b]0;b;rm -rf ~": {"sso_session": "s"}}, {}, "a\x1b]0;b;rm -rf ~")
    assert "\x1b" not in told
    assert "--profile 'a" in told
