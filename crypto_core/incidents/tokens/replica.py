"""Check replica-answers: a replica in another Region opens what the key sealed."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from crypto_core.database.tokens.lost_tokens import OpeningResult, TokenTrial
from crypto_core.database.tokens.store import StoredToken
from crypto_core.envelope import ENVELOPE_FORMATS
from crypto_core.errors import KmsError
from crypto_core.incidents.model import CheckResult, CheckState
from crypto_core.incidents.steps.step_contracts import Situation
from crypto_core.incidents.tokens.checks import seen
from crypto_core.incidents.tool_services import ToolServices
from crypto_core.key_names import in_region, is_multi_region, region_of
from crypto_core.text.counting import counted
from crypto_core.trail.use.asking import term

SAMPLE = 3
"""Tokens that each replica is tried with."""


class ReplicaAnswers:
    """Asks each replica itself. The key's own Region need not answer."""

    def __init__(self, parts: ToolServices) -> None:
        self._parts = parts

    def replica_answers(self, situation: Situation) -> CheckResult:
        """Return which replicas opened a sample. Raises DatabaseError."""
        key = situation.incident.scope.key
        if not is_multi_region(key):
            return seen(
                CheckState.FAILED,
                f"{key or 'The incident names no key'}: only a multi-Region key (mrk-…) has replicas.",
            )
        replicas = self._replicas(key)
        if not replicas:
            return seen(CheckState.NOT_YET, f"No replica of {key} in another Region is known.")
        sample = self._sample(key)
        if not sample:
            return seen(CheckState.UNKNOWN, f"No token is known to be under {key}: nothing to try with.")
        told, answered = [], 0
        opened = f"opened {counted(len(sample), 'token')}"
        for replica in replicas:
            why = self._tried(replica, sample)
            answered += not why
            told.append(f"{region_of(replica)}: {why or opened}.")
        state = CheckState.PASSED if answered else CheckState.NOT_YET
        return seen(state, *told, done=answered, total=len(replicas))

    def _replicas(self, key: str) -> tuple[str, ...]:
        """Those that KMS names, or, where the key's own Region is down, those that could be."""
        home = region_of(key)
        try:
            found: Sequence[str] = self._parts.keys.replicas(key)
        except KmsError:
            found = [in_region(key, region) for region in self._parts.regions()]
        return tuple(dict.fromkeys(arn for arn in found if region_of(arn) != home))

    def _sample(self, key: str) -> list[StoredToken]:
        under = term("key", key.rsplit("/", 1)[-1])
        for asked in (False, True):
            if asked:
                # Nothing is known of this key yet: KMS has to be asked about each group once.
                self._parts.status.take_census()
            pages = self._parts.inventory.references(f"{under} format:{','.join(ENVELOPE_FORMATS)}")
            refs = list(islice((ref for page in pages for ref in page), SAMPLE))
            if refs:
                return self._parts.store.read_many(refs)
        return []

    def _tried(self, replica: str, sample: Sequence[StoredToken]) -> str:
        """Why a replica did not open all of it, "" if it did."""
        for token in sample:
            tried = TokenTrial(self._parts.keyring).try_token(token, replica)
            if tried.result is not OpeningResult.OPENS:
                return f"{token.ref} did not open: {tried.why}"
            if region_of(tried.opened_by) != region_of(replica):
                return f"{tried.opened_by} answered in its place"
        return ""
