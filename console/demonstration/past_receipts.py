"""The receipts that platform and console wrote in the demo's week: which token each of their calls was for.

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

_CALLS = "name:Decrypt,GenerateDataKey -failed principal:*platform,*oncall"


def past_receipts(store: EventStore, world: World) -> Iterator[Receipt]:
    """Yield a receipt for each of their calls in the store up to `world.now`, of a token under its key.

    Raises EventStoreError.
    """
    draw = random.Random(f"{world.seed}/receipts")  # noqa: S311  made-up data, nothing secret
    under = {key.arn: world.sealed_under(key) for key in (world.current_key, world.old_key)}
    start = None
    while True:
        page = store.page(Query(f"{_CALLS} until:{world.now.isoformat()}"), start, limit=1_000)
        for stored in page.rows:
            event = stored.event
            tokens = under.get(event.key_arns[0] if event.key_arns else "", ())
            if tokens:
                service = "platform-api" if event.principal.arn.endswith("platform") else "keydeck"
                host = f"{service}-{event.source_ip.rpartition('.')[2]}"
                yield Receipt(
                    event.request_id,
                    event.name,
                    event.time,
                    clean(str(draw.choice(tokens))),
                    None,
                    ReceiptProcess(clean(host), 1, clean(service)),
                )
        if not page.below:
            return
        start = page.last
