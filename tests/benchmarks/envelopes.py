"""How long sealing and opening an envelope take, beside bare AES-GCM, Fernet and Tink. KMS is excluded.

    python -m tests.benchmarks.envelopes [--json] [--rounds N] [--calls N]

Everything is timed in one run, in interleaved rounds, on a token of 93 bytes (a fine-grained GitHub token)
and an encrypted data key of 184 bytes. What is compared:

- AES-256-GCM: `AESGCM` of the cryptography library with a key set up for each token, as a fresh data key
  requires, and a nonce from the system. The floor: nothing is encoded, nothing is checked.
- Fernet, one key for all tokens: gives and takes base64 text, so it stands beside the stored form.
- v1's primitives, from the stored form: four fields of base64 and AES-256-GCM, as they must be.
- v2's primitives: two HKDF-SHA-512 and AES-256-GCM with additional data, as a v2 envelope must have them.
- Tink AEAD: one AES256_GCM keyset for all tokens.
- Tink envelope AEAD: `KmsEnvelopeAead`, which makes an AES256_GCM data key a token, over a remote AEAD that
  answers at once from memory. Like an envelope of ours, without the base64.

Rows of Tink need the extra `bench`. Exit status 1 if a target is missed.
"""

from __future__ import annotations

import os
import sys
from binascii import a2b_base64
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from crypto_core.envelope import Format, classify, open_envelope, parse, seal, serialise
from crypto_core.values.references import TokenRef
from crypto_core.values.secret import DataKey, Secret
from tests.benchmarks.measuring import Case, Target, Timing, microseconds, options, report

TOKEN = b"github_pat_" + b"0123456789abcdefghijklmnopqrstuvwxyz_ABCDEFGHIJ" + b"KLMNOPQRSTUVWXYZ" * 2 + b"abc"
ENCRYPTED_DATA_KEY = bytes.fromhex("0102030078") + os.urandom(179)
DATA_KEY = os.urandom(32)
REF = TokenRef("gh_connection", "access_token", "gh-42")
KEY_ARN = "arn:aws:kms:eu-central-1:111122223333:key/0a1b2c3d-0a1b-0a1b-0a1b-0a1b2c3d4e5f"

AESGCM_SEALS, AESGCM_OPENS = "AES-256-GCM encrypt", "AES-256-GCM decrypt"
FERNET_SEALS, FERNET_OPENS = "Fernet encrypt", "Fernet decrypt"
V1_PRIMITIVES = "v1's primitives, stored form to token"
V2_SEALING, V2_OPENING = "v2's primitives, sealing", "v2's primitives, opening"


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that is timed; `seals` tells which of the two directions it is compared with."""

    name: str
    seals: bool
    case: Case


class RemoteInMemory:
    """The KMS of a Tink envelope, without its time: hands out one EDK and gives back the last data key."""

    def __init__(self) -> None:
        self._data_key = b""

    def encrypt(self, plaintext: bytes, associated_data: bytes) -> bytes:
        """Remember the data key, return an encrypted data key of 184 bytes."""
        self._data_key = plaintext
        return ENCRYPTED_DATA_KEY

    def decrypt(self, ciphertext: bytes, associated_data: bytes) -> bytes:
        return self._data_key


def baseline_rows() -> list[Row]:
    """Return what envelopes are compared with from the cryptography library."""
    nonce = os.urandom(12)
    ciphertext = AESGCM(DATA_KEY).encrypt(nonce, TOKEN, None)
    fernet = Fernet(Fernet.generate_key())
    sealed = fernet.encrypt(TOKEN)
    return [
        Row(AESGCM_SEALS, True, lambda: AESGCM(DATA_KEY).encrypt(os.urandom(12), TOKEN, None)),
        Row(AESGCM_OPENS, False, lambda: AESGCM(DATA_KEY).decrypt(nonce, ciphertext, None)),
        Row(FERNET_SEALS, True, lambda: fernet.encrypt(TOKEN)),
        Row(FERNET_OPENS, False, lambda: fernet.decrypt(sealed)),
    ]


def tink_rows() -> list[Row]:
    try:
        import tink
        from tink import aead
    except ImportError:
        return []
    aead.register()
    template = aead.aead_key_templates.AES256_GCM
    primitive = tink.new_keyset_handle(template).primitive(aead.Aead)
    # The one that opens needs the data key of its own ciphertext, so the one that seals has another remote.
    sealing, opening = (aead.KmsEnvelopeAead(template, RemoteInMemory()) for _ in range(2))
    sealed, sealed_by_envelope = primitive.encrypt(TOKEN, b""), opening.encrypt(TOKEN, b"")
    return [
        Row("Tink AEAD encrypt", True, lambda: primitive.encrypt(TOKEN, b"")),
        Row("Tink AEAD decrypt", False, lambda: primitive.decrypt(sealed, b"")),
        Row("Tink envelope AEAD encrypt", True, lambda: sealing.encrypt(TOKEN, b"")),
        Row("Tink envelope AEAD decrypt", False, lambda: opening.decrypt(sealed_by_envelope, b"")),
    ]


def primitive_rows() -> list[Row]:
    """Return what the libraries alone take, into buffers as envelopes have them."""
    salt, nonce, info = os.urandom(32), os.urandom(12), bytes(220)
    key = bytearray(DATA_KEY)
    sealed = AESGCM(DATA_KEY).encrypt(nonce, TOKEN, info)

    def derive() -> None:
        for _ in range(2):
            HKDF(SHA512(), 32, salt, info).derive_into(key, bytearray(32))

    stored = serialise(seal(Secret(TOKEN), DataKey(DATA_KEY), ENCRYPTED_DATA_KEY))

    def opens_v1() -> None:
        fields = a2b_base64(stored, strict_mode=True).split(b"|")
        _, nonce, sealed = (a2b_base64(field, strict_mode=True) for field in fields[1:])
        AESGCM(key).decrypt_into(nonce, sealed, None, bytearray(len(TOKEN)))

    def seals() -> None:
        derive()
        AESGCM(key).encrypt(os.urandom(12), TOKEN, info)

    def opens() -> None:
        derive()
        AESGCM(key).decrypt_into(nonce, sealed, info, bytearray(len(TOKEN)))

    return [
        Row(V1_PRIMITIVES, False, opens_v1),
        Row(V2_SEALING, True, seals),
        Row(V2_OPENING, False, opens),
    ]


def envelope_rows() -> list[Row]:
    """Return our own rows: each version alone and, for v1, to and from the stored form."""
    token, key, edk = Secret(TOKEN), DataKey(DATA_KEY), ENCRYPTED_DATA_KEY
    v1 = seal(token, key, edk)
    v2 = seal(token, key, edk, format_=Format.V2, key_arn=KEY_ARN, ref=REF)
    stored_v1, stored_v2 = serialise(v1), serialise(v2)
    return [
        Row("v1 seal", True, lambda: seal(token, key, edk)),
        Row("v1 seal + serialise", True, lambda: serialise(seal(token, key, edk))),
        Row("v1 open", False, lambda: open_envelope(v1, key)),
        Row("v1 parse + open", False, lambda: open_envelope(parse(stored_v1), key)),
        Row("v1 parse", False, lambda: parse(stored_v1)),
        Row("v1 classify", False, lambda: classify(stored_v1)),
        Row("v1 parse + classify", False, lambda: (parse(stored_v1), classify(stored_v1))),
        Row("v2 seal", True, lambda: seal(token, key, edk, format_=Format.V2, key_arn=KEY_ARN, ref=REF)),
        Row("v2 open", False, lambda: open_envelope(v2, key, REF)),
        Row("v2 parse", False, lambda: parse(stored_v2)),
    ]


def targets_of(timings: dict[str, Timing]) -> list[Target]:
    took = {name: timing.median for name, timing in timings.items()}

    def faster(name: str, than: str) -> Target:
        return Target(f"{name} faster than {than}", took[name], took[than], "µs")

    def within(times: int, name: str, of: str, least: str) -> Target:
        promise = f"{name} within {times} × {of}"
        return Target(promise, took[name], times * took[of], "µs", took[least], least)

    return [
        faster("v1 seal", FERNET_SEALS),
        faster("v1 open", FERNET_OPENS),
        faster("v1 seal + serialise", FERNET_SEALS),
        Target(
            f"v1 parse + open below {FERNET_OPENS} by a third",
            took["v1 parse + open"],
            took[FERNET_OPENS] * 2 / 3,
            "µs",
            took[V1_PRIMITIVES],
            V1_PRIMITIVES,
        ),
        within(2, "v1 seal", AESGCM_SEALS, AESGCM_SEALS),
        within(2, "v1 open", AESGCM_OPENS, AESGCM_OPENS),
        within(10, "v2 seal", AESGCM_SEALS, V2_SEALING),
        within(10, "v2 open", AESGCM_OPENS, V2_OPENING),
        Target("v1 parse + classify", took["v1 parse + classify"], 6.0, "µs"),
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = options("Time sealing and opening envelopes.", rounds=201)
    parser.add_argument("--calls", type=int, default=200, help="calls of each case a round (%(default)s)")
    chosen = parser.parse_args(arguments)

    rows = [*baseline_rows(), *primitive_rows(), *tink_rows(), *envelope_rows()]
    timings = microseconds({row.name: row.case for row in rows}, rounds=chosen.rounds, calls=chosen.calls)
    return report(
        targets_of(timings),
        ("", "µs", "best", "× AES-GCM", "× Fernet"),
        [_cells(row, timings) for row in rows],
        as_json=chosen.json,
        packages=("cryptography", "tink"),
        notes=[f"{len(TOKEN)}-byte token, {len(ENCRYPTED_DATA_KEY)}-byte encrypted data key, KMS excluded"],
    )


def _cells(row: Row, timings: dict[str, Timing]) -> tuple[str, ...]:
    took = timings[row.name]
    aesgcm, fernet = (AESGCM_SEALS, FERNET_SEALS) if row.seals else (AESGCM_OPENS, FERNET_OPENS)
    ratios = (took.median / timings[one].median for one in (aesgcm, fernet))
    return (row.name, *(f"{figure:.2f}" for figure in (took.median, took.best, *ratios)))


if __name__ == "__main__":
    sys.exit(main())
