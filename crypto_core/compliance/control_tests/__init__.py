"""Every test of a snapshot, by its name: what catalogues may name."""

from __future__ import annotations

from crypto_core.compliance.answer import ControlTest
from crypto_core.compliance.control_tests import cryptography, findings, keys, records, response, tokens

ALL_TESTS: dict[str, ControlTest] = {
    test.name: test
    for module in (tokens, keys, findings, records, response, cryptography)
    for test in getattr(module, "TESTS", vars(module).values())
    if isinstance(test, ControlTest)
}
"""In the order of their modules."""
