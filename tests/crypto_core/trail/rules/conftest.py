"""Fixtures of the rules' tests."""

from tests.crypto_core.trail.rules.watching import watch

__all__ = ["watch"]
