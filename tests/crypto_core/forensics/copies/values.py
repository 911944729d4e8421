"""Values as copies hold them, made without KMS."""

from __future__ import annotations

import os
from itertools import pairwise

from crypto_core.envelope import EnvelopeV1, EnvelopeV2, seal_dev, serialise
from crypto_core.forensics.copies.scan import ScanOfCopy, ValueScanner, scan_copies
from crypto_core.forensics.copies.values import FoundValue
from crypto_core.values.secret import Secret

KEY_ARN = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
TOKEN = b"ghp_" + b"Canary0" * 5 + b"x"


def encrypted_data_key(material: bytes = b"k") -> bytes:
    """An EDK that begins as KMS's do, of one key material."""
    return b"\x01\x02\x02\x00\x78" + material * 32 + os.urandom(147)


def v1(length: int = 40, material: bytes = b"k") -> bytes:
    parts = (encrypted_data_key(material), os.urandom(12), os.urandom(length + 16))
    return serialise(EnvelopeV1(*parts)).encode()


def v2(length: int = 40) -> bytes:
    parts = (os.urandom(12), os.urandom(32), os.urandom(32), os.urandom(length + 16))
    return serialise(EnvelopeV2(KEY_ARN, encrypted_data_key(), *parts)).encode()


def dev() -> bytes:
    return seal_dev(Secret(TOKEN)).encode()


def summary(found: list[tuple[int, FoundValue]]) -> list[tuple[object, ...]]:
    """What tells found values from others."""
    return [(at, one.format, one.provider, one.text, one.damaged) for at, one in found]


def found_in(data: bytes, cuts: tuple[int, ...] = ()) -> list[tuple[int, FoundValue]]:
    """What a scanner finds that gets the data in pieces, with where it stands."""
    found: list[tuple[int, FoundValue]] = []
    scanner = ValueScanner(lambda value, at: found.append((at, value)))
    edges = (0, *sorted(cuts), len(data))
    for begin, end in pairwise(edges):
        scanner.feed(data[begin:end])
    scanner.finish()
    return sorted(found, key=lambda one: one[0])


def scan(path: object) -> ScanOfCopy:
    (one,) = scan_copies([str(path)])
    return one


def envelopes(scan_: ScanOfCopy) -> int:
    return sum(group.envelopes for group in scan_.tally.groups.values())
