"""What changes go by: the key as KMS has it now, and the tokens under it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from threading import Event
from typing import Any

from crypto_core.aws.kms import KmsApi
from crypto_core.database.tokens.fresh_proof import FreshProof
from crypto_core.keys.changes.plan import TokensAtRisk
from crypto_core.keys.dependent_copies import NeedingCopies
from crypto_core.keys.inventory import KeyInventory
from crypto_core.keys.policy.document import PolicyDocument
from crypto_core.keys.policy.policy_reader import read_policy_text
from crypto_core.keys.service import StatusService
from crypto_core.keys.state import KeyState
from crypto_core.keys.status import Status
from crypto_core.lists.coverage import Evidence
from crypto_core.values.clean_text import clean, shortened
from crypto_core.values.errors import DatabaseError, KeydeckError, KeyNotFoundError, KmsError, RefusedError
from crypto_core.values.key_names import in_region, region_of, same_key

TOKENS = "tokens that it opens"
"""The reading of how many tokens are under a key, where a change takes the key away from them."""

_TYPABLE = re.compile(r"alias/[A-Za-z0-9/_-]{1,250}")


@dataclass(frozen=True, slots=True)
class AutomaticRotation:
    """Automatic rotation in words; `period_days` is None if it is off or not reported."""

    words: str
    period_days: int | None = None
    under_way: bool = False


@dataclass(eq=False)
class KeyReader:
    """Reads keys for plans and for what is seen afterwards. Blocks on KMS and SQL; changes nothing.

    `count_backups` tells how many replaced envelopes are under a key, by its ARN. `write_key` is the
    configured name of the key that new tokens are written under. Once `cancelled` is set, no proof is made
    any more.
    """

    kms: KmsApi
    keys: KeyInventory
    status: StatusService
    count_backups: Callable[[str], int]
    needing_copies: Callable[[str], NeedingCopies]
    """Tells which registered copies need a key, by its ARN."""
    list_key: Callable[[], str]
    """Tells the key that the list of tripwires is sealed under, "" where there is none."""
    write_key: str | None = None
    cancelled: Event | None = None

    def until(self, cancelled: Event | None) -> KeyReader:
        return replace(self, cancelled=cancelled)

    def key(self, name: str) -> KeyState:
        """Return a customer's key with its aliases and its multi-Region relations.

        Raises RefusedError for a key that AWS manages, SettingsError, KmsError.
        """
        self.keys.refresh_aliases()
        state = self.keys.describe(name)
        if state.manager == "AWS":
            raise RefusedError(f"{state.name} is managed by AWS: only AWS changes it.")
        return state

    def replica_state(self, primary_arn: str, region: str) -> str:
        """Return the state of the replica in a Region, asked for in that Region; "none" without one."""
        arn = in_region(primary_arn, region)
        try:
            answer = self.kms.call("DescribeKey", region=region, KeyId=arn)
        except KeyNotFoundError:
            return "none"
        return clean((answer.get("KeyMetadata") or {}).get("KeyState"), 60) or "not told"

    def automatic_rotation(self, state: KeyState) -> AutomaticRotation:
        """Return a key's automatic rotation; values that KMS does not report are "not known"."""
        try:
            answer = self.kms.call("GetKeyRotationStatus", region=state.region, KeyId=state.key_arn)
        except KmsError as error:
            return AutomaticRotation(not_known(error))
        under_way = answer.get("OnDemandRotationStartDate") is not None
        enabled = answer.get("KeyRotationEnabled")
        if enabled is None:
            return AutomaticRotation("not known: KMS does not tell", under_way=under_way)
        if not enabled:
            return AutomaticRotation("off", under_way=under_way)
        period = answer.get("RotationPeriodInDays")
        if not isinstance(period, int):
            return AutomaticRotation("on, but KMS does not report its period", under_way=under_way)
        return AutomaticRotation(every(period), period, under_way)

    def on_demand_rotations(self, state: KeyState) -> int | str:
        try:
            rotations = self.kms.listed(
                "ListKeyRotations", "Rotations", region=state.region, KeyId=state.key_arn
            )
            return sum(1 for r in rotations if r.get("RotationType") == "ON_DEMAND")
        except KmsError as error:
            return not_known(error)

    def alias_target(self, alias: str, like: str) -> str | None:
        """Return the ARN of the key that an alias points at, in the account and Region of the ARN `like`.

        None if there is no such alias. Raises KmsError.
        """
        for listed in self.kms.listed("ListAliases", "Aliases", region=region_of(like)):
            if listed.get("AliasName") == alias and listed.get("TargetKeyId"):
                return f"{like.rsplit(':', 1)[0]}:key/{listed['TargetKeyId']}"
        return None

    def policy_text(self, state: KeyState) -> str:
        return read_policy_text(self.kms, state)

    def tokens(self, state: KeyState) -> TokensAtRisk:
        """Return the tokens under a key by a fresh proof; one that can't be made is a gap.

        Raises InterruptedRunError once cancelled.
        """
        try:
            proof = self.status.prove(in_full=True, cancelled=self.cancelled)
        except DatabaseError as error:
            risk = TokensAtRisk(gaps=(f"The tokens can't be counted: {error}",), backups=None)
        else:
            risk = proven_at_risk(proof, state.key_arn, self._backups(state))
        return replace(risk, copies=self.needing_copies(state.key_arn))

    def _backups(self, state: KeyState) -> int | None:
        try:
            return self.count_backups(state.key_arn)
        except DatabaseError:
            return None

    def require_list_elsewhere(self, state: KeyState) -> tuple[str, ...]:
        """Return what is to be known of the list of tripwires.

        Raises RefusedError if it is under this key, can still be opened, and is opened in no other Region.
        """
        listed, untold = list_under(self.list_key, state.key_arn)
        if not listed:
            return untold
        if (opener := self._written_elsewhere(state)) is not None:
            opens = f"The list of tripwires stays open: Keydeck opens it by {opener.key_arn}."
            return (f"{opens} It can't where TOKEN_ENCRYPTION_KEY_ID names the key of {state.region}.",)
        if state.state != "Enabled":
            return (f"The list of tripwires is sealed under {state.name}, and stays closed.",)
        steps = ["Seal it anew under another key: keydeck tripwire reseal."]
        if self.writes_under(state):
            steps.insert(0, "Configure another key to write under (TOKEN_ENCRYPTION_KEY_ID).")
        raise RefusedError(
            f"The list of tripwires is sealed under {state.name}: without the key no decoy is known as one.",
            remedy=" ".join(steps),
        )

    def _written_elsewhere(self, state: KeyState) -> KeyState | None:
        """Return the key written under, by which alone the list is opened, if it is an enabled replica."""
        try:
            key = self.keys.describe(self.write_key) if self.write_key else None
        except KmsError:
            return None
        elsewhere = key and same_key(key.key_arn, state.key_arn) and key.region != state.region
        return key if key and elsewhere and key.usable else None

    def writes_under(self, state: KeyState) -> bool:
        return state.is_named(self.write_key)

    def writes_by(self, alias: str) -> bool:
        return self.write_key is not None and self.write_key.rsplit(":", 1)[-1] == alias


def at_risk(status: Status, key_arn: str, backups: int | None) -> TokensAtRisk:
    """Return the tokens under a key by a status; those whose key is not known are doubtful."""
    doubtful = sum(
        share.tokens
        for share in status.keys
        if share.key_arn is None and (share.evidence is Evidence.CONFLICT or not share.asked)
    )
    return TokensAtRisk(status.tokens_under(key_arn), doubtful, status.coverage.reasons, backups)


def proven_at_risk(proof: FreshProof, key_arn: str, backups: int | None) -> TokensAtRisk:
    """Return the tokens under a key by a fresh proof; those whose key is not known are doubtful."""
    accepted = tuple(loss for loss in proof.accepted if same_key(loss.key_arn, key_arn))
    return TokensAtRisk(proof.tokens_under(key_arn), proof.doubtful, proof.gaps, backups, proof, accepted)


def list_under(list_key: Callable[[], str], key_arn: str) -> tuple[bool, tuple[str, ...]]:
    """Return whether the list of tripwires is sealed under a key, and why that is not known."""
    try:
        key = list_key()
    except KeydeckError as error:
        return False, (f"Which key the list of tripwires is sealed under is not known: {error}",)
    return bool(key) and same_key(key, key_arn), ()


def key_id_of(key_arn: str) -> str:
    """Return the key id of a key ARN.

    Control operations take it as well as the ARN, and moto some of them without the ARN only.
    """
    return key_arn.rsplit("/", 1)[-1]


def typed_name(state: KeyState) -> str:
    """Return what an operator types to mean a key: its first alias, else its key id."""
    return state.name if _TYPABLE.fullmatch(state.name) else key_id_of(state.key_arn)


def not_known(error: KmsError) -> str:
    return f"not known: {shortened(error.why, 200)}"


def every(days: int) -> str:
    return f"every {days:,} days"


def policy_fact(document: PolicyDocument) -> str:
    """Return a policy in so few words that two policies that differ read differently."""
    digest = hashlib.sha256(json.dumps(normal(document.raw), sort_keys=True).encode()).hexdigest()
    number = len(document.statements)
    return f"{number} {'statement' if number == 1 else 'statements'}, SHA-256 {digest[:16]}…"


_ROOT = re.compile(r"arn:aws[a-z-]*:iam::([0-9]{12}):root")


def normal(raw: Any) -> Any:
    """Return a policy's JSON in the one form that it and what IAM makes of it when storing it have.

    A list of one is its element, the order of a list of texts does not count, and an account is the ARN of
    its root.
    """
    if isinstance(raw, dict):
        return {name: normal(value) for name, value in raw.items()}
    if isinstance(raw, list):
        values = [normal(value) for value in raw]
        if len(values) == 1:
            return values[0]
        return sorted(values) if all(isinstance(v, str) for v in values) else values
    root = _ROOT.fullmatch(raw) if isinstance(raw, str) else None
    return root[1] if root else raw
