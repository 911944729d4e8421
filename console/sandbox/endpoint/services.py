"""Which AWS service and operation a request is for, and how that service writes its errors."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import unquote
from xml.parsers.expat import ExpatError
from xml.sax.saxutils import escape

from console.sandbox.endpoint.errors import ServiceError
from console.sandbox.endpoint.principals import ACCOUNT, SandboxPrincipal
from console.sandbox.http_message import HttpRequest

JSON = "application/x-amz-json-1.1"
XML = "text/xml"

# What S3 calls the bucket's subresources in CloudTrail's event names.
_BUCKET_SUBRESOURCES = {
    "acl": "Acl",
    "encryption": "Encryption",
    "lifecycle": "Lifecycle",
    "location": "Location",
    "logging": "Logging",
    "notification": "Notification",
    "object-lock": "ObjectLockConfiguration",
    "ownershipControls": "OwnershipControls",
    "policy": "Policy",
    "policyStatus": "PolicyStatus",
    "publicAccessBlock": "PublicAccessBlock",
    "replication": "Replication",
    "tagging": "Tagging",
    "versioning": "Versioning",
}
_CODE = re.compile(r"<Code>([^<]*)</Code>")
_MESSAGE = re.compile(r"<Message>([^<]*)</Message>")
_VERBS = {"GET": "Get", "HEAD": "Head", "PUT": "Put", "POST": "Post", "DELETE": "Delete"}


@dataclass(frozen=True, slots=True)
class Credential:
    """What the SigV4 credential says: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-signing-elements.html"""

    access_key_id: str
    region: str
    service: str


@dataclass(frozen=True, slots=True)
class S3Call:
    """An S3 request: the IAM `action`, the `resource` ARN, and the management event's name, if it is one.

    Object calls and listings are data events, which a trail doesn't record unless asked to: `event` is
    None for them.
    """

    action: str
    resource: str
    event: str | None
    bucket: str


def read_credential(headers: Mapping[str, str], region: str) -> Credential:
    """Read the credential from the Authorization header; `region` is the default."""
    _, _, rest = headers.get("Authorization", "").partition("Credential=")
    return _read_scope(rest.partition(",")[0], region)


@lru_cache(maxsize=256)
def _read_scope(scope: str, region: str) -> Credential:
    parts = scope.strip().split("/")
    if len(parts) != 5:
        return Credential(parts[0], region, "")
    return Credential(parts[0], parts[2], parts[3])


def read_s3_call(method: str, target: str) -> S3Call:
    path, _, query = target.partition("?")
    bucket, _, key = unquote(path).lstrip("/").partition("/")
    queried = {pair.partition("=")[0] for pair in query.split("&")}
    subresource = next((name for name in _BUCKET_SUBRESOURCES if name in queried), None)
    verb = _VERBS.get(method, method.title())
    if not bucket:
        return S3Call("s3:ListAllMyBuckets", "*", "ListBuckets", "")
    resource = f"arn:aws:s3:::{bucket}"
    if key:
        action = "s3:GetObject" if method in ("GET", "HEAD") else f"s3:{verb}Object"
        return S3Call(action, f"{resource}/{key}", None, bucket)
    if subresource is not None:
        name = f"{verb}Bucket{_BUCKET_SUBRESOURCES[subresource]}"
        return S3Call(f"s3:{name}", resource, name, bucket)
    names = {"PUT": "CreateBucket", "DELETE": "DeleteBucket"}
    if method in names:
        return S3Call(f"s3:{names[method]}", resource, names[method], bucket)
    return S3Call("s3:ListBucket", resource, "HeadBucket" if method == "HEAD" else None, bucket)


def s3_parameters(call: S3Call, request: HttpRequest) -> dict[str, Any]:
    """Return what CloudTrail records of an S3 request: the bucket, and the document that is put there."""
    parameters: dict[str, Any] = {"bucketName": call.bucket, "Host": request.headers.get("Host", "")}
    if call.event is not None and request.method == "PUT" and request.body:
        parameters |= _document(request.body)
    if "x-amz-acl" in request.headers:
        parameters["x-amz-acl"] = request.headers["x-amz-acl"]
    return parameters


def _document(body: bytes) -> dict[str, Any]:
    """A policy is JSON, all else XML; what is neither is S3's to refuse."""
    import xmltodict  # comes with moto

    try:
        if body.startswith(b"{"):
            return {"bucketPolicy": json.loads(body)}
        return dict(_as_json(xmltodict.parse(body)))  # type: ignore[no-untyped-call]
    except (ExpatError, ValueError):
        return {}


def _as_json(value: Any) -> Any:
    """XML as CloudTrail writes it: numbers and truths as such, attributes among the elements."""
    if isinstance(value, dict):
        return {name.removeprefix("@"): _as_json(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_as_json(inner) for inner in value]
    if value in ("true", "false"):
        return value == "true"
    return int(value) if isinstance(value, str) and value.isdecimal() else value or ""


def error_body(service: str, error: ServiceError, request_id: str) -> tuple[str, bytes]:
    """Return the content type and body of an error the way the service writes it."""
    if service not in ("s3", "sts", "iam", "sns", "sqs"):
        return JSON, error.body()
    # Query services and S3 leave out the suffix that JSON services have.
    code = escape(error.code.removesuffix("Exception"))
    inner = f"<Code>{code}</Code><Message>{escape(error.message)}</Message>"
    if service == "s3":
        document = f"<Error>{inner}<RequestId>{request_id}</RequestId></Error>"
    else:
        document = (
            f"<ErrorResponse><Error><Type>Sender</Type>{inner}</Error>"
            f"<RequestId>{request_id}</RequestId></ErrorResponse>"
        )
    return XML, f'<?xml version="1.0" encoding="UTF-8"?>{document}'.encode()


def caller_identity(principal: SandboxPrincipal, request_id: str) -> bytes:
    """https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html"""
    return (
        '<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">'
        f"<GetCallerIdentityResult><Arn>{escape(principal.arn)}</Arn>"
        f"<UserId>{escape(principal.principal_id)}</UserId><Account>{ACCOUNT}</Account>"
        "</GetCallerIdentityResult><ResponseMetadata>"
        f"<RequestId>{request_id}</RequestId></ResponseMetadata></GetCallerIdentityResponse>"
    ).encode()


def read_error(body: bytes) -> tuple[str, str]:
    """Return code and message of an error body, JSON or XML; `Unknown` when it has neither."""
    text = body.decode("utf-8", "replace")
    if text.startswith("{"):
        document = json.loads(text)
        message = document.get("message") or document.get("Message") or ""
        return str(document.get("__type", "Unknown")).rpartition("#")[2], str(message)
    code, message = _CODE.search(text), _MESSAGE.search(text)
    return code.group(1) if code else "Unknown", message.group(1) if message else ""
