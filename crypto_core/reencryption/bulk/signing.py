"""Signature Version 4 of KMS calls, thousands a second.

AWS General Reference, "Create a signed AWS API request". Of a call's canonical request all but the last line,
the body's hash, is the same for every call of one operation in one second. botocore's signer writes that much
once; what is left for each call is three hashes.
"""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from botocore.credentials import ReadOnlyCredentials

SERVICE = "kms"
CONTENT_TYPE = "application/x-amz-json-1.1"
TARGET = "TrentService."
"""Stands before an operation's name in X-Amz-Target."""


class RequestSigner:
    """Signs calls of one endpoint with one set of credentials. For one thread."""

    def __init__(self, credentials: ReadOnlyCredentials, region: str, url: str) -> None:
        """`credentials` are frozen ones: those that renew themselves could change between two lines."""
        from botocore.auth import SigV4Auth

        self._token = credentials.token
        self._secret = str(credentials.secret_key)
        self._url = url
        self._auth = SigV4Auth(credentials, SERVICE, region)
        self._second = -1
        self._drafts: dict[str, _Draft] = {}

    def lines(self, operation: str, body: bytes, now: float) -> bytes:
        """Return the headers of a signed call at `now`, in seconds since 1970, as lines of its request.

        They are all that is signed, but for Host, which is the URL's.
        """
        second = int(now)
        if second != self._second:
            self._second = second
            self._drafts.clear()
        draft = self._drafts.get(operation)
        if draft is None:
            draft = self._drafts[operation] = self._draft(operation)
        return draft.signed(body)

    def _draft(self, operation: str) -> _Draft:
        from botocore.auth import SIGV4_TIMESTAMP
        from botocore.awsrequest import AWSRequest

        moment = datetime.fromtimestamp(self._second, UTC).strftime(SIGV4_TIMESTAMP)
        headers = {"X-Amz-Target": TARGET + operation, "Content-Type": CONTENT_TYPE, "X-Amz-Date": moment}
        if self._token:
            headers["X-Amz-Security-Token"] = self._token
        request: Any = AWSRequest("POST", self._url, headers=headers)
        request.context["timestamp"] = moment
        auth: Any = self._auth
        credential, scope = auth.scope(request), auth.credential_scope(request)
        signed = auth.signed_headers(auth.headers_to_sign(request))
        headers["Authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={signed}, Signature="
        )
        return _Draft(
            "\r\n".join(f"{name}: {value}" for name, value in headers.items()),
            auth.canonical_request(request).rpartition("\n")[0] + "\n",
            f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n",
            _signing_key(self._secret, scope),
        )


class _Draft:
    """What all calls of one operation in one second share."""

    __slots__ = ("_canonical", "_keyed", "_lines")

    def __init__(self, lines: str, canonical: str, to_sign: str, key: bytes) -> None:
        """`lines` end where the signature follows."""
        self._lines = lines.encode("latin-1")
        self._canonical = hashlib.sha256(canonical.encode())
        self._keyed = hmac.new(key, to_sign.encode(), digestmod="sha256")

    def signed(self, body: bytes) -> bytes:
        canonical, signature = self._canonical.copy(), self._keyed.copy()
        canonical.update(hashlib.sha256(body).hexdigest().encode())
        signature.update(canonical.hexdigest().encode())
        return b"%b%b\r\n" % (self._lines, signature.hexdigest().encode())


def _signing_key(secret: str, scope: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key
