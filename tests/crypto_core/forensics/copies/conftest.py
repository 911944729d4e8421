"""Incidents about keys and restored databases, as the tests of their steps have them."""

from __future__ import annotations

from tests.crypto_core.incidents.keys import conftest as about_keys
from tests.crypto_core.incidents.tokens import conftest as about_tokens

scene, stage = about_keys.scene, about_tokens.stage
