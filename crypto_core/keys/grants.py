"""Grants of a KMS key: access given beside its policy. AWS KMS Developer Guide, "Grants in AWS KMS"."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from crypto_core.aws.kms import KmsApi
from crypto_core.keys.principals import PolicyPrincipal
from crypto_core.values.clean_text import NO_TEXT, CleanText, clean, cleans
from crypto_core.values.json_records import JsonRecord, made, shape


@dataclass(frozen=True, slots=True)
@cleans(grant_id=130, name=256, operations=60, constraints=200)
class Grant(JsonRecord):
    """A grant as KMS lists it. `constraints` is the encryption context that callers must give."""

    grant_id: CleanText
    name: CleanText
    grantee: PolicyPrincipal
    retiring: PolicyPrincipal | None
    operations: tuple[CleanText, ...]
    constraints: Mapping[str, Mapping[str, CleanText]]
    created_at: datetime | None

    json_shape = shape(
        "grant_id name grantee retiring operations constraints created_at",
        grantee=made(str, lambda record: clean(record.grantee.value)),
        retiring=made(str | None, lambda record: clean(record.retiring.value) if record.retiring else None),
    )

    @property
    def argument(self) -> str:
        """The id as one word of a shell command: 64 hex digits of KMS, anything of what stands in for it."""
        return shlex.quote(self.grant_id)


def parse_grant(raw: Mapping[str, Any]) -> Grant:
    retiring = raw.get("RetiringPrincipal")
    return Grant(
        grant_id=raw.get("GrantId") or NO_TEXT,
        name=raw.get("Name") or NO_TEXT,
        grantee=_grantee(str(raw.get("GranteePrincipal") or "")),
        retiring=_grantee(str(retiring)) if retiring else None,
        operations=tuple(raw.get("Operations") or ()),
        constraints={kind: pairs or {} for kind, pairs in (raw.get("Constraints") or {}).items()},
        created_at=raw.get("CreationDate"),
    )


def _grantee(value: str) -> PolicyPrincipal:
    return PolicyPrincipal("Service" if value.endswith(".amazonaws.com") else "AWS", value)


def read_grants(kms: KmsApi, region: str, key_arn: str) -> tuple[Grant, ...]:
    """Return all grants of a key. Blocks on KMS; raises KmsError."""
    listed = kms.listed("ListGrants", "Grants", region=region, KeyId=key_arn)
    return tuple(parse_grant(raw) for raw in listed)
