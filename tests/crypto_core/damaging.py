"""Bytes that are no longer what they were."""

from __future__ import annotations


def damaged(blob: bytes) -> bytes:
    """Return the bytes with one bit of the last one turned over."""
    return blob[:-1] + bytes([blob[-1] ^ 1])
