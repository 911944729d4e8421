"""The key that decoys are sealed under: one that is named, or one made as the platform's own key is."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable

from crypto_core.aws.kms import KmsApi
from crypto_core.envelope import Format
from crypto_core.keyring.kms_keyring import KmsKeyring
from crypto_core.keys.inventory import KeyInventory
from crypto_core.values.errors import KmsRequestError, RefusedError
from crypto_core.values.key_names import is_key_arn, region_of, same_key


class TripwireKeys:
    """Chooses keys for decoys, and makes them. Blocks on KMS."""

    def __init__(
        self, kms: KmsApi, keys: KeyInventory, keyring: KmsKeyring, met: Callable[[], Iterable[str]]
    ) -> None:
        self._kms, self._keys, self._keyring, self._met = kms, keys, keyring, met

    def chosen(self, name: str, *, new: bool, format_: Format) -> tuple[str, tuple[str, ...]]:
        """Return the key's ARN, "" for one that is still to be made, and what to know of it.

        Raises RefusedError for a key that decoys can't be under, KmsError.
        """
        if new and name:
            raise RefusedError("Name a key or have one made, not both.")
        if new:
            self._policy()
            return "", (
                "The key gets the policy of the key that is written under, and costs what a key costs.",
            )
        if not name and not format_.binds_row:
            raise RefusedError(
                "A v1 decoy needs a key of its own: only by its key CloudTrail tells that it was opened.",
                remedy="Have one made with --new-key, or name one under which no token is with --key.",
            )
        state = self._keys.describe(name or self._written_under())
        if not state.usable or state.spec not in (None, "SYMMETRIC_DEFAULT"):
            raise RefusedError(
                f"{state.key_arn} can't seal: it is {state.state or 'in an unknown state'}.",
                remedy="Name an enabled symmetric key.",
            )
        taken = any(map(state.is_named, self._keyring.trusted)) or any(
            same_key(arn, state.key_arn) for arn in self._met()
        )
        if taken and not format_.binds_row:
            raise RefusedError(
                f"Tokens are under {state.key_arn}, or it is trusted: each opened token would trip the wire.",
                remedy="Name a key without tokens, have one made with --new-key, or use --format v2.",
            )
        return state.key_arn, ()

    def make(self) -> str:
        """Make a key with the policy of the one that is written under; returns its ARN. Raises KmsError."""
        region, policy = self._policy()
        answer = self._kms.call(
            "CreateKey", region=region, Policy=policy, KeyUsage="ENCRYPT_DECRYPT", KeySpec="SYMMETRIC_DEFAULT"
        )
        arn = (answer.get("KeyMetadata") or {}).get("Arn")
        if not is_key_arn(arn):
            raise KmsRequestError("KMS does not say which key it has made.", operation="CreateKey")
        return str(arn)

    def _policy(self) -> tuple[str, str]:
        arn = self._keys.describe(self._written_under()).key_arn
        region = region_of(arn)
        answer = self._kms.call("GetKeyPolicy", region=region, KeyId=arn, PolicyName="default")
        policy = answer.get("Policy")
        try:
            read = json.loads(policy) if isinstance(policy, str) else None
        except ValueError:
            read = None
        if not isinstance(policy, str) or not isinstance(read, dict):
            raise RefusedError(f"The policy of {arn} can't be read.", remedy="Name a key with --key.")
        return region or self._kms.regions[0], policy

    def _written_under(self) -> str:
        if not self._keyring.write_key:
            raise RefusedError("No key to write under is configured.", remedy="Set TOKEN_ENCRYPTION_KEY_ID.")
        return self._keyring.write_key
