"""The receipts that the platform wrote in the demo's week: which token each of its calls was for.

The intruder and the analyst write none, so what they opened stays a possibility.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from console.sandbox.world import World
from crypto_core.lists.paging import Query
from crypto_core.receipts.receipt import Receipt, ReceiptProcess
from crypto_core.text.cleaning import clean
from crypto_core.trail.store import EventStore

CALLS = "name:Decrypt,GenerateDataKey -failed principal:*platform"
_SERVICE = clean("platform-api")


def platform_receipts(store: EventStore, world: World) -> Iterator[Receipt]:
    """Yield a receipt for each call of the platform that the store has, of a token under the call's key.

    Raises EventStoreError.
    """
    draw = random.Random(f"{world.seed}/receipts")  # noqa: S311  made-up data, nothing secret
    under = {key.arn: world.sealed_under(key) for key in (world.current_key, world.old_key)}
    start = None
    while True:
        page = store.page(Query(CALLS), start, limit=1_000)
        for stored in page.rows:
            event = stored.event
            tokens = under.get(event.key_arns[0] if event.key_arns else "", ())
            if tokens:
                host = clean(f"api-{event.source_ip.rpartition('.')[2]}")
                yield Receipt(
                    event.request_id,
                    event.name,
                    event.time,
                    clean(str(draw.choice(tokens))),
                    None,
                    ReceiptProcess(host, 1, _SERVICE),
                )
        if not page.below:
            return
        start = page.last
