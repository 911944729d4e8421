"""Who counts as a second person, and who as the same."""

from __future__ import annotations

import pytest

from crypto_core.guard.approval_proof import person_of, same_person
from crypto_core.values.errors import RefusedError

SESSION = "arn:aws:sts::123456789012:assumed-role"
USER = "arn:aws:iam::123456789012:user"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (f"{SESSION}/oncall/ana", f"{SESSION}/oncall/ben", False),
        (f"{SESSION}/oncall/ana", f"{SESSION}/oncall/ana", True),
        (f"{SESSION}/oncall/ana", f"{SESSION}/oncall/Ana", True),
        (f"{SESSION}/oncall/ana", f"{SESSION}/responder/ana", True),
        (f"{SESSION}/oncall/ana", f"{SESSION}/responder/ben", False),
        (f"{SESSION}/oncall/ana", f"{USER}/ana", True),
        (f"{USER}/team/a/ana", f"{USER}/ana", True),
        (f"{USER}/ana", f"{USER}/ben", False),
        (f"{USER}/ana", "arn:aws:iam::123456789012:root", False),
        (
            "arn:aws-us-gov:sts::123456789012:assumed-role/x/ana@example.com",
            f"{SESSION}/x/ben@example.com",
            False,
        ),
        ("arn:aws:sts::123456789012:federated-user/ana", f"{USER}/ana", True),
    ],
)
def test_people_are_told_apart_by_their_names(one: str, other: str, same: bool) -> None:
    assert same_person(one, other) is same
    assert same_person(other, one) is same


@pytest.mark.parametrize(
    "arn",
    [
        "",
        "AWS identity not known",
        "arn:aws:iam::123456789012:role/oncall",
        "arn:aws:sts::123456789012:assumed-role/oncall",
        f"{SESSION}/oncall/ana/ben",
        f"{USER}/ana ben",
        f"{USER}/ana\n",
    ],
)
def test_who_is_not_known_is_nobody(arn: str) -> None:
    with pytest.raises(RefusedError, match="does not say who you are"):
        person_of(arn)


@pytest.mark.parametrize(
    "name",
    [
        "botocore-session-1764144000",
        "AWSCLI-Session-1764144000",
        "aws-go-sdk-1764144000123",
        "i-0abc12345def67890",
    ],
)
def test_a_session_that_a_tool_has_named_is_nobody(name: str) -> None:
    with pytest.raises(RefusedError, match="names no person") as caught:
        person_of(f"{SESSION}/oncall/{name}")
    assert "role_session_name" in caught.value.remedy
