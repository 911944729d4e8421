"""What is left out of botocore's models is missed by nobody."""

from __future__ import annotations

from typing import Any

import boto3
import pytest
from botocore.loaders import Loader
from botocore.session import Session

from crypto_core.aws.kms import READ_OPERATIONS
from crypto_core.aws.service_models import SERVICES, ServiceModels
from crypto_core.aws.sessions import boto_session

ASKED = ("kms", "sts", "rds", *READ_OPERATIONS)


@pytest.fixture(autouse=True)
def somebody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials that nobody looks at, and AWS's own endpoints."""
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")


@pytest.mark.parametrize("region", ["eu-west-1", "us-gov-west-1", "cn-north-1"])
def test_clients_ask_where_botocores_own_do(region: str) -> None:
    ours, theirs = boto_session(None), Session()
    for service in ASKED:
        client, other = (session.create_client(service, region_name=region) for session in (ours, theirs))
        assert client.meta.endpoint_url == other.meta.endpoint_url
        assert client._request_signer.signing_name == other._request_signer.signing_name
        assert client._request_signer.region_name == other._request_signer.region_name
        assert client.meta.service_model.operation_names == other.meta.service_model.operation_names


def test_shapes_are_kept_and_documentation_is_not() -> None:
    assert isinstance(boto_session(None).get_component("data_loader").file_loader, ServiceModels)
    loaders = Loader(file_loader=ServiceModels()), Loader()
    for service in SERVICES - {"oidc", "portal.sso", "s3-control"}:
        ours, theirs = (loader.load_service_model(service, "service-2") for loader in loaders)
        assert ours == undocumented(theirs)


def test_a_bucket_is_asked_where_botocore_asks_it() -> None:
    urls = set()
    for session in (boto_session(None), Session()):
        client = session.create_client("s3", region_name="eu-west-1", endpoint_url="http://127.0.0.1:9")
        urls.add(client.generate_presigned_url("list_objects_v2", Params={"Bucket": "trail"}).split("?")[0])
    assert urls == {"http://127.0.0.1:9/trail"}


def undocumented(node: Any) -> Any:
    """The same without texts of documentation."""
    if isinstance(node, dict):
        empty = {"documentation": ""} if isinstance(node.get("documentation"), str) else {}
        return {k: undocumented(v) for k, v in node.items()} | empty
    return [undocumented(one) for one in node] if isinstance(node, list) else node


def test_a_session_names_itself_as_boto3_does() -> None:
    """Who watches CloudTrail for software that a principal never used before knows Keydeck's."""
    ours, theirs = (
        session.create_client("kms", region_name="eu-west-1").meta.config.user_agent.split(" cfg/")[0]
        for session in (boto_session(None), boto3.Session()._session)
    )
    assert ours == theirs
    assert ours.startswith("Boto3/")
