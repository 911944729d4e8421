"""What keys are held against."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """What the operators of the platform have set.

    `rotation_days` is how often keys must rotate. `material_days` is how old the key material may be that
    tokens are under; two years is the longest period for which NIST SP 800-57 Part 1 (5.3.6) has a
    key-wrapping key used to protect. `administrators` are ARNs, `*` and `?` as in IAM policies, of those who
    may do everything with a key; `accounts` are other accounts that may use keys. `alias` is the alias by
    which the platform names its key.
    """

    rotation_days: int = 365
    material_days: int = 730
    administrators: tuple[str, ...] = ()
    accounts: frozenset[str] = frozenset()
    alias: str = ""
