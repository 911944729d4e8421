"""Keydeck's own calls have receipts: a pull joins them, and the rule about missing ones stays silent."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from console.container import Container
from console.sandbox.sandbox import Sandbox
from console.sandbox.world import World
from console.settings import load
from crypto_core.database.state.installation import install
from crypto_core.trail.rules.rule_context import ReceiptPolicy
from crypto_core.trail.rules.service import TrailRules
from crypto_core.trail.rules.watched_keys import Configured
from tests.crypto_core.trail.use.test_use_in_the_sandbox import past, v1_tokens

RULE = "decrypt-without-receipt"


@pytest.mark.deep
def test_keydecks_own_calls_are_explained_and_a_strangers_is_told(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox, world: World
) -> None:
    monkeypatch.setenv("KEYDECK_RECEIPTS", "table")
    # Calls that other tests made through the same endpoint have none: a second of its own.
    began = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=1)
    sandbox.control.set_lookup_throttle(None)
    services = Container(load().settings)
    install(services.engine)
    ref = v1_tokens(world)[0]
    time.sleep(max((began - datetime.now(UTC)).total_seconds(), 0.0))
    services.services.inspector.inspect_token(ref)
    services.status.take_census()
    sandbox.control.history([past(world, ago=0, time=began)])
    assert services.kms.receipts is not None
    assert services.kms.receipts.flush(10)
    report = services.trail.puller.pull_events("lookup", since=began - timedelta(minutes=5))
    assert report.receipts is not None
    assert report.receipts.added.new >= 2
    assert report.as_json()["receipts"]["new"] == report.receipts.added.new
    since = f"name:Decrypt,ReEncrypt -failed since:{began.isoformat()}"
    assert services.trail.events.tally((), f"{since} own explained").events >= 2
    assert services.trail.events.tally((), f"{since} own -explained").events == 0
    timeline = services.services.event_use.token_timeline(ref)
    assert timeline.receipted is not None
    # KMS was asked which key wrapped it, and once more with that key by name.
    assert timeline.receipted.use.opened == 2
    with services.engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM keydeck.receipt")) >= 2
    policy = ReceiptPolicy(began, timedelta())
    rules = TrailRules(services.trail.events, Configured(world.current_key.arn), receipts=policy)
    found = [one for one in rules.examine_events().findings if one.rule == RULE]
    told = [one.title for one in found if "without a receipt" in one.title]
    assert told == ["user/intruder opened something without a receipt"]
    services.close()
