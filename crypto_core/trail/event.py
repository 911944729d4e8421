"""One CloudTrail event as Keydeck knows it, and who is behind it.

CloudTrail User Guide, "CloudTrail record contents" and "CloudTrail userIdentity element"; AWS KMS Developer
Guide, "Log entries". All text here is cleaned and bounded; the record as it came is in `raw`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from crypto_core.keys.key_uses import OPENS
from crypto_core.values.clean_text import NO_TEXT, CleanText
from crypto_core.values.json_records import JsonRecord, shape
from crypto_core.values.references import TokenRef

KMS = "kms.amazonaws.com"
CLOUDTRAIL = "cloudtrail.amazonaws.com"
S3 = "s3.amazonaws.com"

MOST_SKEW = timedelta(minutes=5)
"""As far as a clock may differ from AWS's: AWS takes no signature that is further off."""
UNDATED = datetime(1, 1, 1, tzinfo=UTC)
"""The time of a record that tells none, or one that can't be read."""

DENIED = (
    *("AccessDenied", "AccessDeniedException", "VpceAccessDenied"),
    *("UnauthorizedOperation", "Client.UnauthorizedOperation"),
)

PEOPLE = ("Root", "IAMUser", "IdentityCenterUser", "FederatedUser", "SAMLUser")

OURS = "keydeck:"
"""How the names in a v2 envelope's encryption context begin."""


SHORT, LONG = 256, 1_024
"""Characters kept of names and of texts."""


def _of_record(name: str, most: int = SHORT, doc: str = "") -> dict[str, Any]:
    """Return where a text stands in a record, what of it is kept, and how JSON's schema describes it.

    `name` is the record's field, with a dot for one within another; kept are the first `most` characters.
    """
    return {"name": name, "most": most} | ({"doc": doc} if doc else {})


@dataclass(frozen=True, slots=True)
class Principal:
    """Who made a call.

    `arn` is the user's or the role's own ARN, without the session; for an AWS service its name, for a record
    without identity "". `session` is the role session's name. `kind` is CloudTrail's type, such as
    AssumedRole. `mfa` is None where the record doesn't tell.
    """

    kind: CleanText = field(default=NO_TEXT, metadata=_of_record("userIdentity.type"))
    arn: CleanText = NO_TEXT
    session: CleanText = NO_TEXT
    account: CleanText = field(default=NO_TEXT, metadata=_of_record("userIdentity.accountId"))
    access_key_id: CleanText = field(default=NO_TEXT, metadata=_of_record("userIdentity.accessKeyId"))
    invoked_by: CleanText = field(default=NO_TEXT, metadata=_of_record("userIdentity.invokedBy"))
    mfa: bool | None = None
    from_console: bool = False

    @property
    def is_root(self) -> bool:
        return self.kind == "Root"

    @property
    def is_human(self) -> bool:
        """True for what people work with: users, root, the console, and roles of IAM Identity Center."""
        return self.from_console or self.kind in PEOPLE or "/AWSReservedSSO_" in self.arn

    @property
    def name(self) -> str:
        """The principal as a row has room for it: role/platform, user/ana, root, a service's name."""
        if self.is_root:
            return "root"
        rest = self.arn.rsplit(":", 1)[-1] if self.arn.startswith("arn:") else self.arn
        kind, _, path = rest.partition("/")
        return f"{kind}/{path.rsplit('/', 1)[-1]}" if path else rest


@dataclass(frozen=True, slots=True)
class TrailEvent(JsonRecord):
    """One call as CloudTrail recorded it. `event_id` is its identity: the same one may be delivered twice.

    First come the texts that stand in a record as they are here, those within another field last, then what
    is made out of more of it. `key_arns` are the KMS keys that it is about (ReEncrypt: source, destination),
    `alias` the alias that the request names. `token_ref` is the token whose row the encryption context names:
    only for v2.
    """

    event_id: CleanText = field(metadata=_of_record("eventID"))
    name: CleanText = field(metadata=_of_record("eventName"))
    source: CleanText = field(metadata=_of_record("eventSource"))
    region: CleanText = field(metadata=_of_record("awsRegion"))
    event_type: CleanText = field(metadata=_of_record("eventType"))
    source_ip: CleanText = field(metadata=_of_record("sourceIPAddress"))
    """An address, a host name, or a service's name."""
    user_agent: CleanText = field(metadata=_of_record("userAgent", LONG))
    error_code: CleanText = field(metadata=_of_record("errorCode"))
    error_message: CleanText = field(metadata=_of_record("errorMessage", LONG))
    request_id: CleanText = field(metadata=_of_record("requestID"))
    vpc_endpoint: CleanText = field(metadata=_of_record("vpcEndpointId", doc="Through which VPC endpoint."))
    shared_id: CleanText = field(metadata=_of_record("sharedEventID"))
    """What all accounts' records of one call have, "" where only one has a record."""
    tls_version: CleanText = field(metadata=_of_record("tlsDetails.tlsVersion", doc="Such as TLSv1.3."))
    _: KW_ONLY
    time: datetime
    account: CleanText = NO_TEXT
    """The account whose trail recorded it."""
    principal: Principal = Principal()
    key_arns: tuple[CleanText, ...] = ()
    alias: CleanText = NO_TEXT
    material_ids: tuple[CleanText, ...] = ()
    encryption_context: Mapping[str, CleanText] = field(default_factory=dict)
    token_ref: TokenRef | None = None
    read_only: bool | None = None
    raw: bytes = field(default=b"", repr=False, compare=False)
    """The record as JSON, UTF-8."""

    json_shape = shape(
        "event_id time? name source principal=principal.arn principal_type=principal.kind "
        "session=principal.session access_key_id=principal.access_key_id source_ip vpc_endpoint? "
        "tls_version? mfa=principal.mfa user_agent error_code? error_message? key_arns alias? "
        "key_material_ids=material_ids encryption_context token_ref region account by_service "
        "invoked_by=principal.invoked_by?"
    )

    @property
    def dated(self) -> bool:
        return self.time != UNDATED

    def is_future(self, now: datetime) -> bool:
        """True if it is dated so far ahead that no clock's error explains it."""
        return self.time > now + MOST_SKEW

    @property
    def is_kms(self) -> bool:
        return self.source == KMS

    @property
    def failed(self) -> bool:
        return bool(self.error_code)

    @property
    def denied(self) -> bool:
        return self.error_code.startswith(DENIED)

    @property
    def may_open_token(self) -> bool:
        """True if it can have opened a token: with no encryption context, as v1, or with a token's, as v2."""
        return (
            self.name in OPENS
            and not self.error_code
            and (not self.encryption_context or any(n.startswith(OURS) for n in self.encryption_context))
        )

    @property
    def by_service(self) -> bool:
        """True for an AWS service's call, the noise of a review, unless it can have opened a token."""
        return self.through_service and not self.may_open_token

    @property
    def through_service(self) -> bool:
        """True for a call that an AWS service made, for itself or for a user."""
        return (
            self.event_type == "AwsServiceEvent"
            or self.principal.kind == "AWSService"
            or self.source_ip == "AWS Internal"
            or self.principal.invoked_by == "AWS Internal"
            or self.principal.invoked_by.endswith(".amazonaws.com")
            or self.source_ip.endswith(".amazonaws.com")
        )
