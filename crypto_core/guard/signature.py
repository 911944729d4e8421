"""What a signature by KMS is, for checkpoints of the journal and for reports.

KMS API reference: Sign and Verify (asymmetric keys, key usage SIGN_VERIFY), GenerateMac and VerifyMac (HMAC
keys, key usage GENERATE_VERIFY_MAC).
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from crypto_core.proof.forms import Answer, Ask, Claim, Signature, SigningTime, digest_of
from crypto_core.values.errors import EndedKeyError, KmsError, SettingsError

__all__ = ["Signature", "Signer", "SigningTime", "asking", "digest_of"]

_AT_ONCE = 8


class Signer(Protocol):
    """Signs with the configured KMS key. What is signed is over a text that begins with its purpose."""

    def sign(self, digest: bytes) -> Signature: ...

    def verify(self, digest: bytes, signature: Signature, when: SigningTime | None = None) -> bool:
        """Return whether KMS says that the signature is by the configured key over this digest.

        `when` is None where nothing but the signer's own word says when it was made. Raises EndedKeyError for
        a valid signature by a former key that was not made before the key's end as far as anybody can tell,
        KmsError where KMS can't be asked. A signature by another key is not taken as ours.
        """


NO_KEY = "No signing key is configured (KEYDECK_SIGNING_KEY)."


def asking(signer: Signer | None, why: str = NO_KEY, *, raising: bool = False) -> Ask:
    """Return what verifies signatures by a signer; `why` says why nothing can where there is none.

    Once KMS can't be asked, the rest is not asked about; with `raising` it raises KmsError, SettingsError.
    """

    def ask(claims: Sequence[Claim]) -> list[Answer]:
        if signer is None:
            return [Answer(None, why)] * len(claims)
        failed: list[str] = []

        def answer(claim: Claim) -> Answer:
            if failed:
                return Answer(None, failed[0])
            try:
                return Answer(signer.verify(*claim))
            except EndedKeyError as error:
                return Answer(valid=False, why=error.message)
            except (KmsError, SettingsError) as error:
                if raising:
                    raise
                failed.append(error.message)
                return Answer(None, error.message)

        if not claims:
            return []
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return list(pool.map(answer, claims))

    return ask
