"""Reads a key's policy and grants from KMS. API reference: GetKeyPolicy, ListGrants, DescribeKey."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from crypto_core.aws.kms import KmsApi
from crypto_core.keys.grants import Grant, read_grants
from crypto_core.keys.inventory import KeyInventory
from crypto_core.keys.policy.access import Access, Sentence, accesses, explain
from crypto_core.keys.policy.document import PolicyDocument, parse_policy
from crypto_core.keys.state import KeyState
from crypto_core.values.clean_text import cleans
from crypto_core.values.errors import KmsError, KmsRequestError, PolicyError
from crypto_core.values.key_names import account_of


@dataclass(frozen=True, slots=True)
@cleans(missing=600)
class KeyPolicy:
    """A key's own policy and its grants. `missing` maps grants to the reason for their absence."""

    key: KeyState
    text: str
    document: PolicyDocument
    grants: tuple[Grant, ...] = ()
    missing: Mapping[str, str] = field(default_factory=dict)

    @property
    def accesses(self) -> tuple[Access, ...]:
        return accesses(self.document, self.grants, self.key.key_arn)

    @property
    def sentences(self) -> tuple[Sentence, ...]:
        return explain(self.document, self.accesses, account_of(self.key.key_arn))


class KeyPolicies:
    """Key policies as KMS has them now. Blocks on KMS; thread-safe."""

    def __init__(self, kms: KmsApi, keys: KeyInventory) -> None:
        self._kms = kms
        self._keys = keys

    def read(self, name: str) -> KeyPolicy:
        """Return the policy and grants of the key called `name`: an ARN, id, alias or alias ARN.

        Grants that may not be listed are said to be missing. Raises SettingsError for what is no key name,
        KmsError where there is no answer or none that is a key policy.
        """
        return self.of(self._keys.describe(name))

    def of(self, key: KeyState) -> KeyPolicy:
        """Return the policy and grants of a key that is described already; grants it has are not asked again.

        Raises KmsError as `read` does.
        """
        text = read_policy_text(self._kms, key)
        try:
            document = parse_policy(text)
        except PolicyError as error:
            raise KmsRequestError(
                f"What KMS has for the policy of {key.name} is none: {error.message}",
                operation="GetKeyPolicy",
                key=key.key_arn,
            ) from error
        missing: dict[str, str] = {}
        return KeyPolicy(key, text, document, self.grants_of(key, missing) or (), missing)

    def grants_of(self, key: KeyState, missing: dict[str, str]) -> tuple[Grant, ...] | None:
        """Return a key's grants, or None with the reason as `missing`'s part "grants"."""
        if key.grants is not None:
            return key.grants
        if "grants" in key.missing:
            missing["grants"] = key.missing["grants"]
            return None
        try:
            return read_grants(self._kms, key.region, key.key_arn)
        except KmsError as error:
            missing["grants"] = error.why
            return None


def read_policy_text(kms: KmsApi, key: KeyState) -> str:
    answer = kms.call("GetKeyPolicy", region=key.region, KeyId=key.key_arn, PolicyName="default")
    text = answer.get("Policy")
    if not isinstance(text, str):
        raise KmsRequestError(
            "KMS answered GetKeyPolicy without a policy.", operation="GetKeyPolicy", key=key.key_arn
        )
    return text
