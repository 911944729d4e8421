"""CloudTrail's digest files in the sandbox: one for each delivery, signed, each naming the one before it.

CloudTrail User Guide, "CloudTrail digest file structure". AWS writes one an hour.
"""

import base64
import gzip
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from console.sandbox.endpoint.principals import ACCOUNT

Chain = tuple[str, str, str, str]
"""Bucket, prefix, trail and Region, whose digests name one another."""


@dataclass(frozen=True, slots=True)
class DeliveredFile:
    """A log file that was put into a bucket: `plain` is its content before gzip, times are epoch seconds."""

    key: str
    plain: bytes
    oldest: float
    newest: float


@dataclass(frozen=True, slots=True)
class DigestFile:
    """A digest file to be put into a bucket, with its signature in hexadecimal."""

    key: str
    body: bytes
    signature: str


@dataclass(frozen=True, slots=True)
class _Before:
    key: str
    hashed: str
    signature: str
    end: int


class DigestWriter:
    """Signs digests. A key pair is made when it is first needed, and serves every Region."""

    def __init__(self) -> None:
        self._before: dict[Chain, _Before] = {}

    @cached_property
    def _key(self) -> rsa.RSAPrivateKey:
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)

    @cached_property
    def _public(self) -> bytes:
        return self._key.public_key().public_bytes(Encoding.DER, PublicFormat.PKCS1)

    def public_keys(self, now: float) -> dict[str, Any]:
        return {
            "PublicKeyList": [
                {
                    "Value": base64.b64encode(self._public).decode(),
                    "ValidityStartTime": now - 365 * 86_400,
                    "ValidityEndTime": now + 365 * 86_400,
                    "Fingerprint": self._fingerprint,
                }
            ]
        }

    def chains(self) -> dict[Chain, _Before]:
        return dict(self._before)

    def go_back(self, chains: Mapping[Chain, _Before]) -> None:
        """Go on behind these digests, as if no later one had been made."""
        self._before = dict(chains)

    def digest(
        self,
        bucket: str,
        prefix: str,
        trail: str,
        home: str,
        region: str,
        files: list[DeliveredFile],
        now: float,
    ) -> DigestFile:
        """Return the digest of what was just delivered of one Region."""
        chain = (bucket, prefix, trail, region)
        before = self._before.get(chain)
        start = before.end if before else int(min(file.oldest for file in files))
        end = max(int(now), start + 1)
        key = _digest_key(prefix, trail, home, region, end)
        document = {
            "awsAccountId": ACCOUNT,
            "digestStartTime": _iso(start),
            "digestEndTime": _iso(end),
            "digestS3Bucket": bucket,
            "digestS3Object": key,
            "digestPublicKeyFingerprint": self._fingerprint,
            "digestSignatureAlgorithm": "SHA256withRSA",
            "newestEventTime": _iso(max(file.newest for file in files)),
            "oldestEventTime": _iso(min(file.oldest for file in files)),
            "previousDigestS3Bucket": bucket if before else None,
            "previousDigestS3Object": before.key if before else None,
            "previousDigestHashValue": before.hashed if before else None,
            "previousDigestHashAlgorithm": "SHA-256" if before else None,
            "previousDigestSignature": before.signature if before else None,
            "logFiles": [
                {
                    "s3Bucket": bucket,
                    "s3Object": file.key,
                    "hashValue": hashlib.sha256(file.plain).hexdigest(),
                    "hashAlgorithm": "SHA-256",
                    "newestEventTime": _iso(file.newest),
                    "oldestEventTime": _iso(file.oldest),
                }
                for file in files
            ],
        }
        plain = json.dumps(document, separators=(",", ":")).encode()
        hashed = hashlib.sha256(plain).hexdigest()
        signed = "\n".join(
            (_iso(end), f"{bucket}/{key}", hashed, before.signature if before else "null")
        ).encode()
        signature = self._key.sign(signed, padding.PKCS1v15(), SHA256()).hex()
        self._before[chain] = _Before(key, hashed, signature, end)
        return DigestFile(key, gzip.compress(plain), signature)

    @property
    def _fingerprint(self) -> str:
        # AWS's fingerprints are MD5, as its documentation shows them.
        return hashlib.md5(self._public, usedforsecurity=False).hexdigest()


def _digest_key(prefix: str, trail: str, home: str, region: str, end: int) -> str:
    moment = datetime.fromtimestamp(end, UTC)
    folder = f"{prefix}/" if prefix else ""
    return (
        f"{folder}AWSLogs/{ACCOUNT}/CloudTrail-Digest/{region}/{moment:%Y/%m/%d}/"
        f"{ACCOUNT}_CloudTrail-Digest_{region}_{trail}_{home}_{moment:%Y%m%dT%H%M%SZ}.json.gz"
    )


def _iso(second: float) -> str:
    return datetime.fromtimestamp(int(second), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
