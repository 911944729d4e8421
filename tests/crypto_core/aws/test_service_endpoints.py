"""Where AWS is reached."""

from __future__ import annotations

import pytest

from crypto_core.aws.kms import KmsApi


def test_endpoints_are_those_of_botocores_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_USE_FIPS_ENDPOINT", "true")
    regions = ("us-east-1", "us-west-2")
    found = KmsApi(regions).endpoints(regions)
    assert [(one.service, one.region) for one in found] == [
        ("kms", "us-east-1"),
        ("cloudtrail", "us-east-1"),
        ("kms", "us-west-2"),
        ("cloudtrail", "us-west-2"),
        ("sts", "us-east-1"),
        ("s3", "us-east-1"),
    ]
    assert all(one.is_encrypted and one.is_fips for one in found)
    monkeypatch.setenv("AWS_USE_FIPS_ENDPOINT", "false")
    plain = KmsApi(regions).endpoints(regions)
    assert not any(one.is_fips for one in plain)
    assert plain[0].place == ("kms.us-east-1.amazonaws.com", 443)
