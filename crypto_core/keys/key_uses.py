"""KMS's cryptographic operations: what each does with a key, and whether its caller has a plaintext then.

AWS KMS API Reference, "Actions". One table: rules, watches, proofs and the use of tokens derive from it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CryptographicOperation:
    """One operation.

    `opens`: what is sealed under the key can be read afterwards, by the caller or under another key. `seals`:
    something new is under the key. `reveals`: the caller has the plaintext of what was opened or sealed, from
    the answer or, for Encrypt, before the call.
    """

    name: str
    opens: bool = False
    seals: bool = False
    reveals: bool = False


OPERATIONS = (
    CryptographicOperation(name="Decrypt", opens=True, reveals=True),
    CryptographicOperation(name="ReEncrypt", opens=True, seals=True),
    CryptographicOperation(name="Encrypt", seals=True, reveals=True),
    CryptographicOperation(name="GenerateDataKey", seals=True, reveals=True),
    CryptographicOperation(name="GenerateDataKeyWithoutPlaintext", seals=True),
    CryptographicOperation(name="GenerateDataKeyPair", seals=True, reveals=True),
    CryptographicOperation(name="GenerateDataKeyPairWithoutPlaintext", seals=True),
    CryptographicOperation(name="Sign"),
    CryptographicOperation(name="Verify"),
    CryptographicOperation(name="GenerateMac"),
    CryptographicOperation(name="VerifyMac"),
    CryptographicOperation(name="DeriveSharedSecret"),
)

USES = tuple(one.name for one in OPERATIONS)
OPENS = tuple(one.name for one in OPERATIONS if one.opens)
SEALS = tuple(one.name for one in OPERATIONS if one.seals)
READS = tuple(one.name for one in OPERATIONS if one.opens and one.reveals)
"""What hands out the plaintext of something that was sealed."""
REWRAPS = tuple(one.name for one in OPERATIONS if one.opens and one.seals)
"""What moves something sealed under another key, and hands out nothing."""
MAKES = tuple(one.name for one in OPERATIONS if one.seals and not one.opens)
"""What whoever writes tokens calls: a new data key, or one of its own that is wrapped."""
HANDS_OUT = tuple(one.name for one in OPERATIONS if one.seals and one.reveals)
"""After which the caller has the plaintext of something that was sealed just then."""
