"""The envelope under the cursor."""

from __future__ import annotations

import pytest

from crypto_core.values.errors import KmsAccessDeniedError, RowVanishedError
from tests.screens.deck import LARGE, Deck, deck


async def filtered(d: Deck, expression: str) -> None:
    await d.filter(expression)


@pytest.mark.deep
async def test_the_envelope_is_shown_field_by_field_without_asking_kms() -> None:
    async with deck(start="connections", size=LARGE) as d:
        await filtered(d, "provider:github format:v1")
        assert "encrypted data key 184 bytes, KMS header 01 02 03 00 78" in d.text()
        assert "nonce 12 bytes" in d.text()
        assert "envelope, not bound to its row" in d.text()
        assert "inspect_kms" not in d.stage.calls


async def test_enter_asks_kms_and_the_row_shows_the_answer() -> None:
    async with deck(start="connections", size=LARGE) as d:
        await filtered(d, "provider:jira")
        assert "unknown" in d.cursor_line()
        await d.press("enter")
        assert "verified" in d.cursor_line()
        assert "KMS key alias/tokens …9f2c" in d.text()


@pytest.mark.deep
async def test_while_kms_is_asked_the_cursor_moves_on_and_other_envelopes_are_read() -> None:
    async with deck(start="connections", size=LARGE) as d:
        await filtered(d, "provider:jira")
        gate = d.stage.hold("inspect_kms")
        await d.press("i")
        assert "asking KMS…" in d.text()
        await d.press("down")
        assert "jira_connection.access_token:jira-1   v1" in d.text()
        assert "asking KMS…" not in d.text()
        gate.set()
        await d.settle()
        assert "verified" in d.line_with("access_token:jira-0 ")


async def test_a_refusal_by_kms_is_shown_in_place() -> None:
    async with deck(start="connections", size=LARGE) as d:
        await filtered(d, "provider:jira")
        d.stage.faults["inspect_kms"] = KmsAccessDeniedError(
            "role/oncall may not kms:Decrypt.", operation="Decrypt", remedy="Allow kms:Decrypt."
        )
        await d.press("i")
        assert "role/oncall may not kms:Decrypt. Allow kms:Decrypt." in d.text()


async def test_a_row_that_vanished_says_so() -> None:
    async with deck(start="connections") as d:
        d.stage.faults["inspect"] = RowVanishedError("The row is no longer there.")
        await d.press("down")
        assert "The row is no longer there." in d.text()


async def test_holding_the_key_down_reads_the_envelope_where_the_cursor_came_to_rest() -> None:
    async with deck(start="connections") as d:
        gate = d.stage.hold("inspect")
        before = d.stage.calls.count("inspect")
        await d.press("down", "down", "down", "down", "down")
        gate.set()
        await d.settle()
        assert d.stage.calls.count("inspect") - before == 2
        assert "confluence_connection.access_token:2   plaintext" in d.says()
