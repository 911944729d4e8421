"""Who is proposed as the platform of a new key."""

from __future__ import annotations

from dataclasses import replace

import pytest

from crypto_core.incidents.key_users import KeyUser
from crypto_core.incidents.keys.workers import Workers
from crypto_core.keys.policy.least_privilege import Role
from crypto_core.keys.principals import is_service_linked
from tests.crypto_core.trail.records import ACCOUNT, NOW

IAM = f"arn:aws:iam::{ACCOUNT}"
API = f"{IAM}:role/api"
BACKUP = f"{IAM}:role/aws-service-role/backup.amazonaws.com/AWSServiceRoleForBackup"


def test_a_role_that_an_aws_service_made_for_itself_is_never_proposed() -> None:
    makes = KeyUser(BACKUP, 0, 50, NOW, NOW, NOW)
    makers = Workers(users={BACKUP: makes, API: replace(makes, arn=API)})
    assert makers.platform == (API,)
    assert Workers(users={BACKUP: makes}).platform == ()
    assert Workers(by_role={Role.PLATFORM: (BACKUP, API)}).platform == (API,)
    # Nobody makes any: who opened day by day would be.
    opens = replace(makes, sealed=0, opened=50)
    assert Workers(
        users={BACKUP: opens, API: replace(opens, arn=API)}, days={BACKUP: 30, API: 9}
    ).platform == (API,)
    assert Workers(users={BACKUP: opens}, days={BACKUP: 30}).platform == ()


@pytest.mark.parametrize(
    "arn",
    [
        API,
        f"{IAM}:user/AWSServiceRoleForBackup",
        f"arn:aws:sts::{ACCOUNT}:assumed-role/api/AWSServiceRoleForBackup",
    ],
)
def test_a_user_or_a_session_of_that_name_is_no_such_role(arn: str) -> None:
    assert is_service_linked(BACKUP)
    assert not is_service_linked(arn)
