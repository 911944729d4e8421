"""Digest files for tests, signed as CloudTrail signs them."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.crypto_core.trail.sources.amazon import ACCOUNT, HERE, dated, log_file, log_key

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def public(key: rsa.RSAPrivateKey) -> dict[str, Any]:
    """A key as ListPublicKeys gives it."""
    written = key.public_key().public_bytes(Encoding.DER, PublicFormat.PKCS1)
    return {"Value": written, "Fingerprint": fingerprint(key)}


def fingerprint(key: rsa.RSAPrivateKey) -> str:
    written = key.public_key().public_bytes(Encoding.DER, PublicFormat.PKCS1)
    return hashlib.md5(written, usedforsecurity=False).hexdigest()


def iso(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


@dataclass
class Chain:
    """What one trail delivered of one Region: log files, and their digests, an hour each."""

    bucket: str
    write: Callable[..., str]
    region: str = HERE
    account: str = ACCOUNT
    trail: str = "main"
    key: rsa.RSAPrivateKey = KEY
    logs: list[str] = field(default_factory=list)
    digests: list[str] = field(default_factory=list)
    _before: dict[str, Any] = field(default_factory=dict)

    def hour(self, end: datetime, *, files: int = 2, backfill: bool = False, **other: Any) -> str:
        """Deliver an hour's log files and its digest; `other` replaces fields before it is signed."""
        entries = []
        for _ in range(files):
            name = log_key(end - timedelta(minutes=30), region=self.region, account=self.account)
            body = log_file(dated(end - timedelta(minutes=31), awsRegion=self.region))
            self.write(name, body)
            self.logs.append(name)
            entries.append(
                {
                    "s3Bucket": self.bucket,
                    "s3Object": name,
                    "hashValue": hashlib.sha256(gzip.decompress(body)).hexdigest(),
                    "hashAlgorithm": "SHA-256",
                }
            )
        name = (
            f"AWSLogs/{self.account}/CloudTrail-Digest/{self.region}/{end:%Y/%m/%d}/{self.account}_CloudTrail"
            f"-Digest_{self.region}_{self.trail}_{HERE}_{end:%Y%m%dT%H%M%SZ}"
            f"{'_backfill' if backfill else ''}.json.gz"
        )
        document = {
            "digestStartTime": iso(end - timedelta(hours=1)),
            "digestEndTime": iso(end),
            "digestS3Bucket": self.bucket,
            "digestS3Object": name,
            "digestPublicKeyFingerprint": fingerprint(self.key),
            "digestSignatureAlgorithm": "SHA256withRSA",
            "previousDigestS3Bucket": self.bucket if self._before else None,
            "previousDigestS3Object": self._before.get("name"),
            "previousDigestHashValue": self._before.get("hashed"),
            "previousDigestSignature": self._before.get("signature"),
            "logFiles": entries,
        } | other
        made = self.sign(name, document)
        if not backfill:
            self._before = made
            self.digests.append(name)
        return name

    def sign(self, name: str, document: dict[str, Any], hashing: Any = None) -> dict[str, Any]:
        """Write a digest, signed as CloudTrail does."""
        plain = json.dumps(document).encode()
        hashed = hashlib.sha256(plain).hexdigest()
        before = document["previousDigestSignature"] or "null"
        signed = f"{document['digestEndTime']}\n{self.bucket}/{name}\n{hashed}\n{before}".encode()
        signature = self.key.sign(signed, padding.PKCS1v15(), hashing or SHA256()).hex()
        self.write(name, gzip.compress(plain), Metadata={"signature": signature})
        return {"name": name, "hashed": hashed, "signature": signature}
