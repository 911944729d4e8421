"""Fixtures of the adversary's tests."""

from tests.crypto_core.trail.rules.watching import watch

__all__ = ["watch"]
